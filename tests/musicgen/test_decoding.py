"""The delay pattern, windows and the choice of a token: no model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from helpers.musicgen.decoding import (
    UNKNOWN,
    Settings,
    choose,
    delayed,
    fill,
    probabilities,
    undelayed,
    windows,
)

DELAYS = st.lists(st.integers(0, 6), min_size=1, max_size=8).map(sorted)


@given(DELAYS, st.integers(1, 3), st.integers(1, 20))
def test_delayed_and_back(delays, batch, n_frames):
    codes = np.random.default_rng(0).integers(0, 50, (batch, len(delays), n_frames))
    columns = delayed(codes, delays, 50)
    assert columns.shape == (batch, len(delays), 1 + n_frames + max(delays))
    assert (columns == 50).sum() == batch * len(delays) * (1 + max(delays))
    np.testing.assert_array_equal(undelayed(columns, delays), codes)
    for k, delay in enumerate(delays):
        assert columns[0, k, 1 + delay] == codes[0, k, 0]


@given(st.integers(1, 400), st.integers(0, 399), st.integers(2, 60), st.data())
def test_windows_make_every_frame_once_and_in_order(n_frames, n_known, longest, data):
    stride = data.draw(st.integers(1, longest - 1))
    known = min(n_known, n_frames - 1)
    for first, length, within in windows(n_frames, known, longest, stride):
        assert first % stride == 0 and length <= longest
        assert first + within == known and 0 <= within < length  # each goes on where the last one ended
        known = first + length
    assert known == n_frames


def test_every_tenth_of_a_second_up_to_five_minutes_has_windows():
    for tenths in range(301, 3001):
        n_frames = int(tenths / 10 * 50)
        made = list(windows(n_frames, 0, 1500, 900))
        assert made[-1][0] + made[-1][1] == n_frames


def counted(columns, past):
    """Logits that name a token by how many columns were seen: 0, 1, 2, ..."""
    seen = columns.shape[2] + (past or 0)
    logits = np.zeros((len(columns), columns.shape[1], 97), np.float32)
    logits[..., seen % 97] = 1
    return logits, seen


@given(DELAYS, st.integers(1, 12), st.data())
def test_columns_are_filled_where_nothing_is_known(delays, n_frames, data):
    n_known = data.draw(st.integers(0, n_frames - 1))
    codes = np.full((1, len(delays), n_frames), UNKNOWN)
    codes[:, :, :n_known] = 90 + np.arange(len(delays))[:, None] % 5
    calls = list(fill(counted, codes, n_known, delays, 97, lambda logits, column: logits.argmax(-1)))
    assert len(calls) == n_frames - n_known + max(delays)
    made = undelayed(calls[-1][1], delays)
    np.testing.assert_array_equal(made[:, :, :n_known], codes[:, :, :n_known])
    for k, delay in enumerate(delays):  # a column is chosen from the one before it
        np.testing.assert_array_equal(made[0, k, n_known:], np.arange(n_known, n_frames) + 1 + delay)


@given(st.integers(0, 2**31), st.integers(1, 40), st.floats(0, 1), st.floats(0.1, 3))
def test_probabilities_sum_to_one_over_the_likeliest(seed, top_k, top_p, temperature):
    logits = np.random.default_rng(seed).standard_normal((2, 3, 40)).astype(np.float32) * 4
    p = probabilities(logits, temperature, top_k, top_p)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    assert (p >= 0).all()
    kept = p > 0
    if top_p == 0:
        assert (kept.sum(-1) <= top_k).all()
    least = np.where(kept, logits, np.inf).min(-1)
    assert (np.where(kept, -np.inf, logits).max(-1) <= least).all()


def test_noise_belongs_to_a_seed_a_window_and_a_column():
    logits, settings = np.zeros((3, 4, 64), np.float32), Settings(top_k=0)
    one = choose(logits, settings, [5, 5, 6], (0,), 7)
    np.testing.assert_array_equal(one[0], one[1])
    assert (one[0] != one[2]).any()
    for keys, column in (((1,), 7), ((0,), 8)):
        assert (choose(logits, settings, [5, 5, 6], keys, column) != one).any()


def test_samples_follow_the_probabilities():
    logits = np.log(np.array([[[0.7, 0.2, 0.1]]], np.float32))
    settings = Settings(top_k=2)
    taken = [int(choose(logits, settings, [0], (0,), column)[0, 0]) for column in range(3000)]
    shares = np.bincount(taken, minlength=3) / len(taken)
    np.testing.assert_allclose(shares, [7 / 9, 2 / 9, 0], atol=0.03)


@pytest.mark.parametrize("settings", [Settings(greedy=True), Settings(temperature=0), Settings(top_k=1)])
def test_greedy_takes_the_best(settings):
    logits = np.random.default_rng(0).standard_normal((2, 4, 50)).astype(np.float32)
    np.testing.assert_array_equal(choose(logits, settings, [0, 1], (0,), 3), logits.argmax(-1))


@pytest.mark.parametrize(
    "wrong", [{"guidance": float("nan")}, {"temperature": -1}, {"top_p": 1.5}, {"top_k": -1}, {"top_k": 2.5},
              {"temperature": "warm"}, {"guidance": float("inf")}]
)  # fmt: skip
def test_settings_that_make_no_sense(wrong):
    with refused(*wrong):
        Settings(**wrong)
