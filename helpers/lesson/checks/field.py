"""Checks of notebook 26, In the field."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.verdict import NotYet, Wrong, called, exercise, whole_number

LENGTHS = ((60, 2, 1), (61, 2, 2), (10.5, 3, 1), (2, 2, 1), (0.8, 2, 1))  # seconds: sound, window, hop
LEVELS = np.array([0.2, 0.4, 0.6, 0.8, 0.9])
ALARMS = np.array([[30, 9, 2, 40], [12, 1, 0, 33], [3, 4, 0, 20], [1, 1, 0, 9], [0, 0, 0, 6]], float)
MOST = 3  # false alarms an hour
QUIET = (0.1, 0.5, 0.9, 0.6, 0.1, 0.1, 0.5, 0.5, 0.2, 0.4, 0.8, 0.1, 0.7, 0.1, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1)
HIGH, LOW = 0.75, 0.4
Spans = list[tuple[int, int]]


def our_count(seconds: float, window: float, hop: float) -> int:
    """The course's answer to `count`."""
    return 1 if seconds <= window else int(np.ceil(round((seconds - window) / hop, 6))) + 1


@exercise
def count(function: Callable[[float, float, float], int]) -> str:
    """Seconds of a sound, of a window, from one to the next -> how many; the last ends with the sound."""
    for seconds, window, hop in LENGTHS:
        what = f"{seconds} s in windows of {window} s every {hop} s"
        answer, right = whole_number(called(function, seconds, window, hop)), our_count(seconds, window, hop)
        if answer == right:
            continue
        if seconds < window:
            raise Wrong(f"{what}: a sound that is shorter than a window is one, filled with silence.")
        if answer == int((seconds - window) // hop) + 1:
            raise Wrong(
                f"{what}: after {answer}, something is left at the end; one more window ends with it."
            )
        if answer == int(np.ceil(seconds / hop)):
            raise Wrong(f"{what}: the last ones would reach beyond the end. The first takes a whole window.")
        if answer == right - 1:
            raise Wrong(f"{what}: hops lie between windows; there is one more window than hops.")
        raise Wrong(f"{what}: that is {right}, not {answer}.")
    return "nothing is left out, and nothing reaches beyond the end."


def our_quiet(alarms: np.ndarray, levels: np.ndarray, most: float) -> np.ndarray:
    """The course's answer to `quiet`."""
    good = np.logical_and.accumulate((alarms <= most)[::-1])[::-1]
    return np.where(good.any(0), levels[good.argmax(0)], np.inf)


@exercise
def quiet(function: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> str:
    """False alarms an hour (levels, labels), levels rising, most -> a threshold a label (labels,)."""
    right = our_quiet(ALARMS, LEVELS, MOST)
    answer = np.asarray(called(function, ALARMS.copy(), LEVELS.copy(), MOST))
    if answer.shape != right.shape:
        raise Wrong(f"for {len(right)} labels {len(right)} thresholds, not the shape {answer.shape}.")
    if np.array_equal(answer, right):
        return "each species gets what it can bear, and one gets silence."
    lowest = np.where((ALARMS <= MOST).any(0), LEVELS[(ALARMS <= MOST).argmax(0)], np.inf)
    if np.array_equal(answer, lowest):
        raise Wrong(
            "the second label is loud again at 0.6: its threshold must hold at every higher level too."
        )
    if not np.isinf(answer[3]):
        raise Wrong("the last label has too many alarms at every level: infinity, so that it is never said.")
    if np.array_equal(answer, our_quiet(ALARMS, LEVELS, MOST - 1)):
        raise Wrong(f"{MOST} an hour are still allowed; yours allows fewer.")
    raise Wrong(f"{right.tolist()} are the lowest that keep to {MOST} an hour, not {answer.tolist()}.")


def our_tracked(scores: Sequence[float], high: float, low: float, gap: int, least: int) -> Spans:
    """The course's answer to `tracked`."""
    runs, start = [], None
    for i, score in enumerate([*scores, -np.inf]):
        if score >= low and start is None:
            start = i
        elif score < low and start is not None:
            runs.append((start, i))
            start = None
    joined: Spans = []
    for start, end in [one for one in runs if max(scores[slice(*one)]) >= high]:
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= least]


@exercise
def tracked(function: Callable[[np.ndarray, float, float, int, int], Spans]) -> str:
    """Scores of frames (n,), two thresholds, a gap and a least length in frames -> (first, end), in order."""
    for gap, least in ((0, 0), (5, 0), (0, 2), (5, 3)):
        right = our_tracked(QUIET, HIGH, LOW, gap, least)
        answer = called(function, np.array(QUIET), HIGH, LOW, gap, least)
        try:
            found = [(int(start), int(end)) for start, end in answer]
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is a list of pairs: first frame, and the one after the last.") from error
        if found == right:
            continue
        if not found and right:
            raise (
                NotYet if (gap, least) == (0, 0) else Wrong(f"with gap {gap}, least {least} nothing is left.")
            )
        what = f"gap {gap}, least {least}"
        if found == our_tracked(QUIET, HIGH, HIGH, gap, least):
            raise Wrong(f"{what}: an event begins and ends where the score passes the *low* threshold.")
        if found == our_tracked(QUIET, LOW, LOW, gap, least):
            raise Wrong(f"{what}: a run counts only if it reaches the high threshold somewhere.")
        if [(start, end + 1) for start, end in found] == right:
            raise Wrong(f"{what}: the second number is the frame after the last, as in a slice.")
        if found == our_tracked(QUIET, HIGH, LOW, 0, least):
            raise Wrong(f"{what}: events at most {gap} frames apart are one.")
        if found == our_tracked(QUIET, HIGH, LOW, gap, 0):
            raise Wrong(f"{what}: what is shorter than {least} frames goes.")
        if gap and least:
            raise Wrong(f"{what}: first join, then drop what is short, or pieces of long events are lost.")
        if gap and len(found) < len(right):
            raise Wrong(f"{what}: a run that never reaches the high threshold is nothing, and joins nothing.")
        raise Wrong(f"{what}: {right}, not {found}.")
    return "two thresholds: one to believe it, one to follow it."
