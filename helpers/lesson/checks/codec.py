"""Checks of notebook 02, Sound to tokens."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape
from helpers.lesson.checks.verdict import Wrong, called, exercise, whole_number


@exercise
def nearest(choose: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> str:
    """A function of frames (T, 8) and a codebook (V, 8) that gives the row nearest by direction, (T,)."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(200, 8, generator=generator)
    book = torch.randn(64, 8, generator=generator) * torch.logspace(-1, 1, 64)[:, None]
    said = "for 200 frames there should be 200 row numbers, (200,); the function gave"
    answer = of_shape(called(choose, frames, book), (200,), said)
    if answer.is_floating_point():
        raise Wrong("those are similarities; asked for is the place of the largest one, a whole number.")
    mistakes = {
        "that is the row nearest in space; a long row far out can still point the right way.": (
            torch.cdist(frames, book).argmin(1)
        ),
        "long rows win too often: bring the rows to length one first.": (frames @ book.T).argmax(1),
        "that is the row that points the other way: the largest similarity wins.": (
            (frames @ F.normalize(book).T).argmin(1)
        ),
    }
    if expect(answer, (frames @ F.normalize(book).T).argmax(1), mistakes, torch.equal):
        return "the length of a frame cannot change which row wins, so only the codebook is normalised."
    raise Wrong("compare each frame with every row by a dot product, and take the place of the largest.")


@exercise
def needed_context(n_frames: int, encode: Callable[[np.ndarray, int], np.ndarray], whole: np.ndarray) -> str:
    """The smallest number of context frames at which encoding in pieces gives the tokens of the whole.

    encode: from a piece's context, in frames, to the tokens of the whole sound.
    """
    n_frames = whole_number(n_frames)
    if n_frames < 0:
        raise Wrong("a context is a number of frames, and can't be negative.")
    equal = (encode(n_frames) == whole).mean()
    if equal < 1:
        raise Wrong(f"with {n_frames} frames only {equal:.2%} of the tokens are right; take more.")
    if n_frames and (encode(n_frames - 1) == whole).all():
        raise Wrong(f"{n_frames} is enough, but {n_frames - 1} would be too; look for the smallest.")
    return f"{n_frames} frames on either side: that far the encoder's convolutions reach on this clip."


@exercise
def most_important(answer: int, distances: np.ndarray) -> str:
    """The codebook whose loss costs most: distances[i] is the mel distance with codebook i replaced."""
    answer, worst = whole_number(answer), int(np.argmax(distances))
    if answer == worst:
        return f"without codebook {worst} the distance is {distances[worst]:.2f}, the largest of all."
    if not 0 <= answer < len(distances):
        raise Wrong(f"codebooks are counted from 0 to {len(distances) - 1}.")
    if answer == int(np.argmin(distances)):
        raise Wrong("that is the one whose loss costs least; a small distance is a small loss.")
    raise Wrong(f"losing codebook {answer} gives {distances[answer]:.2f}; another one costs more.")
