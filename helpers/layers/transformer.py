"""What stands around attention in a transformer: normalisation, conditions, gates, embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each feature (Zhang & Sennrich 2019).

    x: (..., width) -> (..., width). There is no mean to subtract and no bias.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class FiLM(nn.Module):
    """Feature-wise linear modulation (Perez et al. 2018): x * (gamma(r) + 1) + beta(r).

    x: (B, T, width), condition r: (B, input_width) or (B, T, input_width). With `input_width` 0 the layer
    has no parameters and returns x: this is what the public VampNet checkpoints contain.
    """

    def __init__(self, input_width: int, width: int):
        super().__init__()
        self.input_width = input_width
        if input_width > 0:
            self.gamma = nn.Linear(input_width, width)
            self.beta = nn.Linear(input_width, width)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if self.input_width == 0:
            return x
        if condition is None:
            raise ValueError(f"this FiLM layer needs a condition of width {self.input_width}")
        if condition.dim() == 2:
            condition = condition[:, None]
        return x * (self.gamma(condition) + 1) + self.beta(condition)


class GatedGELU(nn.Module):
    """The first half of the features times the GELU (tanh form) of the second half (Shazeer 2020).

    x: (..., 2 * width) -> (..., width).
    """

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate, approximate="tanh")


class FeedForward(nn.Module):
    """Widen fourfold, gate, return to the model's width; no biases. x: (B, T, width) -> (B, T, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.w_1 = nn.Linear(width, 4 * width, bias=False)
        self.activation = GatedGELU()
        self.w_2 = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(self.activation(self.w_1(x)))


class CodebookEmbedding(nn.Module):
    """Tokens of several codebooks to one vector a frame: look up, concatenate the codebooks, project.

    codes: int64 (B, C, T), 0 <= token <= vocab_size, where vocab_size is MASK -> (B, T, width).
    `table` holds the codebooks one after the other, each with its MASK row last, so that one lookup
    serves all of them.
    """

    def __init__(self, n_codebooks: int, vocab_size: int, latent_dim: int, width: int):
        super().__init__()
        self.rows = vocab_size + 1
        self.table = nn.Parameter(torch.zeros(n_codebooks * self.rows, latent_dim))
        self.out_proj = nn.Linear(n_codebooks * latent_dim, width)

    def forward(self, codes: Tensor) -> Tensor:
        return self.out_proj(self.latents(codes))

    def latents(self, codes: Tensor) -> Tensor:
        """(B, C, T) -> (B, T, C * latent_dim)."""
        first_row = torch.arange(codes.shape[1], device=codes.device) * self.rows
        return F.embedding(codes + first_row[:, None], self.table).transpose(1, 2).flatten(2)
