"""Checks of notebook 13, The loop."""

from collections.abc import Callable

import numpy as np

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, number

VERDICTS = ("same", "tie", "mistake")
ALIKE = ([3.0, 1.0, 0.0], [2.9, 1.2, 0.0])  # the two runs' logits at one place
CLOSE, CLOSER_THAN_TWICE = ([3.0, 2.95, 0.0], [2.9, 3.0, 0.0]), ([3.0, 2.85, 0.0], [2.9, 2.95, 0.0])
FAR, FARTHER = ([3.0, 2.7, 0.0], [2.7, 3.0, 0.0]), ([9.0, 1.0, 0.0], [1.0, 9.0, 0.0])
PARTINGS = (  # steps of two books, the verdict at a tolerance of 0.1, and what is special
    ([(ALIKE, ALIKE)] * 3, ("same", None), "both choose the same tokens everywhere"),
    ([(ALIKE, ALIKE), (ALIKE, CLOSE)], ("tie", 1), "a lead of 0.05, and a tolerance of 0.1"),
    (
        [(CLOSER_THAN_TWICE, ALIKE)] * 2,
        ("tie", 0),
        "a lead of 0.15: one may fall, the other rise, by 0.1 each",
    ),
    ([(ALIKE, ALIKE), (FAR, ALIKE)], ("mistake", 1), "a lead of 0.3, and a tolerance of 0.1"),
    ([(ALIKE, CLOSE), (FARTHER, FARTHER)], ("tie", 0), "a lead of 8, but after they have parted"),
    ([(ALIKE, ALIKE), (CLOSE, FARTHER)], ("mistake", 1), "two books part at once, one by a lead of 8"),
    ([(ALIKE, ALIKE), (FARTHER, CLOSE)], ("mistake", 1), "two books part at once, the first by a lead of 8"),
)


@exercise
def min_p(function: Callable[[np.ndarray, float], np.ndarray]) -> str:
    """Keep what is at least `share` times as likely as the most likely; probabilities (..., V)."""
    p = np.random.default_rng(0).dirichlet(np.full(12, 0.5), (2, 3))
    for share in (0.1, 0.5, 1.0):
        kept = np.where(p >= share * p.max(-1, keepdims=True), p, 0)
        answer = np.asarray(called(function, p.copy(), share))
        if answer.shape != p.shape:
            raise Wrong(f"the shape stays {p.shape}; the function gave {answer.shape}.")
        if np.allclose(answer, kept) and not np.allclose(kept.sum(-1), 1):
            raise Wrong("the right tokens are kept, but what is left does not add up to one.")
        absolute = np.where(p >= share, p, 0)
        if np.array_equal(answer > 0, absolute > 0) and not np.array_equal(absolute > 0, kept > 0):
            raise Wrong("that compares with the share itself, not with a share of the most likely token.")
        if np.array_equal(answer > 0, p >= share * p.max()) and not np.array_equal(
            p >= share * p.max(), kept > 0
        ):
            raise Wrong("each row has a most likely token of its own; that took one for all.")
        if not np.allclose(answer, kept / kept.sum(-1, keepdims=True)):
            raise Wrong(f"with a share of {share} other tokens should be left, or with other probabilities.")
    return "few tokens where the model is sure, many where it is not."


@exercise
def guidance_forms(answer: tuple[float, float]) -> str:
    """(g of w = 4, w of g = 3), where u + g (c - u) = (1 + w) c - w u."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Wrong("the answer is a pair of numbers: g, w.")
    if ... in answer:
        raise NotYet
    g, w = map(number, answer)
    if close(g, 4) or close(w, 3):
        raise Wrong(
            "the two forms do not count from the same place: which g, and which w, is the model itself?"
        )
    if not close(g, 5):
        raise Wrong("g: how many times c is in (1 + 4) c - 4 u, and how many times in our form?")
    if not close(w, 2):
        raise Wrong("g is right; w: the same step backwards.")
    return "one apart: a difference that many ports have copied wrongly."


@exercise
def verdict(function: Callable[[np.ndarray, np.ndarray, float], tuple[str, int | None]]) -> str:
    """Two greedy runs' logits (steps, books, V), which rounding moves by up to a tolerance -> (which, step).

    which: "same", "tie" or "mistake"; step: where they part, None if they do not.
    """
    for places, right, what in PARTINGS:
        a, b = (np.array(one, float) for one in zip(*(zip(*step) for step in places)))
        answer = called(function, a, b, 0.1)
        if not isinstance(answer, tuple) or len(answer) != 2 or answer[0] not in VERDICTS:
            raise Wrong(f"return a pair, such as ('tie', 7); the function returned {answer!r}.")
        if answer[0] != right[0]:
            raise Wrong(f"{what}: that is no {answer[0]!r}.")
        if answer[1] != right[1]:
            raise Wrong(f"{what}: the step is not {answer[1]}.")
    return "now a parting of two runs is a finding, and no riddle."
