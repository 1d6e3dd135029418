"""Checks of notebook 01, Inside a checkpoint."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from helpers.checkpoints import Checkpoint
from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

LAYER = "transformer.layers.1."  # not layer 0: it alone owns the position bias


@exercise
def bitrate(kilobits: Callable[[int, Sequence[int], int, int], float], codecs: Mapping[str, tuple]) -> str:
    """A function of a codec's sample rate, rates, codebooks, codes in each; codecs by name: kilobits."""
    answers = [number(called(kilobits, *codec)) for codec in codecs.values()]
    samples, rates, books, codes = zip(*codecs.values())
    samples, books, codes = np.array([samples, books, codes], dtype=float)
    frames, bits = samples / [math.prod(factors) for factors in rates], np.log2(codes)
    right = frames * books * bits / 1000

    def same(answers: list[float], values: np.ndarray) -> bool:
        return all(map(close, answers, values))

    if same(answers, right):
        return ", ".join(f"{name}: {value:.1f}" for name, value in zip(codecs, right)) + " kilobits a second."
    mistakes = {
        "that is bits a second; a kilobit is a thousand bits.": 1000 * right,
        "that is with 1024 bits to a kilobit; here it is a thousand.": right * 1000 / 1024,
        "that is kilobytes; a byte has eight bits, and the question is about bits.": right / 8,
        "that counts the tokens; how many bits tell one code from all others of its codebook?": (
            frames * books / 1000
        ),
        "that takes as many bits a token as there are codes; to number them, far fewer are enough.": (
            frames * books * codes / 1000
        ),
        "ten bits number 1024 codes; one of these codecs has more of them.": frames * books * 10 / 1000,
        "that is one codebook; every frame has a token from each of them.": right / books,
        "that is one frame; how many of them are there in a second?": right / frames,
        "that takes one frame for every sample; how many samples does a frame cover?": right
        * samples
        / frames,
    }
    explain(answers, mistakes, same)
    raise Wrong("multiply frames a second, tokens a frame and bits a token; the products are other numbers.")


@exercise
def layer_parameters(answer: float, transformer: Checkpoint) -> str:
    """How many numbers one transformer layer holds, LoRA matrices not counted."""
    answer = number(answer)
    sizes = {
        name.removeprefix(LAYER): tensor.numel()
        for name, tensor in transformer.tensors.items()
        if name.startswith(LAYER)
    }
    lora = sum(size for name, size in sizes.items() if "lora_" in name)
    plain = sum(sizes.values()) - lora
    attention = sum(size for name, size in sizes.items() if "self_attn" in name and "lora_" not in name)
    everything = sum(tensor.numel() for tensor in transformer.tensors.values())
    if answer == plain:
        return f"{attention:,} of them are in the attention, nearly all others in the feed-forward part."
    if lora and answer == plain + lora:
        raise Wrong("that counts the LoRA matrices too, which are a correction to weights already counted.")
    if answer == attention:
        raise Wrong("that is the attention alone; the feed-forward part and the two norms are missing.")
    if answer == sum(size for name, size in sizes.items() if "feed_forward" in name and "lora_" not in name):
        raise Wrong("that is the feed-forward part alone; the attention and the two norms are missing.")
    if answer == sum(size for name, size in sizes.items() if "norm" not in name and "lora_" not in name):
        raise Wrong("the two norms are missing; they are small, but they belong to the layer.")
    if answer in (2 * plain, 4 * plain):
        raise Wrong("that looks like bytes; count the numbers, however many bytes each takes.")
    if answer == everything:
        raise Wrong("that is the whole file; count only the names that begin with the layer's.")
    if answer in (sum(1 for name in sizes if "lora_" not in name), len(sizes)):
        raise Wrong("that is how many tensors there are; each holds many numbers (see numel).")
    raise Wrong(f"add up the sizes of all tensors whose names begin with {LAYER!r}, LoRA left out.")


@exercise
def folded(fold: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> str:
    """A function of gain g and direction v, as weight norm stores them, that gives the weight."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(6, 6, 6, generator=generator)  # a cube: a forgotten keepdim gives wrong numbers, no error
    g = torch.rand(6, 1, 1, generator=generator) + 0.5
    said = f"the weight has the shape of v, {tuple(v.shape)}; the function gave"
    answer = of_shape(called(fold, g.clone(), v.clone()), v.shape, said)
    mistakes = {
        "g * v: the directions still have their own lengths; divide by them.": g * v,
        "each row has length 1: the gain is missing.": v / v.norm(dim=(1, 2), keepdim=True),
        "one length for the whole tensor; every output channel (dimension 0) has its own.": g * v / v.norm(),
        "the length is taken over dimension 1 only; it goes over all but dimension 0.": (
            g * v / v.norm(dim=1, keepdim=True)
        ),
        "the length is taken over dimension 2 only; it goes over all but dimension 0.": (
            g * v / v.norm(dim=2, keepdim=True)
        ),
        "the length is taken over dimension 0, across the outputs; each output has its own.": (
            g * v / v.norm(dim=0, keepdim=True)
        ),
        "the lengths lost their dimensions and were laid along the wrong one: keepdim=True keeps them.": (
            g * v / v.norm(dim=(1, 2))
        ),
        "divided by the squared length; the length is its square root.": (
            g * v / v.square().sum((1, 2), keepdim=True)
        ),
    }
    if expect(answer, g * v / v.norm(dim=(1, 2), keepdim=True), mistakes, within(rtol=1e-4, atol=1e-6)):
        return "each output channel of the weight now has the length that its gain says."
    lengths = answer.flatten(1).norm(dim=1)
    raise Wrong(
        f"channel 0 of the result has length {lengths[0]:.3f}, and its gain is {g[0].item():.3f}; "
        "they should be equal, and the direction should stay that of v."
    )


@exercise
def resorted(order: Callable[[int, int], Sequence[int]]) -> str:
    """A function of predicted codebooks and codes, for a file that has all codes of a codebook together.

    `theirs[order(books, codes)]` are the rows in VampNet's order, where the codebook is the fast index.
    """
    for books, codes in ((3, 5), (4, 1024), (10, 1024), (1, 7)):
        n = books * codes
        answer = np.asarray(called(order, books, codes))
        if answer.shape != (n,):
            shape = answer.shape
            raise Wrong(
                f"for {books} books of {codes} codes there should be {n} rows; the answer has {shape}."
            )
        if answer.dtype.kind not in "iu" or answer.min() < 0 or answer.max() >= n:
            raise Wrong(f"the answer should hold the numbers of rows, whole and from 0 to {n - 1}.")
        if len(set(answer.tolist())) < n:
            raise Wrong("one of their rows is taken twice, and another never.")
        right = np.arange(n).reshape(books, codes).T.ravel()
        mistakes = {
            "that leaves every row where it is.": np.arange(n),
            "that is the way back: it sorts ours as theirs are sorted.": np.argsort(right),
            "the last row comes first; only the order of book and code should change.": right[::-1],
        }
        if not expect(answer, right, mistakes if books == 3 else {}, np.array_equal):
            row = int(np.flatnonzero(answer != right)[0])
            raise Wrong(
                f"{books} books, {codes} codes: our row {row} is code {row // books} of book {row % books}; "
                f"their row {answer[row]} is code {answer[row] % codes} of book {answer[row] // codes}."
            )
    return "gain, direction and bias, sorted so, are a classifier that VampNet's code can read."
