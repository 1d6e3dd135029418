"""Checks of notebook 02, Sound to tokens."""

import math
import operator
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape
from helpers.lesson.checks.verdict import Wrong, called, exercise, explain, whole_number


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


Layers = Sequence[tuple[int, int, int]]  # of convolutions, from the sound on: kernel, stride, dilation
STACKS: dict[str, Layers] = {
    "a single convolution over five samples": [(5, 1, 1)],
    "two convolutions over three samples": [(3, 1, 1), (3, 1, 1)],
    "a stack like WaveNet's": [(2, 1, 2**i) for i in range(10)],
    "a stack like EnCodec's": [(7, 1, 1), (4, 2, 1), (8, 4, 1), (3, 1, 3), (10, 5, 1), (7, 1, 1)],
}


def _measured(layers: Layers) -> int:
    """The samples on which one output depends: those that get a gradient, all weights being equal."""
    sound = torch.zeros(1, 1, 1 + sum(k * d for k, _, d in layers) * math.prod(s for _, s, _ in layers))
    values = sound.double().requires_grad_()
    made = values
    for kernel, stride, dilation in layers:
        weight = torch.full((1, 1, kernel), 1 / kernel, dtype=torch.double)
        made = F.conv1d(made, weight, stride=stride, dilation=dilation)
    made[..., 0].sum().backward()
    return int((values.grad != 0).sum())


@exercise
def stretch(function: Callable[[Layers], int], encoder: Layers) -> str:
    """A function of convolutions (kernel, stride, dilation) that gives the samples one output depends on."""
    for what, layers in (STACKS | {"this codec's encoder": encoder}).items():
        answer, right = whole_number(called(function, list(layers))), _measured(layers)
        strides = [math.prod(stride for _, stride, _ in layers[:i]) for i in range(len(layers) + 1)]
        sizes = [(kernel, dilation) for kernel, _, dilation in layers]
        mistakes = {
            "the strides are left out: behind a stride, neighbours lie further apart in the sound.": (
                1 + sum((k - 1) * d for k, d in sizes)
            ),
            "the dilations are left out: they pull what a kernel looks at apart.": (
                1 + sum((k - 1) * step for (k, _), step in zip(sizes, strides))
            ),
            "each kernel is counted whole; its middle is where the layer before already was.": (
                1 + sum(k * d * step for (k, d), step in zip(sizes, strides))
            ),
            "it is one too few: with no layer at all, an output is a sample.": right - 1,
            "a layer's own stride does not widen what it looks at; those before it do.": (
                1 + sum((k - 1) * d * step for (k, d), step in zip(sizes, strides[1:]))
            ),
            "the layers are taken from the wrong end: the strides before a layer count, not those behind.": (
                1 + sum((k - 1) * d * strides[-1] // step for (k, d), step in zip(sizes, strides[1:]))
            ),
        }
        if answer != right:
            explain(answer, mistakes, operator.eq)
            raise Wrong(f"for {what} it gives {answer}, and {right} samples were measured to matter.")
    return f"measured, too: a frame of this codec depends on {right} samples."
