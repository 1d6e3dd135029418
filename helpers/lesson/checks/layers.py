"""Checks of notebook 03, Layers that export."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import NotYet, Wrong, called, exercise
from helpers.lesson.layerwise import export_layer, refusal, run_layer
from helpers.support.errors import InputError

KEPT = 0.9  # of the last result, in the smoother
FRAMES = (12, 1, 13, 600, 2500)


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


def _smoothed(x: torch.Tensor, kept: float = KEPT) -> torch.Tensor:
    """The loop: y[t] = x[t] + kept y[t - 1], over axis 1."""
    made = [x[:, 0]]
    for t in range(1, x.shape[1]):
        made.append(x[:, t] + kept * made[-1])
    return torch.stack(made, dim=1)


@exercise
def smoother(layer: nn.Module) -> str:
    """A layer that smooths (B, T, width) as the loop does, and exports for every T."""
    generator = torch.Generator().manual_seed(0)
    sounds = [torch.randn(2, n, 3, generator=generator) for n in FRAMES]
    for x in sounds:
        n, right = x.shape[1], _smoothed(x)
        try:
            answer = called(layer, x.clone())
        except Wrong as wrong:
            if n == FRAMES[0]:
                raise
            raise Wrong(f"it works for {FRAMES[0]} frames and fails for {n}: what has a length?") from wrong
        answer = of_shape(answer, x.shape, f"for {n} frames the result has the shape of the input, not")
        mistakes = {
            "the frames come back as they were: nothing of the last result is added.": x,
            "it goes backwards: each result holds the frames behind it, not those before.": (
                _smoothed(x.flip(1)).flip(1)
            ),
            "nine tenths of the last *frame* are added; the last result holds all frames before it.": (
                x + KEPT * F.pad(x, (0, 0, 1, 0))[:, :-1]
            ),
            "each frame is kept whole for ever; it should fade by a tenth with every step.": x.cumsum(1),
            "the newest frame has faded already: it counts whole.": KEPT * right,
        }
        if not answer.isfinite().all():
            raise Wrong(
                f"for {n} frames numbers are infinite, or none at all: a power of {KEPT} that is divided by "
                "grows without end. Which places need no power?"
            )
        if not expect(answer, right, mistakes, within(rtol=1e-4, atol=1e-4)):
            raise Wrong(f"for {n} frames it is another result than the loop's; write out the third one.")
    return _exported(layer, sounds)


def _exported(layer: nn.Module, sounds: list[torch.Tensor]) -> str:
    """Praise, if the layer exports and the file gives what the loop gives for each sound; else `Wrong`."""
    axes = [{0: "batch", 1: "frames"}]
    reason = refusal(layer, sounds[:1], axes)
    if reason:
        raise Wrong(f"right in PyTorch, and the exporter refuses: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        path = export_layer(layer, sounds[:1], Path(folder) / "smoother.onnx", axes)
        for x in sounds:
            n = x.shape[1]
            try:
                made = torch.from_numpy(run_layer(path, x))
            except InputError as error:
                raise Wrong(
                    f"the file takes {FRAMES[0]} frames and refuses {n}: a length is frozen."
                ) from error
            if made.shape != x.shape or not torch.allclose(made, _smoothed(x), rtol=1e-4, atol=1e-4):
                raise Wrong(f"right in PyTorch, and the file gives something else for {n} frames.")
    return f"one product in place of a loop: the file is right for {FRAMES[1]} frame and for {FRAMES[-1]}."
