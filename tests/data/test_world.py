"""The world: each item a function of its number, the unseen neither drawn nor named, answers true."""

import subprocess
import sys

import numpy as np
import pytest

from data.world import pictures, sentences
from data.world.items import SPLITS, item, practice, signpost
from data.world.scenes import (
    COLOURS,
    PAIRS,
    SHAPES,
    UNSEEN_NUMBERS,
    UNSEEN_PAIRS,
    Scene,
    Sign,
    Thing,
    place,
)
from data.world.sentences import DIGITS, KINDS, UNKNOWN, WORDS

MANY = 1500


@pytest.fixture(scope="module")
def train():
    return [item("train", i) for i in range(MANY)]


@pytest.fixture(scope="module")
def unseen():
    return [item("unseen", i) for i in range(400)]


def test_an_item_depends_on_its_number_alone():
    """Whatever was drawn before; another seed or split is another item."""
    alone = item("train", 7)
    [item("train", i) for i in range(5)]
    again = item("train", 7)
    assert (alone.scene, alone.question, alone.answer) == (again.scene, again.question, again.answer)
    np.testing.assert_array_equal(alone.picture, again.picture)
    others = [item("train", 7, seed=1), item("train", 8), *(item(split, 7) for split in list(SPLITS)[1:])]
    assert all(other.scene != alone.scene for other in others)


def test_unseen_pairs_are_one_of_each():
    assert (
        sorted(c for c, _ in UNSEEN_PAIRS) == sorted(s for _, s in UNSEEN_PAIRS) == list(range(len(SHAPES)))
    )
    assert len(PAIRS[False]) + len(PAIRS[True]) == len(COLOURS) * len(SHAPES)


def test_training_never_draws_nor_names_the_unseen(train):
    names = [f"{COLOURS[colour]} {SHAPES[shape]}" for colour, shape in UNSEEN_PAIRS]
    numbers = [" ".join(DIGITS[digit] for digit in Sign(0, number).digits) for number in UNSEEN_NUMBERS]
    for one in train:
        text = f"{one.question} {one.answer} {one.spelled}"
        assert not [name for name in (*names, *numbers) if name in text]
    drawn = {(thing.colour, thing.shape) for one in train if one.scene for thing in one.scene.things}
    assert drawn == set(PAIRS[False])


def test_the_unseen_split_draws_nothing_else(unseen):
    scenes = [one.scene for one in unseen if one.scene]
    assert {(thing.colour, thing.shape) for scene in scenes for thing in scene.things} == UNSEEN_PAIRS
    assert all(scene.sign.number in UNSEEN_NUMBERS for scene in scenes if scene.sign)


def test_all_words_are_used_and_no_others(train):
    used = {word for one in train for word in f"{one.question} {one.answer} {one.spelled}".split()}
    assert used == set(WORDS) and len(set(WORDS)) == len(WORDS) == 63


def test_kinds_are_about_as_frequent(train):
    counts = [sum(one.kind == kind for one in train) for kind in KINDS]
    assert min(counts) > MANY / len(KINDS) * 0.7 and max(counts) < MANY / len(KINDS) * 1.3


def test_yes_is_no_better_guess_than_no(train):
    said = [one.answer.split()[0] for one in train if one.kind == "exists" and one.scene]
    assert 0.4 < said.count("yes") / len(said) < 0.6


SCENE = Scene((Thing(0, 0, 0), Thing(4, 0, 4), Thing(5, 1, 3)), Sign(6, 407))


@pytest.mark.parametrize(
    "kind, question, answer",
    [
        ("colour", "what colour is the star", "the star is red"),
        ("shape", "what shape is the orange thing", "the orange thing is a cross"),
        ("where", "where is the red star", "the red star is in the middle"),
        ("where", "where is the red circle", "the red circle is in the top left"),
        ("count", "how many red things are there", "there are two red things"),
        ("count", "how many orange things are there", "there is one orange thing"),
        ("exists", "is there an orange cross", "yes there is an orange cross"),
        ("what", "what is in the middle right", "an orange cross is in the middle right"),
        ("what", "what is in the top right", "nothing is in the top right"),
        ("sign", "read the sign", "the number is four zero seven"),
        ("describe", "what is there", "i see a red circle and a red star and an orange cross and a sign"),
    ],
)
def test_answers_are_true(kind, question, answer):
    """Asked until the question comes up."""
    rng = np.random.default_rng(0)
    said = (KINDS[kind](SCENE, False, rng) for _ in range(2000))
    assert {one.answer for one in said if one and one.question == question} == {answer}


