"""Checks of notebook 03, Layers that export."""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, number

REAL_WIDTH, REAL_HEADS = 1280, 20


@exercise
def wavenet_gate(function: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """A function that is WaveNet's gate, channels on axis 1: (B, 2 n, frames) -> (B, n, frames)."""
    x = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    first, second = x.chunk(2, dim=1)
    said = f"12 channels go in and 6 come out, {tuple(first.shape)}; the function gave"
    answer = of_shape(called(function, x), first.shape, said)
    mistakes = {
        "the halves are swapped: the first is the value, the second decides.": second.tanh()
        * first.sigmoid(),
        "the value goes through no curve; WaveNet bends it with the hyperbolic tangent.": (
            first * second.sigmoid()
        ),
        "the gate goes through no curve; it should lie between 0 and 1.": first.tanh() * second,
        "both halves go through tanh; a gate is no lower than 0.": first.tanh() * second.tanh(),
        "both halves go through the sigmoid; the value may be negative.": first.sigmoid() * second.sigmoid(),
        "that is VampNet's gate; here it is another model's.": first * F.gelu(second, approximate="tanh"),
        "the halves are added; the gate is multiplied with the value.": first.tanh() + second.sigmoid(),
    }
    if expect(answer, first.tanh() * second.sigmoid(), mistakes, within(rtol=0, atol=1e-6)):
        return "another model, another axis, other curves: the same idea, checked by its numbers."
    raise Wrong("the result is none of the usual variants; check the axis, and which half goes where.")


CURES = {
    "data": "torch.where computes both sides and takes one number from each place.",
    "python number": "the length goes into a tensor before anything is computed with it.",
    "loop": "one operation over the whole axis does what the loop did.",
    "stored": "what depends on the length is made from the length, each time.",
    "operator": "the same quantity, written with operators that ONNX has.",
    "silence": "no message at all: only an input of another length tells.",
}


@exercise
def diagnosis(answer: Mapping[str, str]) -> str:
    """Patient -> name of the cure, for the three patients of the exercise."""
    right = {"tuner": "python number", "smoother": "loop", "window": "stored"}
    if not isinstance(answer, Mapping) or set(answer) != set(right):
        raise Wrong(f"give a cure for each of {', '.join(right)}, as a dictionary.")
    if any(cure is ... for cure in answer.values()):
        raise NotYet
    for cure in answer.values():
        if cure not in CURES:
            raise Wrong(f"{cure!r} is no cure of the clinic; there are {', '.join(CURES)}.")
    wrong = [patient for patient, cure in answer.items() if cure != right[patient]]
    if wrong:
        raise Wrong(f"{len(wrong)} of 3 would not get well, {wrong[0]} among them: {CURES[answer[wrong[0]]]}")
    return "all three get well, though two of them say the same thing."


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
            raise Wrong(
                f"it works for 12 frames and fails for {n}: something in it still has the length 12. Where "
                "is the bias computed, and for how many frames?"
            ) from wrong
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
