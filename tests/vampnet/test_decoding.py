"""The decoding loop: schedule, noise, filters, and what is masked again."""

import hashlib

import numpy as np
import pytest
from fabricate import token_logits
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from helpers.runtime.sampling import (
    filter_top_p,
    filter_typical,
    gumbel,
    seeds_of,
    token_noise,
    uniform_noise,
)
from helpers.support.errors import InputError
from helpers.vampnet import decoding
from helpers.vampnet.decoding import (
    Settings,
    advance,
    choose,
    cosine_schedule,
    decode_masked,
    flatten,
    least_confident,
    n_remasked,
    start,
    unflatten,
)

quick = settings(max_examples=60, deadline=None)
SIZE = 6  # codebook size, and so the MASK token


def softmax(logits):
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def random_logits(seed, *shape, scale=3):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


# --- Schedule


def test_the_schedule_is_float32_at_every_step():
    """At two thirds float64 says a hair more than 0.5, float32 a hair less: one of 480 tokens hangs on it."""
    assert cosine_schedule(8 / 12).dtype == np.float32
    assert n_remasked(7, 12, np.array([480]), np.array([480])) == 239 == np.floor(480 * np.cos(np.pi / 3)) - 1
    assert cosine_schedule(0.0) == 1 and cosine_schedule(1.0) == np.float32(1e-10)


@quick
@given(st.integers(1, 40), st.integers(2, 3000))
def test_fewer_are_masked_at_every_step_and_none_after_the_last(n_steps, n):
    now, counts = np.array([n]), []
    for step in range(n_steps):
        now = n_remasked(step, n_steps, np.array([n]), now)
        counts.append(int(now[0]))
    assert counts[-1] == 0
    assert all(later < earlier or later == 1 for earlier, later in zip([n, *counts], counts[:-1]))
    assert all(count >= 1 for count in counts[:-1])


def test_each_item_counts_its_own():
    counts = n_remasked(0, 2, np.array([10, 100, 3]), np.array([10, 100, 3]))
    assert counts.tolist() == [7, 70, 2]  # cos(45 degrees), rounded down


# --- Order


@quick
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(0, 4))
def test_flatten_and_unflatten_are_inverse(n_items, n_books, n_frames, n_conditioning):
    n_conditioning = min(n_conditioning, n_books - 1)
    codes = np.arange(n_items * n_books * n_frames).reshape(n_items, n_books, n_frames)
    flat = flatten(codes, n_conditioning)
    assert flat.shape == (n_items, (n_books - n_conditioning) * n_frames)
    assert np.array_equal(unflatten(flat, codes), codes)


def test_the_codebook_is_the_fast_index():
    codes = np.array([[[1, 2], [3, 4], [5, 6]]])
    assert flatten(codes, 0).tolist() == [[1, 3, 5, 2, 4, 6]]
    assert flatten(codes, 1).tolist() == [[3, 5, 4, 6]]


# --- Noise


def test_noise_is_the_same_everywhere_and_always():
    uniform = uniform_noise(7, 0, 3, 5, 1, shape=(4, 50))
    assert uniform.dtype == np.float32
    assert hashlib.sha256(uniform.astype("<f4").tobytes()).hexdigest()[:16] == "48bebfbf4a717544"
    assert (
        hashlib.sha256(gumbel(uniform).round(4).astype("<f4").tobytes()).hexdigest()[:16]
        == "b62ab82b0c330c17"
    )


def test_gumbel_noise_is_finite_and_has_its_mean_and_spread():
    assert np.isfinite(gumbel(np.array([0.0, 1 - 2.0**-24], np.float32))).all()
    noise = gumbel(uniform_noise(0, shape=(200_000,)))
    assert abs(noise.mean() - 0.5772) < 0.01 and abs(noise.std() - np.pi / np.sqrt(6)) < 0.01


def test_a_place_has_its_own_noise_whatever_else_is_masked():
    rows = np.array([True, False, False, True])
    assert np.array_equal(token_noise(1, (0, 0), 2, (4, 9), rows), token_noise(1, (0, 0), 2, (4, 9))[rows])


def test_stages_chunks_steps_and_purposes_have_different_noise():
    keys = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({uniform_noise(0, *key, shape=(3,)).tobytes() for key in keys}) == len(keys)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "1", True, [1], [1, 2, 3], [1, -2], [[1, 2]]], ids=str)
def test_seeds_that_make_no_sense_are_refused(seed):
    with pytest.raises(InputError, match="seed"):
        seeds_of(seed, 2)


@pytest.mark.parametrize("seed", [5, np.int64(5), (5, 5), range(5, 7), np.array([5, 6])], ids=str)
def test_seeds_are_one_for_all_or_one_an_item(seed):
    assert seeds_of(seed, 2) == [int(value) for value in np.broadcast_to(seed, 2)]


# --- Filters and choice


