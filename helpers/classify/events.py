"""Scores of windows into events: who was heard from when to when. No PyTorch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Heard:
    """One event: seconds, the number of its label, the highest score within."""

    start: float
    end: float
    label: int
    score: float


def events(
    scored: Iterable[tuple[float, np.ndarray]], window: float, thresholds: np.ndarray, gap: float = 0.0
) -> list[Heard]:
    """Windows whose score is at least the label's threshold, those that touch joined, in order of time.

    scored: the second at which each window begins, in order, and its scores (labels,), as `Pipeline.stream`
    gives them. window: its seconds. An event reaches from the middle half of its first window to that of its
    last: what is heard in overlapping windows is where they overlap. gap: seconds that may lie between.
    """
    running: dict[int, Heard] = {}
    found = []
    for start, scores in scored:
        begin, end = start + window / 4, start + 3 * window / 4
        for label in np.flatnonzero(np.asarray(scores) >= thresholds).tolist():
            score, before = float(scores[label]), running.get(label)
            if before and begin <= before.end + gap:
                running[label] = Heard(before.start, end, label, max(score, before.score))
                continue
            if before:
                found.append(before)
            running[label] = Heard(begin, end, label, score)
    return sorted([*found, *running.values()], key=lambda one: (one.start, one.label))


def matched(found: Sequence[Heard], true: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Which events found are true, and which true ones were found: two arrays of booleans, one an event.

    One is the other where they overlap and have the same label, and each is one other at most: who says that
    somebody sang all night has found one song. true: each with `start`, `end` and `label`.
    """
    hits, heard = np.zeros(len(found), bool), np.zeros(len(true), bool)
    for i, one in enumerate(found):
        for j, other in enumerate(true):
            if heard[j] or one.label != other.label:
                continue
            if one.start < other.end and other.start < one.end:
                hits[i] = heard[j] = True
                break
    return hits, heard
