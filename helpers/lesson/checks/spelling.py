"""Checks of notebook 34, The ear."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, number, whole_number

ROWS = (  # of frames, what they read as
    ("--hh-e-ll-lo-", "hello"),
    ("rreeedd", "red"),
    ("----", ""),
    ("aa-a", "aa"),
    ("t-oo-- -ss-ee-e", "to see"),
)
TEXTS = (("red", 3), ("the red ring", 12), ("yellow", 7), ("three green", 13), ("aaa", 5), ("", 0))


@exercise
def read(function: Callable[[str], str]) -> str:
    """A row of letters and dashes -> the text that it reads as."""
    for row, right in ROWS:
        answer = function(row) if callable(function) and not right else called(function, row)
        if answer == right:
            continue
        if not isinstance(answer, str):
            raise Wrong(f"the text is a string, not a {type(answer).__name__}.")
        if "-" in answer:
            raise Wrong(f"'{row}' became '{answer}': a dash is no letter.")
        if answer == row.replace("-", ""):
            raise Wrong(f"'{row}' became '{answer}': a letter may go on over several frames.")
        if answer.replace(" ", "") == right.replace(" ", ""):
            raise Wrong("the space is a letter like any other, and stays.")
        raise Wrong(f"'{row}' is '{right}', not '{answer}': what was the dash there for?")
    return "two lines, and every system of this kind has them."


@exercise
def least(function: Callable[[str], int]) -> str:
    """A text -> the fewest frames that it can be written with."""
    for text, right in TEXTS:
        answer = whole_number(called(function, text))
        if answer == right:
            continue
        if answer == len(text):
            raise Wrong(f"'{text}' with {answer} frames: its two equal letters would be read as one.")
        if answer == 2 * len(text) + 1:
            raise Wrong("a dash between all letters is allowed; where is it needed?")
        if answer < len(text):
            raise Wrong(f"'{text}' with {answer} frames: does the space need none?")
        raise Wrong(f"'{text}' needs {right} frames, not {answer}: look at each pair of neighbours.")
    return "at 12.5 frames a second, people would have to speak slowly."


def our_probability(
    p: np.ndarray,
    text: Sequence[int],
    over: Callable[[int, int], bool],
    join: Callable[[Sequence[float]], float] = sum,
) -> float:
    """The sum over rows (Graves et al. 2006); over: whether one may go from a letter straight to another.

    join: what becomes of rows that meet. `max` keeps the likeliest alone (Viterbi 1967).
    """
    path = [0] + [one for letter in text for one in (letter, 0)]
    now = np.zeros(len(path))
    now[:2] = p[0, path[:2]]
    for frame in p[1:]:
        before = now.copy()
        for i, letter in enumerate(path):
            sources = [before[i], before[i - 1] if i else 0]
            if i > 1 and letter and over(letter, path[i - 2]):
                sources.append(before[i - 2])
            now[i] = join(sources) * frame[letter]
    return float(join(now[-2:]))


def likeliest(p: np.ndarray, text: Sequence[int]) -> float:
    """The probability of the single best row."""
    return our_probability(p, text, lambda one, other: one != other, max)


@exercise
def probability(function: Callable[[np.ndarray, list[int]], float]) -> str:
    """Probabilities (T, V), letters -> the summed probability of all rows that read as the letters."""
    rng = np.random.default_rng(4)
    for n, text in ((1, [1]), (3, [1, 2]), (5, [1, 1]), (7, [2, 1, 1]), (40, [1, 2, 2, 3, 1, 1])):
        p = rng.dirichlet(np.ones(4), size=n)
        right = our_probability(p, text, lambda one, other: one != other)
        answer = number(called(function, p.copy(), list(text)))
        if close(answer, right):
            continue
        where = f"{n} frames, text {text}:"
        if len(set(text)) < len(text) and close(answer, our_probability(p, text, lambda *_: True)):
            raise Wrong(f"{where} between two equal letters there must be a dash.")
        if close(answer, our_probability(p, text, lambda *_: False)):
            raise Wrong(f"{where} between different letters there need not be a dash.")
        if close(answer, likeliest(p, text)):
            raise Wrong(f"{where} that is the best row alone; many others read the same.")
        if answer < 0:
            raise Wrong("a probability is not negative: the logarithm is not asked for.")
        raise Wrong(f"{where} {right:.4g}, not {answer:.4g}. Where may a row begin, and where end?")
    return "this is the whole of CTC's loss; its slope is for the library."
