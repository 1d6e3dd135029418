"""Checks of notebook 10, Music one token at a time."""

from collections.abc import Callable

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, exercise, whole_number
from helpers.musicgen.decoding import delayed

PATTERNS = ((0, 1, 2, 3), (0, 0, 1, 1), (0, 2, 2), (0,))
SPEECH = (0, *range(8, 16))
CUTS = (  # delays, how many of the lowest books, columns so far
    ((0, 1, 2, 3), 4, 9),
    ((0, 1, 2, 3), 2, 9),
    (SPEECH, 1, 12),
    (SPEECH, 3, 12),
    ((0, 0, 1, 1), 4, 6),
    ((1, 0, 2), 2, 6),
    ((0, 1, 2, 3), 4, 3),
    (SPEECH, 9, 4),
)


@exercise
def delay(function: Callable[[np.ndarray, list[int], int], np.ndarray]) -> str:
    """Codes (K, N), delays and the special token -> columns (K, 1 + N + the largest delay)."""
    rng = np.random.default_rng(0)
    for delays in PATTERNS:
        codes = rng.integers(0, 50, (len(delays), 5))
        right = delayed(codes[None], delays, 50)[0]
        answer = called(function, codes.copy(), list(delays), 50)
        if not isinstance(answer, np.ndarray) or answer.shape != right.shape:
            was = answer.shape if isinstance(answer, np.ndarray) else type(answer).__name__
            raise Wrong(f"with delays {delays} and 5 frames the columns are {right.shape}, not {was}.")
        if (answer[:, 0] != 50).any():
            raise Wrong("the first column holds only special tokens: nothing is written yet.")
        if not np.array_equal(answer, right):
            book = int((answer != right).any(1).argmax())
            raise Wrong(f"with delays {delays}, book {book} is not where it should be.")
    return f"right for {len(PATTERNS)} patterns, a stereo one among them."


@exercise
def complete(function: Callable[[int, int, int], int]) -> str:
    """How many frames can be decoded: known, steps, largest delay -> frames."""
    for known, steps, most in (
        (0, 1, 3),
        (0, 4, 3),
        (10, 2, 3),
        (10, 3, 3),
        (10, 9, 3),
        (5, 1, 0),
        (7, 0, 3),
    ):
        answer, right = whole_number(called(function, known, steps, most)), known + max(0, steps - most)
        if answer < known:
            raise Wrong("the prompt stays complete, however few columns were written after it.")
        if answer != right:
            raise Wrong(f"{known} known frames, {steps} steps, largest delay {most}: it is not {answer}.")
    return "and so many frames a stream can play while the rest is being written."


@exercise
def early(function: Callable[[np.ndarray, list[int], int], np.ndarray]) -> str:
    """Columns so far (K, C), delays, how many of the lowest books -> their complete frames, (books, n)."""
    rng = np.random.default_rng(1)
    for delays, books, n_columns in CUTS:
        codes = rng.integers(0, 50, (len(delays), n_columns))
        columns = delayed(codes[None], delays, 50)[0, :, :n_columns]
        asked = f"{n_columns} columns, delays {delays}, the lowest {books}"
        answer = called(function, columns.copy(), list(delays), books)
        if not isinstance(answer, np.ndarray) or answer.ndim != 2 or len(answer) != books:
            was = answer.shape if isinstance(answer, np.ndarray) else type(answer).__name__
            raise Wrong(f"{asked}: the answer is an array ({books}, n), not {was}.")
        n = {latest: max(0, n_columns - 1 - latest) for latest in (max(delays), delays[books - 1])}
        right = codes[:books, : max(0, n_columns - 1 - max(delays[:books]))]
        if answer.shape != right.shape:
            raise Wrong(f"{asked}: {_why_so_many(answer.shape[1], right.shape[1], *n.values())}")
        if not np.array_equal(answer, right):
            book = int((answer != right).any(1).argmax())
            raise Wrong(f"{asked}: so many frames are complete, but book {book} has other tokens in them.")
    return "one book after a step, three after ten, all nine after sixteen: rough first, and fine later."


def _why_so_many(found: int, right: int, *others: int) -> str:
    if found == right + 1:
        return "one frame too many: the first column was given, and holds nothing."
    if found in others:
        return f"{found} frames: which of these books comes last, and do the others matter?"
    return f"{found} frames are not what is complete."
