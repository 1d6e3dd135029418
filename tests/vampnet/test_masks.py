"""Masks: the public implementation's own, and what must hold for any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.support.errors import InputError
from helpers.vampnet import masks

SHAPE = (1, 14, 120)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 40))
seeds = st.integers(0, 2**32 - 1)


def kept_frames(mask: np.ndarray) -> set[int]:
    """The frames kept in every codebook of every item; any other place must be generated."""
    frames = np.flatnonzero((mask == 0).all(axis=(0, 1)))
    assert (np.delete(mask, frames, axis=-1) == 1).all()
    return set(frames.tolist())


PERIODIC, INPAINT = masks.periodic(SHAPE, 7), masks.inpaint(SHAPE, 20, 30)


@pytest.mark.parametrize(
    "name, mask",
    [
        ("periodic_7_1", PERIODIC),
        ("periodic_5_3", masks.periodic(SHAPE, 5, 3)),
        ("periodic_13_1", masks.periodic(SHAPE, 13)),
        ("periodic_0_1", masks.periodic(SHAPE, 0)),
        ("inpaint_20_30", INPAINT),
        ("inpaint_20_30", masks.intersect(masks.prefix(SHAPE, 20), masks.suffix(SHAPE, 30))),
        ("codebook_mask_3", masks.codebook_mask(PERIODIC, 3)),
        ("codebook_unmask_2", masks.codebook_unmask(PERIODIC, 2)),
        ("and", masks.intersect(PERIODIC, INPAINT)),
        ("full_build", masks.build(PERIODIC, masks.inpaint(SHAPE, 12, 6), generate_from=3)),
    ],
)
def test_golden_masks(golden, name, mask):
    assert mask.dtype == np.int64
    np.testing.assert_array_equal(mask, golden[f"mask_{name}"])


@given(shapes, st.integers(0, 50), st.integers(0, 60), st.integers(-60, 60))
def test_periodic_keeps_exactly_the_frames_round_each_multiple(shape, period, width, roll):
    frames, side = shape[2], width // 2
    wanted = (
        {t for centre in range(0, frames, period) for t in range(frames) if abs(t - centre) <= side}
        if period
        else set()
    )
    assert kept_frames(masks.periodic(shape, period, width)) == wanted
    rolled = masks.periodic(shape, period, width, roll=roll)
    assert kept_frames(rolled) == {(t + roll) % frames for t in wanted}


@given(shapes, st.integers(1, 50), seeds)
def test_a_random_roll_is_below_the_period_and_repeats_with_its_seed(shape, period, seed):
    def rolled():
        return masks.periodic(shape, period, roll=None, rng=np.random.default_rng(seed))

    choices = [masks.periodic(shape, period, roll=roll) for roll in range(period)]
    assert any((rolled() == choice).all() for choice in choices)
    np.testing.assert_array_equal(rolled(), rolled())


def test_random_rolls_differ():
    rng = np.random.default_rng(0)
    assert len({masks.periodic(SHAPE, 7, roll=None, rng=rng).tobytes() for _ in range(50)}) == 7


@given(shapes, st.integers(0, 60), st.integers(0, 60))
def test_prefix_and_suffix_may_exceed_the_length(shape, n_prefix, n_suffix):
    frames = range(shape[2])
    first, last = set(frames[:n_prefix]), set(frames[max(0, shape[2] - n_suffix) :])
    assert kept_frames(masks.prefix(shape, n_prefix)) == first
    assert kept_frames(masks.suffix(shape, n_suffix)) == last
    assert kept_frames(masks.inpaint(shape, n_prefix, n_suffix)) == first | last


@given(shapes, st.lists(st.integers(0, 45), max_size=5), st.integers(0, 9), st.integers(0, 9))
def test_onsets_and_beats_keep_the_frames_round_each_event(shape, events, before, after):
    def wanted(before, after):
        return {t for t in range(shape[2]) if any(-before <= t - event < after for event in events)}

    assert kept_frames(masks.onsets(shape, events, before)) == wanted(before, before)
    assert kept_frames(masks.beats(shape, np.array(events, np.int64), before, after)) == wanted(before, after)


def test_an_onset_near_the_start_is_not_lost():
    assert kept_frames(masks.onsets(SHAPE, [1], 5)) == {0, 1, 2, 3, 4, 5}


@given(shapes, st.floats(0, 1), seeds)
def test_random_masks_hold_0_and_1_and_treat_items_alone(shape, probability, seed):
    mask = masks.random(shape, probability, np.random.default_rng(seed))
    alone = masks.random((1, *shape[1:]), probability, np.random.default_rng(seed))
    assert set(np.unique(mask)) <= {0, 1}
    np.testing.assert_array_equal(mask[:1], alone)
    dropped, dropped_alone = (
        masks.dropout(these, probability, np.random.default_rng(seed + 1)) for these in (mask, alone)
    )
    np.testing.assert_array_equal(dropped[:1], dropped_alone)
    assert (dropped >= mask).all()


@pytest.mark.parametrize("share", [0, 0.2, 0.7, 1])
def test_shares_are_of_what_the_names_say(share):
    shape = (2, 10, 2000)
    generated = masks.random(shape, share, np.random.default_rng(0)).mean()
    half = masks.periodic(shape, 2)
    given_up = masks.dropout(half, share, np.random.default_rng(0))[half == 0].mean()
    slack = 0.02 if 0 < share < 1 else 0
    assert abs(generated - share) <= slack and abs(given_up - share) <= slack


@given(shapes, seeds)
def test_intersection_and_union_are_and_and_or(shape, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (masks.random(shape, 0.5, rng) for _ in range(3))
    full, empty = masks.full(shape), masks.empty(shape)
    np.testing.assert_array_equal(masks.intersect(a, b, c), a & b & c)
    np.testing.assert_array_equal(masks.union(a, b, c), a | b | c)
    np.testing.assert_array_equal(masks.intersect(a, full), a)
    np.testing.assert_array_equal(masks.intersect(a, empty), empty)
    np.testing.assert_array_equal(masks.union(a, empty), a)
    np.testing.assert_array_equal(1 - masks.union(a, b), masks.intersect(1 - a, 1 - b))


@given(shapes, st.integers(0, 9), seeds)
def test_codebook_limits_may_exceed_the_books(shape, n, seed):
    mask = masks.random(shape, 0.5, np.random.default_rng(seed))
    before = mask.copy()
    upper, lower = masks.codebook_mask(mask, n), masks.codebook_unmask(mask, n)
    assert (upper[:, n:] == 1).all() and (lower[:, :n] == 0).all()
    np.testing.assert_array_equal(upper[:, :n], mask[:, :n])
    np.testing.assert_array_equal(lower[:, n:], mask[:, n:])
    np.testing.assert_array_equal(mask, before)


def test_build_drops_before_it_keeps_books_and_masks_books_last():
    mask = masks.build(
        masks.empty(SHAPE),
        masks.full(SHAPE),
        drop=1,
        rng=np.random.default_rng(0),
        keep_below=4,
        generate_from=3,
    )
    assert (mask[:, :3] == 0).all() and (mask[:, 3:] == 1).all()
    np.testing.assert_array_equal(masks.build(PERIODIC), PERIODIC)


@given(shapes, st.sampled_from([bool, np.uint8, np.int32, np.int64]))
@settings(max_examples=20)
def test_check_takes_any_integers_and_booleans(shape, dtype):
    mask = masks.periodic(shape, 2)
    checked = masks.check(mask.astype(dtype), shape)
    assert checked.dtype == np.int64
    np.testing.assert_array_equal(checked, mask)


@pytest.mark.parametrize(
    "mask, says",
    [
        (np.ones(SHAPE, np.float32), "float32"),
        (np.full(SHAPE, "1"), "<U1"),
        (np.ones((14, 120), int), "shape"),
        (np.ones((1, 14, 119), int), "shape"),
        (np.full(SHAPE, 2), "only 0"),
        (np.full(SHAPE, -1), "only 0"),
    ],
)
def test_check_refuses_in_one_line(mask, says):
    with pytest.raises(InputError, match=says) as error:
        masks.check(mask, SHAPE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: masks.full((14, 120)),
        lambda: masks.full((1, 14, 0)),
        lambda: masks.periodic(SHAPE, -1),
        lambda: masks.periodic(SHAPE, 2.5),
        lambda: masks.periodic(SHAPE, 7, width=-1),
        lambda: masks.periodic(SHAPE, 7, roll=0.5),
        lambda: masks.periodic(SHAPE, 7, roll=None),
        lambda: masks.prefix(SHAPE, -1),
        lambda: masks.onsets(SHAPE, [0.5], 3),
        lambda: masks.random(SHAPE, 1.5, np.random.default_rng(0)),
        lambda: masks.dropout(PERIODIC, float("nan"), np.random.default_rng(0)),
        lambda: masks.build(PERIODIC, drop=0.5),
        lambda: masks.codebook_mask(PERIODIC, -1),
        lambda: masks.intersect(),
        lambda: masks.intersect(PERIODIC, PERIODIC[:, :3]),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(call):
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
