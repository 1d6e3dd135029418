"""Training through a residual quantizer by distance: where it begins, and how gradients pass through it."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.layers import EuclideanRVQ

ROUNDS = 12  # of k-means
MEMORY = 100  # steps over which the use of a row fades
FADED = 0.03  # of the use that every row would have if all were equally frequent


class Quantized(NamedTuple):
    """What the decoder gets, (B, width, T); the codes, (B, K, T); two losses; what each book was asked."""

    frames: Tensor
    codes: Tensor
    codebook_loss: Tensor  # moves the rows to the frames
    commitment_loss: Tensor  # keeps the frames near the rows
    asked: list[Tensor]  # of each book, (B, T, width), no gradient


def quantize(quantizer: EuclideanRVQ, frames: Tensor, n_used: Tensor) -> Quantized:
    """Frames (B, width, T) through the first `n_used[b]` codebooks of each item.

    Choosing a row has no gradient; the straight-through estimator hands the one of the chosen row to the
    frame that chose it (van den Oord et al. 2017).
    """
    x = frames.transpose(1, 2)
    residual, total, codes, asked = x, torch.zeros_like(x), [], []
    codebook_loss = commitment_loss = x.new_zeros(())
    for i, book in enumerate(quantizer.codebooks):
        used = (n_used > i).to(x.dtype)[:, None, None]
        target, rows = residual.detach(), book.weight.detach()
        codes.append((2 * target @ rows.T - rows.square().sum(-1)).argmax(-1))
        said = book(codes[-1])
        codebook_loss = codebook_loss + (used * (said - target).square()).mean()
        commitment_loss = commitment_loss + (used * (residual - said.detach()).square()).mean()
        total = total + used * said.detach()
        residual = residual - said.detach()
        asked.append(target)
    frames = frames + (total.transpose(1, 2) - frames).detach()
    return Quantized(frames, torch.stack(codes, 1), codebook_loss, commitment_loss, asked)


@torch.no_grad()
def initialize(quantizer: EuclideanRVQ, frames: Tensor, generator: torch.Generator) -> None:
    """Set every codebook from frames (n, width) by k-means, one residual after the other."""
    residual = frames
    for book in quantizer.codebooks:
        rows = residual[torch.randperm(len(residual), generator=generator)[: len(book.weight)]].clone()
        for _ in range(ROUNDS):
            joined = _nearest(residual, rows)
            sums = torch.zeros_like(rows).index_add_(0, joined, residual)
            sizes = torch.bincount(joined, minlength=len(rows))[:, None]
            spare = residual[torch.randint(len(residual), (len(rows),), generator=generator)]
            rows = torch.where(sizes > 0, sums / sizes.clamp(min=1), spare)
        book.weight.copy_(rows)
        residual = residual - rows[_nearest(residual, rows)]


def _nearest(points: Tensor, rows: Tensor) -> Tensor:
    return (2 * points @ rows.T - rows.square().sum(-1)).argmax(-1)


class Revival:
    """Moves rows that nobody chooses any more to where the frames are (as in Zeghidour et al. 2021)."""

    def __init__(self, quantizer: EuclideanRVQ, memory: float = MEMORY, faded: float = FADED):
        """memory: steps over which the use of a row fades. faded: of the mean use; less is nobody's."""
        self.quantizer, self.memory, self.faded = quantizer, memory, faded
        self.uses = torch.ones(len(quantizer.codebooks), len(quantizer.codebooks[0].weight))

    @torch.no_grad()
    def note(self, quantized: Quantized, generator: torch.Generator) -> None:
        """Count what one step used, and move what has faded."""
        for book, uses, codes, asked in zip(
            self.quantizer.codebooks, self.uses, quantized.codes.unbind(1), quantized.asked
        ):
            counts = torch.bincount(codes.flatten(), minlength=len(uses)).to(uses)
            uses.mul_(1 - 1 / self.memory).add_(counts * len(uses) / codes.numel() / self.memory)
            idle = torch.nonzero(uses < self.faded).flatten()
            frames = asked.flatten(0, 1).to(book.weight.dtype)  # under autocast they are halves
            book.weight[idle] = frames[torch.randint(len(frames), (len(idle),), generator=generator)]
            uses[idle] = 1.0


def draw_depths(count: int, n_codebooks: int, share: float, rng: np.random.Generator) -> Tensor:
    """How many codebooks each item uses: a `share` of them fewer than all, so that the first say the most."""
    fewer = rng.integers(1, n_codebooks, count)
    return torch.from_numpy(np.where(rng.random(count) < share, fewer, n_codebooks))
