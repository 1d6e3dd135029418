"""Residual vector quantization (Zeghidour et al. 2021, "SoundStream"), by direction and by distance."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VectorQuantizer(nn.Module):
    """One codebook: project down, name the nearest row, give that row back projected up.

    z: (B, width, T). "Nearest" is by direction (both sides l2-normalised): for unit vectors the smallest
    distance is the largest dot product, and the length of the projected frame cannot change which row
    wins, so only the codebook needs normalising.
    """

    def __init__(self, width: int, codebook_size: int, codebook_dim: int):
        super().__init__()
        self.in_proj = nn.Conv1d(width, codebook_dim, 1)
        self.codebook = nn.Parameter(torch.zeros(codebook_size, codebook_dim))
        self.out_proj = nn.Conv1d(codebook_dim, width, 1)

    def similarities(self, z: Tensor) -> Tensor:
        """(B, width, T) -> (B, T, codebook_size): the larger, the nearer."""
        return self.in_proj(z).transpose(1, 2) @ F.normalize(self.codebook).T

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, T) -> (B, width, T)."""
        return self.out_proj(F.embedding(codes, self.codebook).transpose(1, 2))


class ResidualVQ(nn.Module):
    """Residual vector quantization: each codebook names what the ones before it left over.

    (Zeghidour et al. 2021, "SoundStream"; factorised, normalised codes after Kumar et al. 2023.)
    """

    def __init__(self, width: int, n_codebooks: int, codebook_size: int, codebook_dims: list[int]):
        super().__init__()
        self.quantizers = nn.ModuleList(
            VectorQuantizer(width, codebook_size, codebook_dims[i]) for i in range(n_codebooks)
        )

    def encode(self, z: Tensor) -> Tensor:
        """Frames (B, width, T) -> codes int64 (B, C, T)."""
        codes = []
        for quantizer in self.quantizers:
            codes.append(quantizer.similarities(z).argmax(-1))
            z = z - quantizer.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, C, T) -> frames (B, width, T): the sum of what each codebook says."""
        return sum(quantizer.decode(codes[:, i]) for i, quantizer in enumerate(self.quantizers))


class EuclideanRVQ(nn.Module):
    """Residual vector quantization by distance: each codebook names what the ones before it left over.

    (Zeghidour et al. 2021, "SoundStream".) The nearest row e of a codebook to x has the least
    |x - e|^2 = |x|^2 - 2 x e + |e|^2; the first term is the same for all rows and left out.
    """

    def __init__(self, width: int, n_codebooks: int, codebook_size: int):
        super().__init__()
        self.codebooks = nn.ModuleList(nn.Embedding(codebook_size, width) for _ in range(n_codebooks))

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, width, T) -> codes int64 (B, K, T)."""
        x, codes = frames.transpose(1, 2), []
        for book in self.codebooks:
            rows = book.weight
            codes.append((2 * x @ rows.T - rows.square().sum(-1)).argmax(-1))
            x = x - book(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K, T) -> frames (B, width, T): the sum of what each codebook says."""
        return sum(book(codes[:, k]) for k, book in enumerate(self.codebooks)).transpose(1, 2)