def test_what_is_not_unique_is_not_asked_for():
    """Two red things: neither "what shape is the red thing" nor "where is the red circle" of two of them."""
    rng = np.random.default_rng(0)
    asked = {one.question for one in (sentences.ask_shape(SCENE, False, rng) for _ in range(300)) if one}
    assert asked and not [question for question in asked if "red" in question]
    twice = Scene((Thing(0, 0, 0), Thing(1, 0, 0)), None)
    assert all(sentences.ask_where(twice, False, rng) is None for _ in range(50))


def test_sums_are_right_and_need_no_picture(train):
    for one in train:
        if one.kind == "sum":
            first, _, second, _, total = (DIGITS.index(w) if w in DIGITS else w for w in one.answer.split())
            assert first + second == total
    blind = [one for one in train if one.scene is None]
    assert blind and all((one.answer == UNKNOWN) != (one.kind == "sum") for one in blind)
    assert all(one.picture is None for one in blind)


def test_places_are_nine():
    assert len({place(cell) for cell in range(9)}) == 9 and place(4) == "middle" and place(3) == "middle left"


def test_pictures_show_what_is_there():
    """Where a thing lies there is its colour; where a sign lies it is light; elsewhere it is dark."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        picture = pictures.render(SCENE, rng).astype(float) / 255
        assert picture.shape == (64, 64, 3)
        middles = picture.reshape(64, 64, 3)[10::21, 10::21]
        np.testing.assert_allclose(middles[1, 1], pictures.RGB[0], atol=0.2)
        assert middles[0, 2].max() < 0.4
        assert picture[46:60, 6:36].mean() > 0.4


def test_shapes_differ_from_one_another():
    """Of any two, more than a tenth of the square round them is in one and not in the other."""
    assert tuple(outline.__name__ for outline in pictures.OUTLINES) == SHAPES
    y, x = np.mgrid[1:-1:41j, -1:1:41j]
    inside = [outline(x, y) < 0 for outline in pictures.OUTLINES]
    for i, one in enumerate(inside):
        assert 0.15 < one.mean() < 0.75
        assert min((one != other).mean() for other in inside[i + 1 :] or [~one]) > 0.07


def test_practice_never_names_an_unseen_pair_and_leaves_things_unnamed():
    colours, shapes = (np.stack(one) for one in zip(*(practice(i)[1:3] for i in range(200))))
    named = (colours > 0) & (shapes > 0)
    pairs = set(zip((colours[named] - 1).tolist(), (shapes[named] - 1).tolist()))
    assert pairs and not pairs & UNSEEN_PAIRS
    assert ((colours == -1) & (shapes > 0)).any() and ((colours > 0) & (shapes == -1)).any()
    for one, same in zip(practice(3)[:3], practice(3)[:3]):
        np.testing.assert_array_equal(one, same)


def test_unnamed_colours_are_far_from_named_ones():
    rng = np.random.default_rng(0)
    far = [np.linalg.norm(pictures.RGB - pictures.unnamed_colour(rng), axis=1).min() for _ in range(50)]
    assert min(far) > pictures.NEAREST


def test_signposts():
    signs = [signpost(i)[1].sign for i in range(300)]
    assert 0.02 < signs.count(None) / 300 < 0.2
    assert not {sign.number for sign in signs if sign} & UNSEEN_NUMBERS
    unseen = [signpost(i, unseen=True)[1].sign for i in range(50)]
    assert {sign.number for sign in unseen if sign} <= UNSEEN_NUMBERS


def test_the_sheet(tmp_path):
    subprocess.run([sys.executable, "-m", "data.world", str(tmp_path / "sheet.png")], check=True)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
