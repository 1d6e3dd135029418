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


def _in_turn(frames: torch.Tensor, books: torch.Tensor, score: Callable) -> torch.Tensor:
    """Residual quantization: frames (T, D), books (C, V, D) -> codes (C, T), the entries that score most."""
    codes = []
    for book in books:
        codes.append(score(frames, book).argmax(1))
        frames = frames - book[codes[-1]]
    return torch.stack(codes)


@exercise
def residual_codes(quantize: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> str:
    """A function of frames (T, D) and codebooks (C, V, D) that gives EnCodec's tokens (C, T)."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(40, 6, generator=generator)
    books = torch.randn(3, 16, 6, generator=generator) * torch.tensor([1, 0.6, 0.3])[:, None, None]
    said = "for 3 codebooks and 40 frames there should be (3, 40) tokens; the function gave"
    answer = of_shape(called(quantize, frames.clone(), books.clone()), (3, 40), said)
    right = _in_turn(frames, books, lambda left, book: -torch.cdist(left, book))
    mistakes = {
        "every codebook looks at the whole frame; each should look at what the ones before it left over.": (
            torch.cdist(frames, books).argmin(2)
        ),
        "that is VampNet's choice, by direction; EnCodec takes the entry nearest in space.": (
            _in_turn(frames, books, lambda left, book: left @ F.normalize(book).T)
        ),
        "the largest product is not the smallest distance: long entries win too often.": (
            _in_turn(frames, books, lambda left, book: left @ book.T)
        ),
    }
    if expect(answer, right, mistakes, torch.equal):
        return "the same loop as VampNet's, with another idea of nearest: that is EnCodec's quantizer."
    raise Wrong(
        "choose with the first codebook, take the entry away from the frame, and go on with the rest."
    )


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
