"""Checks of notebook 13, The loop."""

from collections.abc import Callable

import numpy as np

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, number


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
def verdict(function: Callable[[np.ndarray, np.ndarray, float], str]) -> str:
    """'same', 'tie' or 'mistake' of two runtimes' logits (V,) that rounding moves by up to a tolerance."""
    cases = (
        ([3, 1, 0], [2.9, 1.2, 0], "same", "both choose the first token"),
        ([3.0, 2.95, 0], [2.9, 3.0, 0], "tie", "a lead of 0.05, and a tolerance of 0.1"),
        ([3.0, 2.85, 0], [2.9, 2.95, 0], "tie", "a lead of 0.15: one may fall, the other rise, by 0.1 each"),
        ([3.0, 2.7, 0], [2.7, 3.0, 0], "mistake", "a lead of 0.3, and a tolerance of 0.1"),
        ([9.0, 1, 0], [1.0, 9, 0], "mistake", "a lead of 8"),
    )
    for a, b, right, what in cases:
        answer = called(function, np.array(a, float), np.array(b, float), 0.1)
        if answer not in ("same", "tie", "mistake"):
            raise Wrong(f"the function returned {answer!r}; it should be 'same', 'tie' or 'mistake'.")
        if answer != right:
            raise Wrong(f"{what}: that is no {answer!r}.")
    return "now a parting of two runs is a finding, and no riddle."
