"""Checks of notebook 03, Layers that export."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, close, exercise, number

REAL_WIDTH, REAL_HEADS = 1280, 20


@exercise
def gated(function: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """A function that is VampNet's gated GELU: (..., 2 n) -> (..., n)."""
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
    first, second = x.chunk(2, dim=-1)
    said = f"12 numbers go in and 6 come out, {tuple(first.shape)}; the function gave"
    answer = of_shape(called(function, x), first.shape, said)
    mistakes = {
        "the halves are swapped: the first is the value, the second decides.": (
            second * F.gelu(first, approximate="tanh")
        ),
        "that is the exact form of the curve; VampNet was trained with the tanh form.": (
            first * F.gelu(second)
        ),
        "the halves are swapped, and the form of the curve is the exact one.": second * F.gelu(first),
        "that gates with a sigmoid instead of a GELU.": first * second.sigmoid(),
        "that is the plain product of the halves; the gate goes through the curve first.": first * second,
        "the halves are added; the gate is multiplied with the value.": (
            first + F.gelu(second, approximate="tanh")
        ),
        "both halves go through the curve; only the gate does.": (
            F.gelu(first, approximate="tanh") * F.gelu(second, approximate="tanh")
        ),
        "that is the curve alone; it should multiply the other half.": F.gelu(second, approximate="tanh"),
    }
    right = first * F.gelu(second, approximate="tanh")
    if expect(answer, right, mistakes, within(rtol=0, atol=1e-7)):
        return "the second half decides how much of the first gets through."
    raise Wrong("the result is none of the usual variants; check which half goes through the curve.")


@exercise
def any_length(layer: nn.Module, bias: nn.Module) -> str:
    """A layer that adds the position bias to attention scores (1, heads, n, n) for every n."""
    generator = torch.Generator().manual_seed(0)
    for n in (12, 13, 1, 40, 130):
        scores = torch.randn(1, bias.weight.shape[1], n, n, generator=generator)
        try:
            answer = called(layer, scores.clone())
        except Wrong as wrong:
            if n == 12:
                raise
            raise Wrong(f"it works for 12 frames, but for {n} {wrong}") from wrong
        if not isinstance(answer, torch.Tensor) or answer.shape != scores.shape:
            raise Wrong(f"for {n} frames the result should have the shape of the scores.")
        if torch.equal(answer, scores):
            raise Wrong("the scores come back as they were; the bias is not added.")
        if torch.allclose(answer, bias(n), atol=1e-6):
            raise Wrong("that is the bias alone; it is added to the scores.")
        added = answer - scores
        if torch.allclose(added, bias(n).transpose(-1, -2), atol=1e-5) and n > 1:
            raise Wrong("the bias is transposed: who looks and who is looked at are swapped.")
        if not torch.allclose(added, bias(n), atol=1e-5):
            raise Wrong(f"for {n} frames something else than the bias for {n} frames was added.")
    return "nothing about a length is stored: 1, 12, 13, 40 and 130 frames all work."


@exercise
def attention_scale(divisor: float) -> str:
    """What scores are divided by at VampNet's real size."""
    divisor, head = number(divisor), REAL_WIDTH // REAL_HEADS
    if close(divisor, head**0.5):
        return f"each head has {REAL_WIDTH} / {REAL_HEADS} = {head} numbers, and the root of that is 8."
    if close(divisor, REAL_WIDTH**0.5) or close(divisor, REAL_WIDTH):
        raise Wrong("that comes from the model's width; a head sees only its share of it.")
    if close(divisor, 8**0.5):
        raise Wrong("that is the divisor of the small example above; the question is about the real size.")
    if close(divisor, head**-0.5):
        raise Wrong("that is what the scores would be multiplied by; asked for is the divisor.")
    if close(divisor, head):
        raise Wrong("that is the width of a head; the divisor is its square root.")
    if close(divisor, REAL_HEADS) or close(divisor, REAL_HEADS**0.5):
        raise Wrong("that comes from the number of heads; how many numbers has each of them?")
    raise Wrong("take the size of q's last dimension at the real width and number of heads.")
