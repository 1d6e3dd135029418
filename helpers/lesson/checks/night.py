"""Checks of notebook 20, A night in one minute."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, explain, number

WINDOWS, SHARE, FOUND, FALSE = 8 * 3600, 0.001, 0.9, 0.01  # a night, one window a second
TRUE, ALARMS = WINDOWS * SHARE * FOUND, WINDOWS * (1 - SHARE) * FALSE
WANTED = 0.9  # share of alarms that are true
NIGHTS = (  # begins of windows, whether each says yes, what is heard from when to when
    ((0, 1, 2, 3, 4), (0, 1, 1, 0, 0), [(1, 4)]),
    ((0, 1, 2, 3, 4, 5, 6), (1, 0, 0, 0, 1, 0, 1), [(0, 2), (4, 8)]),
    ((0, 0.5, 1, 5, 9), (1, 1, 1, 1, 1), [(0, 3), (5, 7), (9, 11)]),
    ((0, 1), (0, 0), []),
)
Spans = list[tuple[float, float]]


@exercise
def spans(function: Callable[[Sequence[float], Sequence[bool], float], Spans]) -> str:
    """Begins of windows, which of them say yes, a window's length -> (start, end), joined."""
    for starts, yes, right in NIGHTS:
        answer = called(function, list(starts), [bool(one) for one in yes], 2.0)
        try:
            found = [(float(start), float(end)) for start, end in answer]
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is a list of pairs: start, end.") from error
        if found == right:
            continue
        if len(found) == sum(yes) > len(right):
            raise Wrong("one song in two windows is one event: join windows that overlap or touch.")
        if [start for start, _ in found] == [start for start, _ in right]:
            raise Wrong(
                f"windows at {starts}, {yes}: a window goes on for its 2 seconds; {found} ends elsewhere."
            )
        raise Wrong(f"windows at {starts}, {yes}: {right} are heard, not {found}.")
    return "an event may be longer than any window."


@exercise
def rare(answer: tuple[float, float]) -> str:
    """How many windows of a night say yes, and which share of them is right."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Wrong("the answer is a pair: how many windows, and a share from 0 to 1.")
    if ... in answer:
        raise NotYet
    many, share = map(number, answer)
    explain(
        many,
        {
            "those are the true ones alone; false alarms say yes too.": TRUE,
            "those are the false alarms alone.": ALARMS,
            "those are all windows of the night.": WINDOWS,
        },
    )
    if not close(many, TRUE + ALARMS):
        raise Wrong("count both kinds: of the windows with the animal, and of those without it.")
    explain(
        share,
        {
            "the share is from 0 to 1, not a percentage.": 100 * TRUE / (TRUE + ALARMS),
            "that is how many of its songs are found, not how many alarms are right.": FOUND,
            "that is the share of false ones.": ALARMS / (TRUE + ALARMS),
        },
    )
    if not close(share, TRUE / (TRUE + ALARMS)):
        raise Wrong("the number is right. Of these, how many are from the 29 windows that have the animal?")
    return "ninety percent found, one percent false, and eleven of twelve alarms are nothing."


def our_threshold(scores: np.ndarray, present: np.ndarray, share: float, least: float) -> float | None:
    """The course's answer to `threshold`."""
    for one in np.unique(scores):
        true, false = (scores[present] >= one).mean(), (scores[~present] >= one).mean()
        if true * share / (true * share + false * (1 - share) + 1e-300) >= least:
            return float(one)
    return None


@exercise
def threshold(function: Callable[[np.ndarray, np.ndarray, float, float], float | None]) -> str:
    """Scores, where the animal is, its share in the field, least share of true alarms -> a score."""
    rng = np.random.default_rng(3)
    for share, n in ((0.5, 400), (0.01, 400), (0.05, 90), (0.0001, 60)):
        present = rng.random(n) < 0.5
        scores = np.round(1 / (1 + np.exp(-rng.normal(np.where(present, 1.5, -1.5), 1.2))), 3)
        scores[present & (scores == scores.max())] -= 0.001
        if share == 0.0001:
            scores[np.flatnonzero(~present)[0]] = 1.0
        right = our_threshold(scores, present, share, WANTED)
        answer = called_or_none(function, scores.copy(), present.copy(), share, WANTED)
        if answer == right:
            continue
        if right is None:
            raise Wrong(
                "the loudest alarm of all is false: there no threshold is good enough, so return None."
            )
        if answer is None:
            raise NotYet if share == 0.5 else Wrong(f"for a share of {share} there is one; yours finds none.")
        if answer == our_threshold(scores, present, float(present.mean()), WANTED):
            raise Wrong("that holds where half of the windows have the animal. In the field few have it.")
        if number(answer) > right:
            raise Wrong(f"for a share of {share}, {right:g} would do; {answer:g} misses songs for nothing.")
        raise Wrong(f"for a share of {share}, {answer:g} is too low: too many alarms are false.")
    return "a threshold belongs to a place and a season, not to a model."


def called_or_none(function: Callable, *given: object) -> object:
    """As `called`, for a function that may return None."""
    try:
        return called(function, *given)
    except NotYet:
        return None
