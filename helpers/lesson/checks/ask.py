"""Checks of notebook 30, Ask it something."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, exercise, explain, whole_number

Box = Callable[[tuple[str, str], str], str]
SIGN, OF_PICTURE = 1, 16  # places
TOGETHER = 8  # columns that become a place
ASKED = (  # has a picture, words, seconds, columns
    (False, 5, None, None),
    (True, 6, None, None),
    (True, None, 1.0, 100),
    (False, None, 2.05, 205),
    (True, None, 1.6, 160),
)
ANSWERS = (
    ("yes", "no", "yes", "no", "yes", "no"),
    ("red", "red", "red", "blue", "green", "blue"),
    ("a", "b", "c", "d", "e"),
    ("a", "a", "b", "b", "b", "a", "c", "c", "d", "e"),
)
KINDS = ("honest", "blind", "deaf", "late")
COLOURS, SHAPES = ("red", "green", "blue"), ("ring", "star", "moon")


@exercise
def places(function: Callable[[bool, int | None, float | None], int]) -> str:
    """Whether there is a picture, words typed or seconds spoken -> places before the answer."""
    for has_picture, n_words, seconds, columns in ASKED:
        asked = n_words if columns is None else -(-columns // TOGETHER)
        picture = (SIGN + OF_PICTURE) * has_picture
        answer = whole_number(called(function, has_picture, n_words, seconds))
        if answer == picture + SIGN + asked + SIGN:
            continue
        what = f"{'a' if has_picture else 'no'} picture, {n_words or seconds} {'words' if n_words else 's'}:"
        explain(
            answer,
            {
                f"{what} {answer} leaves out the sign that the answer begins.": picture + SIGN + asked,
                f"{what} {answer} leaves out every sign.": picture - SIGN * has_picture + asked,
                f"{what} {answer} leaves out the sign before the picture.": picture + SIGN + asked,
                f"{what} what is left over at the end still makes a place.": (
                    picture + 2 * SIGN + (columns or 0) // TOGETHER
                ),
                f"{what} two frames make one place.": picture + 2 * SIGN + -(-(columns or 0) // 4),
            },
            lambda one, other: one == other,
        )
        raise Wrong(f"{what} not {answer}. Count signs and places by hand.")
    return "every one of them is paid for in every layer, at every word."


@exercise
def others(function: Callable[[list[str]], Sequence[int]]) -> str:
    """The right answers of items -> for each item another one, whose answer differs."""
    for answers in ANSWERS:
        found = called(function, list(answers))
        try:
            found = [int(one) for one in found]
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is a list of numbers, one an item.") from error
        if len(found) != len(answers):
            raise Wrong(f"for {len(answers)} items there are {len(found)} numbers.")
        if sorted(found) != list(range(len(answers))):
            most = Counter(found).most_common(1)[0]
            raise Wrong(f"item {most[0]} lends its picture {most[1]} times; each is used once.")
        same = [i for i, one in enumerate(found) if answers[one] == answers[i]]
        if any(found[i] == i for i in same):
            raise Wrong("an item got its own picture.")
        if same:
            raise Wrong(f"'{answers[same[0]]}' met a picture whose right answer is the same.")
    return "now a right answer means that it did not look."


def box(kind: str, rng: np.random.Generator) -> Box:
    """A model of one of KINDS, that has answered before."""
    before = [(COLOURS[rng.integers(3)], SHAPES[rng.integers(3)])]
    fixed = COLOURS[rng.integers(3)], SHAPES[rng.integers(3)]
    part = int(rng.integers(2))

    def answer(picture: tuple[str, str], question: str) -> str:
        seen = {"blind": fixed, "late": before[0]}.get(kind, picture)
        if kind == "late":
            before[0] = picture
        return seen[part if kind == "deaf" else ("colour", "shape").index(question)]

    return answer


@exercise
def diagnose(function: Callable[[Box], str]) -> str:
    """A box -> which of KINDS it is."""
    wrong, answers = [], []
    for kind in KINDS:
        for seed in range(30):
            answer = called(function, box(kind, np.random.default_rng((seed, len(kind)))))
            if answer not in KINDS:
                raise Wrong(f"{answer!r} is none of {', '.join(KINDS)}.")
            answers.append(answer)
            if answer != kind:
                wrong.append((kind, answer))
    if not wrong:
        return "a minute's work, and most reports on such models do without it."
    if len(set(answers)) == 1:
        raise Wrong(f"to you every box is {answers[0]}.")
    (kind, answer), times = Counter(wrong).most_common(1)[0]
    raise Wrong(f"of thirty {kind} boxes, {times} were taken for {answer}.")
