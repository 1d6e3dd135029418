"""Attention: in both directions with a bias, and over what was computed before."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NEVER = -1e9  # a score that no key can have: not -inf, or a row without any key would become NaN
Stretch = tuple[Tensor, Tensor, Tensor | None]  # keys and values (B, heads, T, size), what to add to scores


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


def attend(query: Tensor, stretches: Sequence[Stretch]) -> Tensor:
    """Softmax attention (Vaswani et al. 2017) over stretches of keys that lie in several places.

    query: (B, ..., S, size) -> the same; keys and values have as many axes. Only the scores are joined, which
    are small. To join keys and values, those of the past with those of now, would copy all of the past at
    every step.
    """
    query = query * query.shape[-1] ** -0.5
    scores = [query @ keys.transpose(-1, -2) for keys, _, _ in stretches]
    biased = [score if bias is None else score + bias for score, (_, _, bias) in zip(scores, stretches)]
    weights, outputs, first = torch.softmax(torch.cat(biased, dim=-1), dim=-1), [], 0
    for _, values, _ in stretches:
        last = first + values.shape[-2]
        outputs.append(weights[..., first:last] @ values)
        first = last
    return sum(outputs)


def causal(now: Tensor) -> Tensor:
    """Keeps places from looking at later ones: positions (S,) -> what to add to scores, float32 (S, S)."""
    return torch.where(now > now[:, None], NEVER, 0.0)


def beyond(keys: Tensor, n_past: int | Tensor) -> Tensor | None:
    """Keeps places from looking at what holds nothing yet; None where all of the past holds something.

    keys: (..., C, size), of which the first `n_past` count, whatever lies behind -> (C,).
    """
    if not isinstance(n_past, Tensor):
        return None
    places = torch.arange(keys.shape[-2], device=n_past.device)
    return torch.where(places < n_past, 0.0, NEVER).to(keys.dtype)


class MultiHeadAttention(nn.Module):
    """The projections of attention, without biases; what attends to what is said by the caller."""

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, width) -> keys and values, each (B, heads, T, size)."""
        return self.split_heads(self.key(x)), self.split_heads(self.value(x))

    def forward(self, x: Tensor, stretches: Sequence[Stretch]) -> Tensor:
        """x (B, S, width) asks, the stretches answer: (B, S, width)."""
        attended = attend(self.split_heads(self.query(x)), stretches)
        return self.out(attended.transpose(1, 2).flatten(2))

    split_heads = RelativeAttention.split_heads  # the same, for the same `n_heads`


class Sinusoids(nn.Module):
    """Positions as waves: cos(p / w_i), then sin(p / w_i), w_i = 10000^(i / (width / 2 - 1)).

    positions (S,) -> (S, width) float32. The periods are numbers made once: a runtime whose powers round
    differently would be off by a whole 1e-4 at position 1000.
    """

    def __init__(self, width: int, longest: float = 10000.0):
        super().__init__()
        half = width // 2
        exponents = torch.arange(half, dtype=torch.float32, device="cpu") / (half - 1)
        self.periods = (torch.tensor(longest, device="cpu") ** exponents).tolist()

    def forward(self, positions: Tensor) -> Tensor:
        phase = positions.float()[:, None] / torch.tensor(self.periods, device=positions.device)
        return torch.cat([phase.cos(), phase.sin()], dim=-1)