@quick
@given(st.integers(0, 10**6), st.floats(0.01, 1), st.integers(1, 12))
def test_typical_filtering_keeps_mass_and_enough_tokens(seed, mass, min_tokens):
    logits = random_logits(seed, 4, 12)
    filtered = filter_typical(logits, mass, min_tokens)
    kept, p = np.isfinite(filtered), softmax(logits.astype(np.float64))
    surprise = -np.log(p)
    distance = np.abs(surprise - (p * surprise).sum(-1, keepdims=True))
    assert np.array_equal(filtered[kept], logits[kept])
    for row in range(4):
        assert kept[row].sum() >= min_tokens and p[row][kept[row]].sum() >= mass - 1e-4
        order = np.argsort(distance[row])
        assert kept[row][order[: kept[row].sum()]].all()  # those nearest to the expected surprise, no others
        fewer = order[: kept[row].sum() - 1]
        assert kept[row].sum() == min_tokens or p[row][fewer].sum() < mass + 1e-4  # and no more than needed


def test_typical_filtering_can_drop_the_most_probable_token():
    """The difference from top-p: one likely token among many unlikely ones says less than is expected."""
    logits = np.log(np.array([[0.4, *[0.1] * 6]], np.float32))
    kept = np.isfinite(filter_typical(logits, 0.25, 1))[0]
    assert not kept[0] and kept[1:].sum() == 3


@quick
@given(st.integers(0, 10**6), st.floats(0.01, 1))
def test_top_p_keeps_the_first_token_past_p(seed, top_p):
    logits = random_logits(seed, 4, 12)
    filtered, p = filter_top_p(logits, top_p), softmax(logits.astype(np.float64))
    for row in range(4):
        kept = np.isfinite(filtered[row])
        probabilities = np.sort(p[row])[::-1][: kept.sum()]
        assert kept[p[row].argmax()] and p[row][kept].min() == probabilities[-1]
        assert probabilities.sum() > top_p - 1e-5 and probabilities[:-1].sum() <= top_p + 1e-5


def test_a_sample_follows_the_distribution_and_the_temperature():
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    rows = np.broadcast_to(logits, (40_000, 3))
    for temperature in (0.5, 1.0, 2.0):
        tokens, log_p = choose(
            rows, Settings(temperature=temperature), gumbel(uniform_noise(0, shape=rows.shape))
        )
        expected = softmax(logits / temperature)
        assert np.abs(np.bincount(tokens) / len(rows) - expected).max() < 0.01
        assert np.allclose(log_p, np.log(expected)[tokens], atol=1e-5)


def test_filters_change_what_is_sampled():
    rows, noise = random_logits(0, 500, 12, scale=1), gumbel(uniform_noise(1, shape=(500, 12)))
    plain = choose(rows, Settings(), noise)[0]
    for options in ({"top_p": 0.3}, {"typical_mass": 0.3, "typical_min_tokens": 1}):
        filtered, log_p = choose(rows, Settings(**options), noise)
        assert (filtered != plain).mean() > 0.1 and np.isfinite(log_p).all()


def test_after_the_cutoff_the_most_probable_token_is_taken():
    sampling = Settings(steps=4, sample_cutoff=0.5)
    assert [sampling.samples_at(step) for step in range(4)] == [True, True, True, False]
    state = start(np.full((1, 2, 30), SIZE), np.ones((1, 2, 30), int), 0, SIZE)
    logits = random_logits(0, 1, 60, SIZE, scale=0.1)
    tokens = [advance(state, logits, step, sampling, [0], (0, 0))[0] for step in (2, 3)]
    assert (tokens[0] != logits.argmax(-1)).any() and np.array_equal(tokens[1], logits.argmax(-1))


# --- The loop


@quick
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 60))
def test_exactly_as_many_as_asked_are_masked_again(seed, n_items, n_places):
    rng = np.random.default_rng(seed)
    confidence = rng.permutation(n_items * n_places).reshape(n_items, n_places).astype(np.float32)
    count = rng.integers(0, n_places, n_items)
    marked = least_confident(confidence, count)
    assert marked.sum(1).tolist() == count.tolist()
    for row, mark in zip(confidence, marked):
        assert not mark.any() or row[mark].max() < row[~mark].min()


def test_blocks_of_rows_give_what_all_rows_give(monkeypatch):
    state = start(np.full((1, 2, 30), SIZE), (random_logits(1, 1, 2, 30) > 0).astype(int), 0, SIZE)
    logits, options = random_logits(0, 1, 60, SIZE), Settings(top_p=0.8, temperature=1.3)
    whole = choose(logits[0], options, token_noise(5, (1, 2), 3, (60, SIZE)))
    for block in (1, 7, 1000):
        monkeypatch.setattr(decoding, "BLOCK", block)
        tokens, _, confidence = advance(state, logits, 3, options, [5], (1, 2))
        masked, shaken = state.masked[0], decoding.remask_noise(5, (1, 2), 3, options, 60)
        assert np.array_equal(tokens[0, masked], whole[0][masked])
        assert np.array_equal(confidence[0, masked], (whole[1] + shaken)[masked])


