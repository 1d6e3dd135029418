"""Training through a residual vector quantizer: where it starts from, and how gradients pass through it."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.layers import ResidualVQ, VectorQuantizer

KMEANS_ROUNDS = 12
MEMORY = 100  # steps over which the use of a code fades
FADED = 0.05  # of the use that every code would have if all were equally frequent
FAR = 3.0  # the constant coordinate, in mean lengths of the others
ALMOST_ZERO = 1e-4


class Quantized(NamedTuple):
    """What the decoder gets, the codes, and the two losses that pull codebook and encoder together."""

    frames: Tensor  # (B, width, T)
    codes: Tensor  # int64 (B, C, T)
    low: list[Tensor]  # of each book, what it was asked to name: (B, codebook_dim, T), no gradient
    codebook_loss: Tensor  # moves the rows to the frames
    commitment_loss: Tensor  # keeps the frames near the rows


def quantize(quantizer: ResidualVQ, frames: Tensor, n_used: Tensor) -> Quantized:
    """Frames (B, width, T) through the first `n_used[b]` codebooks of each item; n_used: int64 (B,).

    Choosing a row has no gradient. The straight-through estimator copies the gradient of the chosen row
    to the frame that chose it (van den Oord et al. 2017).
    """
    residual, total, codes, asked = frames, torch.zeros_like(frames), [], []
    codebook_loss = commitment_loss = frames.new_zeros(())
    for i, book in enumerate(quantizer.quantizers):
        used = (n_used > i).to(frames.dtype)[:, None, None]
        low = book.in_proj(residual)
        chosen = (low.detach().transpose(1, 2) @ F.normalize(book.codebook.detach()).T).argmax(-1)
        rows = F.embedding(chosen, book.codebook).transpose(1, 2)
        codebook_loss = codebook_loss + (used * (rows - low.detach()).square()).mean()
        commitment_loss = commitment_loss + (used * (low - rows.detach()).square()).mean()
        said = book.out_proj(low + (rows - low).detach())
        residual = residual - said
        total = total + used * said
        codes.append(chosen)
        asked.append(low.detach())
    return Quantized(total, torch.stack(codes, 1), asked, codebook_loss, commitment_loss)


def coarse_held(frames: Tensor, coarse_channels: int) -> Tensor:
    """The same frames (B, width, T), but no gradient reaches the first channels."""
    return torch.cat([frames[:, :coarse_channels].detach(), frames[:, coarse_channels:]], dim=1)


def hold_coarse_projections(quantizer: ResidualVQ, n_coarse: int) -> None:
    """From now on the coarse codebooks keep listening to what `initialize` gave them; their rows may move."""
    for book in quantizer.quantizers[:n_coarse]:
        book.in_proj.requires_grad_(False)
        book.out_proj.requires_grad_(False)


class Revival:
    """Moves codes that nobody uses any more to where the frames are (as in Zeghidour et al. 2021).

    While the encoder learns, frames drift; a row that is never the nearest gets no gradient and stays
    behind for good.
    """

    def __init__(self, quantizer: ResidualVQ):
        self.quantizer = quantizer
        size = len(quantizer.quantizers[0].codebook)
        self.uses = torch.ones(len(quantizer.quantizers), size)  # recent share of each code, 1 = average

    @torch.no_grad()
    def note(self, quantized: Quantized) -> None:
        """Count what one step used."""
        size, n_frames = self.uses.shape[1], quantized.codes[:, 0].numel()
        for uses, codes in zip(self.uses, quantized.codes.unbind(1)):
            counts = torch.bincount(codes.flatten(), minlength=size).to(uses)
            uses.mul_(1 - 1 / MEMORY).add_(counts * size / n_frames / MEMORY)

    @torch.no_grad()
    def move(self, quantized: Quantized, generator: torch.Generator) -> int:
        """Put every row whose use has faded on a random frame of this step. How many were moved."""
        moved = 0
        for book, uses, low in zip(self.quantizer.quantizers, self.uses, quantized.low):
            idle = torch.nonzero(uses < FADED).flatten()
            frames = low.transpose(1, 2).flatten(0, 1)
            picks = torch.randint(len(frames), (len(idle),), generator=generator)
            book.codebook[idle.to(frames.device)] = frames[picks.to(frames.device)]
            uses[idle] = 1.0
            moved += len(idle)
        return moved


def draw_depths(
    count: int, n_codebooks: int, n_coarse: int, share: float, rng: np.random.Generator
) -> Tensor:
    """Quantizer dropout: a `share` of the items use only the first few codebooks, as many as chance says.

    Half of them use coarse codebooks only. So the first codebooks learn to say the most. int64 (count,).
    """
    coarse, fine = rng.integers(1, n_coarse + 1, count), rng.integers(n_coarse + 1, n_codebooks + 1, count)
    drawn, every = rng.random(count), np.full(count, n_codebooks)
    return torch.from_numpy(np.select([drawn < share / 2, drawn < share], [coarse, fine], every))


@torch.no_grad()
def initialize(
    quantizer: ResidualVQ, frames: Tensor, generator: torch.Generator, n_coarse: int, coarse_channels: int
) -> None:
    """Set every codebook from frames (n, width) that a trained encoder made, one residual after the other.

    Each of the first `n_coarse` books listens to its own share of the first `coarse_channels` channels.
    """
    residual, share = frames, coarse_channels // n_coarse
    for i, book in enumerate(quantizer.quantizers):
        heard = slice(i * share, (i + 1) * share) if i < n_coarse else slice(None)
        _set_projections(book, residual, heard)
        low = book.in_proj(residual.T[None])[0].T
        book.codebook.copy_(spherical_kmeans(low, len(book.codebook), generator))
        chosen = torch.cat([(part @ F.normalize(book.codebook).T).argmax(-1) for part in low.split(10_000)])
        residual = residual - book.decode(chosen[None])[0].T


def _set_projections(book: VectorQuantizer, residual: Tensor, heard: slice) -> None:
    """Down to the directions in which the heard channels vary most, and back (principal components).

    Rows are found by direction alone: a quiet frame and a loud one of the same direction would share a
    row. So one coordinate starts as a large constant. Seen from that far away a direction is a position,
    and the row of the nearest direction is the nearest row.
    """
    mean = residual.mean(0)
    centred = residual - mean
    among = centred[:, heard]
    main = torch.linalg.eigh(among.T @ among).eigenvectors[:, 1 - book.codebook.shape[1] :]
    axes = torch.zeros(residual.shape[1], book.codebook.shape[1]).to(main)
    axes[heard, 1 : 1 + main.shape[1]] = main
    distance = FAR * (centred @ axes).norm(dim=1).mean()
    axes[heard, 0] = ALMOST_ZERO  # weight norm has no zero vector
    book.in_proj.weight = axes.T[..., None].contiguous()
    book.in_proj.bias.copy_(-(mean @ axes))
    book.in_proj.bias[0] = distance
    axes[:, 0] = ALMOST_ZERO
    book.out_proj.weight = axes[..., None].contiguous()
    book.out_proj.bias.copy_(mean)


def spherical_kmeans(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` rows (count, dims) for points (n, dims), which join the row whose direction is nearest.

    A row is the mean of the points that joined it; one that nobody joined moves to a random point.
    """
    rows = points[torch.randperm(len(points), generator=generator)[:count].to(points.device)]
    rows = torch.cat([rows] * -(-count // len(rows)))[:count]
    for _ in range(KMEANS_ROUNDS):
        joined = (points @ F.normalize(rows).T).argmax(-1)
        sums = torch.zeros_like(rows).index_add_(0, joined, points)
        sizes = torch.bincount(joined, minlength=count)
        spare = points[torch.randint(len(points), (count,), generator=generator).to(points.device)]
        rows = torch.where(sizes[:, None] > 0, sums / sizes[:, None].clamp(min=1), spare)
    return rows
