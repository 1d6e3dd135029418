"""Building blocks written to be read and to be exported: one class each, none knows which model it serves.

Two habits keep a layer exportable. Lengths stay symbolic: a shape is read from the input with `x.shape`
and never stored in a Python attribute, so no example's length is frozen into the graph. And each layer
calls the PyTorch function for which ONNX has an operator of its own (`Attention` and `RMSNormalization`
from opset 23, `Gelu` from opset 20), so that the graph reads like the code.
"""

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
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


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


class RelativePositionBias(nn.Module):
    """A learned number per head and bucket of distance between query and key (T5, Raffel et al. 2020).

    Distances to the left and to the right have `n_buckets` / 2 buckets each. Half of those hold one
    distance each (0, 1, 2, ...); the rest grow logarithmically up to `max_distance`, and the last one
    takes everything beyond. The bucket of a distance is found by counting the edges it has passed, which
    gives the same answer on every backend; a logarithm would round differently here and there.
    """

    def __init__(self, n_heads: int, n_buckets: int = 32, max_distance: int = 128):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_buckets, n_heads))
        self.n_side = n_buckets // 2
        self.edges = self.bucket_edges(self.n_side, max_distance)

    @staticmethod
    def bucket_edges(n_side: int, max_distance: int) -> list[int]:
        """The smallest distance in each bucket but the first: 1, 2, ..., 8, 12, 16, 23, 32, 46, 64, 91."""
        n_exact = n_side // 2
        n_log = n_side - n_exact
        edges = list(range(1, n_exact + 1))
        for k in range(1, n_log):
            # n reaches n_exact * (max_distance / n_exact) ** (k / n_log), in integers so that nothing rounds
            bound = n_exact ** (n_log - k) * max_distance**k
            edges.append(next(n for n in range(edges[-1], max_distance + 1) if n**n_log >= bound))
        return edges

    def forward(self, n_frames: int | torch.SymInt) -> Tensor:
        """(1, n_heads, n_frames, n_frames), to be added to the attention scores (query, key)."""
        position = torch.arange(n_frames, device=self.weight.device)
        offset = position[None, :] - position[:, None]  # key minus query
        # 2 n - 1 different offsets share n * n places: bucket those few, then look each place up.
        offsets = torch.arange(-(n_frames - 1), n_frames, device=self.weight.device)
        edges = torch.tensor(self.edges, device=self.weight.device)
        bucket = (offsets.abs()[:, None] >= edges).sum(-1) + torch.where(offsets > 0, self.n_side, 0)
        by_offset = F.embedding(bucket, self.weight)  # (2 n - 1, n_heads)
        return F.embedding(offset + (n_frames - 1), by_offset).permute(2, 0, 1)[None]


class RelativeAttention(nn.Module):
    """Multi-head self-attention in both directions, with a position bias added to the scores.

    x: (B, T, width), bias: (1 or B, n_heads, T, T) -> (B, T, width). Projections have no bias. `inner` is the
    width of all heads together (None: `width`); `scale` multiplies the scores (None: size of a head ** -0.5).
    """

    def __init__(self, width: int, n_heads: int, inner: int | None = None, scale: float | None = None):
        super().__init__()
        self.n_heads, self.scale = n_heads, scale
        inner = inner or width
        self.w_qs = nn.Linear(width, inner, bias=False)
        self.w_ks = nn.Linear(width, inner, bias=False)
        self.w_vs = nn.Linear(width, inner, bias=False)
        self.fc = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (self.split_heads(project(x)) for project in (self.w_qs, self.w_ks, self.w_vs))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)
        return self.fc(attended.transpose(1, 2).flatten(2))

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, n_heads, T, width / n_heads)."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


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


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, a periodic activation (Ziyin et al. 2020). x: (B, channels, N)."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        wave = torch.sin(self.alpha * x)
        return x + wave * wave / (self.alpha + 1e-9)


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
