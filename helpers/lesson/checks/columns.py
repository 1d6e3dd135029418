"""Checks of notebook 10, Music one token at a time."""

from collections.abc import Callable, Mapping

import numpy as np

from helpers.lesson.checks.verdict import NotYet, Wrong, called, exercise, whole_number
from helpers.musicgen.decoding import delayed

PATTERNS = ((0, 1, 2, 3), (0, 0, 1, 1), (0, 2, 2), (0,))
SPEECH = {"delayed": 5 * 86 + 15, "one after the other": 5 * 86 * 9, "first frame": 16}
SLIPS = {  # wrong answer -> why
    "delayed": {
        5 * 86: "the late books still have something to say when book 0 is through.",
        5 * 86 + 16: "the first column is given, not written.",
        5 * 86 + 8: "eight is the number of late books, or the smallest of their delays; which one counts?",
    },
    "one after the other": {5 * 86: "that is one step a frame.", 5 * 86 * 8: "book 0 takes steps too."},
    "first frame": {
        15: "with fifteen steps the last book has still nothing of the first frame.",
        9: "the nine tokens of a frame are not written in nine steps in a row here.",
        1: "one step writes one token of it.",
    },
}


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
def speech_steps(answers: Mapping[str, int]) -> str:
    """Steps of a model with nine books and delays up to 15."""
    if not isinstance(answers, Mapping) or set(answers) != set(SPEECH):
        raise Wrong(f"the answer is a dictionary with the keys {', '.join(SPEECH)}.")
    if ... in answers.values():
        raise NotYet
    for name, right in SPEECH.items():
        answer = whole_number(answers[name])
        if answer in SLIPS[name]:
            raise Wrong(f"{name}: {SLIPS[name][answer]}")
        if answer != right:
            raise Wrong(f"{name}: it is not {answer}.")
    return "a long delay costs nothing but a late first sound."
