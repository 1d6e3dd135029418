"""What a classifier is asked for: the right label, with a margin for some heads, or what a teacher says."""

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.classify.configs import Head


def label_loss(logits: Tensor, wanted: Tensor, head: Head, margin: float = 0.0) -> Tensor:
    """The mean loss of logits (B, labels) where wanted (B, labels) are shares that sum to 1.

    Sigmoid heads answer each label for itself; the others share one out. An "arcface" head is asked for the
    right label at an angle that is `margin` radians larger than it is.
    """
    if head.scores == "sigmoid":
        return F.binary_cross_entropy_with_logits(logits, wanted) * logits.shape[1]
    if head.output == "arcface" and margin:
        logits = head.scale * widened(logits / head.scale, wanted, margin)
    return F.cross_entropy(logits, wanted)


def widened(cosines: Tensor, wanted: Tensor, margin: float) -> Tensor:
    """Cosines (B, labels), those of the wanted labels at an angle `margin` larger (Deng et al. 2019).

    Beyond 180 degrees, where a cosine would rise again, the fall goes on in a straight line: before any
    scale, or the loss jumps there.
    """
    clamped = cosines.clamp(-1 + 1e-6, 1 - 1e-6)
    sines = (1 - clamped * clamped).sqrt()
    turn = torch.tensor(margin)
    inside = clamped * turn.cos() - sines * turn.sin()
    outside = clamped - turn.sin() * margin
    return torch.where(wanted > 0.5, torch.where(clamped > -turn.cos(), inside, outside), cosines)


def taught_loss(logits: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    """How far a student's shares are from a teacher's, logits (B, labels) both (Hinton et al. 2015).

    The mean over clips of the Kullback-Leibler divergence; T squared keeps the gradient as large as that of
    the labels' loss whatever the temperature.
    """
    ours, theirs = (F.log_softmax(one / temperature, -1) for one in (logits, teachers))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
