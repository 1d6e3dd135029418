"""Checks of notebook 24, Teacher and student."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, exercise

SAME = within(1e-4, 1e-5)
MARGIN = 0.3  # radians
OURS, THEIRS = ("frog", "owl", "rain", "bat"), ("wind", "owl", "frog", "rail", "rain")


def our_soft(logits: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    """The course's answer to `soft`."""
    ours, theirs = (F.log_softmax(one / temperature, -1) for one in (logits, teachers))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2


@exercise
def soft(function: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """Logits of a student and a teacher (B, labels), a temperature -> how far their shares are apart."""
    draw = torch.Generator().manual_seed(5)
    for n, temperature in ((6, 1.0), (9, 3.0)):
        ours, theirs = (3 * torch.randn(n, 12, generator=draw) for _ in range(2))
        made = called(function, ours.clone(), theirs.clone(), temperature)
        made = of_shape(made, (), "the answer is one number, a tensor without axes, not")
        right = our_soft(ours, theirs, temperature)
        mistakes = {
            "the mean is taken over clips and labels; divide by clips alone.": right / 12,
            "nothing is averaged: divide by the number of clips.": right * n,
            "whose shares weigh? The teacher's.": our_soft(theirs, ours, temperature),
        }
        if temperature != 1:
            mistakes["the temperature squared is missing."] = right / temperature**2
            mistakes["both are divided by the temperature before the softmax."] = (
                our_soft(ours, theirs, 1.0) * temperature**2
            )
        if not expect(made, right, mistakes, SAME):
            raise Wrong(f"for {n} clips and T = {temperature:g} it is {right:.4f}, not {made:.4f}.")
    return "this is the loss of Hinton, Vinyals and Dean."


def our_farther(cosines: Tensor, margin: float) -> Tensor:
    """The course's answer to `farther`."""
    sines = (1 - cosines * cosines).clamp(min=0).sqrt()
    inside = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), inside, cosines - margin * math.sin(margin))


@exercise
def farther(function: Callable[[Tensor, float], Tensor]) -> str:
    """Cosines (n,), a margin in radians -> those of an angle so much larger; beyond 180 degrees a line."""
    cosines = torch.linspace(-0.999, 0.999, 41)
    made = called(function, cosines.clone(), MARGIN)
    made = of_shape(made, (41,), "for 41 cosines 41 are due, not")
    right = our_farther(cosines, MARGIN)
    angles = cosines.acos()
    far = cosines <= -math.cos(MARGIN)
    mistakes = {
        "beyond 180 degrees a cosine rises again, and the worst clips would be rewarded.": (
            angles + MARGIN
        ).cos(),
        "nearer, not farther: the angle should grow.": (angles - MARGIN).cos(),
        "the margin is taken off the cosine; it belongs to the angle.": cosines - MARGIN,
        "the margin is in radians.": (angles + math.radians(MARGIN)).cos(),
    }
    if expect(made, right, mistakes, SAME):
        return "the loss falls all the way, without a jump where it would turn."
    if SAME(made[~far], right[~far]):
        raise Wrong(f"right until 180 degrees; beyond, cos -0.999 becomes {right[0]:.3f}, not {made[0]:.3f}.")
    raise Wrong(f"a cosine of {cosines[30]:.3f} becomes {right[30]:.3f}, not {made[30]:.3f}.")


def our_tags(
    logits: Tensor, names: Sequence[str], teachers: Tensor, their_names: Sequence[str], temperature: float
) -> Tensor:
    """The course's answer to `tags`."""
    shared = [name for name in names if name in their_names]
    ours = logits[:, [names.index(name) for name in shared]] / temperature
    theirs = teachers[:, [their_names.index(name) for name in shared]] / temperature
    wanted = theirs.sigmoid()
    return (F.softplus(ours) - F.softplus(theirs) + wanted * (theirs - ours)).mean() * temperature**2


@exercise
def tags(function: Callable[[Tensor, Sequence[str], Tensor, Sequence[str], float], Tensor]) -> str:
    """Logits (B, labels) and their names, of a student and of a teacher of tags; T -> how far apart."""
    draw = torch.Generator().manual_seed(7)
    for n, temperature in ((5, 1.0), (7, 2.0)):
        ours, theirs = (2 * torch.randn(n, k, generator=draw) for k in (len(OURS), len(THEIRS)))
        given = (ours.clone(), OURS, theirs.clone(), THEIRS, temperature)
        made = of_shape(called(function, *given), (), "the answer is one number, a tensor without axes, not")
        right = our_tags(ours, OURS, theirs, THEIRS, temperature)
        wanted = (theirs / temperature).sigmoid()[:, [2, 1, 4]]
        entropy = F.binary_cross_entropy(wanted, wanted) * temperature**2
        softmax = our_soft(ours[:, [0, 1, 2]], theirs[:, [2, 1, 4]], temperature)
        mistakes = {
            "labels are matched by their place; match them by name.": our_tags(
                ours, OURS, theirs, OURS + ("more",), temperature
            ),
            "tags don't share one out: a sigmoid each, no softmax.": softmax,
            "where both say the same it should be 0: take off what the teacher's own doubt costs.": right
            + entropy,
        }
        if temperature != 1:
            mistakes["the temperature squared is missing."] = right / temperature**2
        if not expect(made, right, mistakes, SAME):
            raise Wrong(f"for {n} clips and T = {temperature:g} it is {right:.4f}, not {made:.4f}.")
    return "a teacher of 527 tags can teach a student of three."