@st.composite
def problems(draw):
    """Codes, mask, conditioning books and settings of a decoding."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n_items, n_books, n_frames = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 12))
    n_conditioning = draw(st.integers(0, n_books - 1))
    codes = rng.integers(0, SIZE + 1, (n_items, n_books, n_frames))  # MASK among them
    mask = (rng.random(codes.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(np.int64)
    mask[:, :n_conditioning] = 0
    options = Settings(
        steps=draw(st.integers(1, 5)),
        temperature=draw(st.sampled_from([0.5, 1.0, 3.0])),
        mask_temperature=draw(st.sampled_from([0.0, 10.5])),
        typical_mass=draw(st.sampled_from([None, 0.2])),
        typical_min_tokens=2,
        top_p=draw(st.sampled_from([None, 0.5])),
        greedy=draw(st.booleans()),
    )
    return codes, mask, n_conditioning, options


def decode(problem, seeds, items=slice(None)):
    codes, mask, n_conditioning, options = problem
    model = token_logits(codes.shape[1], codes.shape[1] - n_conditioning, SIZE, seed=0)
    return list(decode_masked(model, codes[items], mask[items], n_conditioning, SIZE, options, seeds, (0, 0)))


@quick
@given(problems())
def test_every_step_fills_all_places_and_keeps_what_was_given(problem):
    codes, mask, n_conditioning, options = problem
    generated = (mask == 1) | (codes == SIZE)
    generated[:, :n_conditioning] = False
    before, n_start = generated, generated.sum((1, 2))
    for step, (filled, masked, confidence) in enumerate(decode(problem, [0] * len(codes))):
        assert np.array_equal(filled[~generated], codes[~generated])
        assert (filled[:, n_conditioning:] != SIZE).all()
        assert np.isinf(confidence[~generated]).all() and np.isfinite(confidence[before]).all()
        assert not (masked & ~before).any()  # what was settled once stays settled
        expected = n_remasked(step, options.steps, n_start, before.sum((1, 2)))
        assert (masked.sum((1, 2)) <= np.minimum(expected, before.sum((1, 2)))).all()
        before = masked
    assert step + 1 == options.steps and not masked.any()


@quick
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 20))
def test_the_schedule_is_met_exactly(seed, steps, n_frames):
    codes = np.full((1, 2, n_frames), SIZE)
    problem = codes, np.ones_like(codes), 0, Settings(steps=steps)
    now = n_start = np.array([codes.size])
    for step, (_, masked, _) in enumerate(decode(problem, [seed])):
        now = n_remasked(step, steps, n_start, now)
        assert masked.sum() == now


@quick
@given(problems(), st.booleans())
def test_a_batch_gives_each_item_what_it_gets_alone(problem, own_seeds):
    n_items = len(problem[0])
    seeds = list(range(10, 10 + n_items)) if own_seeds else [3] * n_items
    together = decode(problem, seeds)
    for item in range(n_items):
        alone = decode(problem, [seeds[item]], slice(item, item + 1))
        for arrays, arrays_alone in zip(together, alone):
            assert all(np.array_equal(a[item], b[0]) for a, b in zip(arrays, arrays_alone))


def test_one_seed_is_one_result_and_another_is_another():
    codes = np.full((1, 2, 40), SIZE)
    problem = codes, np.ones_like(codes), 0, Settings(steps=4)
    first, again, other = (decode(problem, [seed])[-1][0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and (first != other).mean() > 0.3


def test_the_noise_on_the_confidence_fades_to_nothing():
    state = start(np.full((1, 1, 50), SIZE), np.ones((1, 1, 50), int), 0, SIZE)
    logits, calm = random_logits(0, 1, 50, SIZE), Settings(steps=3, mask_temperature=0, sample_cutoff=1)
    for step in range(3):
        shaken = advance(state, logits, step, Settings(steps=3, mask_temperature=6.0), [0], (0, 0))[2]
        noise = shaken - advance(state, logits, step, calm, [0], (0, 0))[2]
        expected = 6.0 * (1 - (step + 1) / 3) * gumbel(decoding.uniform_noise(0, 0, 0, step, 1, shape=(50,)))
        assert np.allclose(noise[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"steps": 2.0},
        {"steps": True},
        {"temperature": 0},
        {"temperature": -1},
        {"steps": 10**30},
        {"temperature": np.nan},
        {"temperature": np.inf},
        {"mask_temperature": -0.1},
        {"mask_temperature": np.nan},
        {"typical_mass": 0},
        {"typical_mass": 1.1},
        {"top_p": 0.0},
        {"top_p": 2},
        {"typical_min_tokens": 0},
        {"typical_min_tokens": 1.5},
        {"sample_cutoff": -0.1},
        {"sample_cutoff": 1.1},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_by_name(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Settings(**options)


@pytest.mark.parametrize("shape", [(1, 2, 5, 8), (1, 3, 5, 9), (1, 3, 4, 8), (3, 5, 8)])
def test_logits_of_another_shape_are_told(shape):
    codes, mask = np.zeros((1, 4, 5), np.int64), np.ones((1, 4, 5), np.int64)
    with refused("logits", "export it again"):
        list(decode_masked(lambda codes: np.zeros(shape), codes, mask, 1, 8, Settings(steps=1), [0], (0,)))
