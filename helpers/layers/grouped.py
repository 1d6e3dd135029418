"""The decoder of today's language models: rotary positions, grouped queries, a gated feed-forward."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers.attention import Stretch, attend, beyond, causal
from helpers.layers.transformer import RMSNorm

Turns = tuple[Tensor, Tensor]  # cosines and sines, each (S, size / 2)
KeysValues = tuple[Tensor, Tensor]  # of one layer, each (B, shared heads, T, size)


class Rotary(nn.Module):
    """Positions as turns of pairs of features (Su et al. 2021): a score then depends on distance alone.

    positions (S,) -> cosines and sines, each float32 (S, size / 2). Pair i turns by p / 10000^(2 i / size).
    """

    def __init__(self, size: int, longest: float = 10000.0):
        super().__init__()
        exponents = torch.arange(0, size, 2, dtype=torch.float32, device="cpu") / size
        self.periods = (torch.tensor(longest, device="cpu") ** exponents).tolist()

    def forward(self, positions: Tensor) -> Turns:
        angle = positions.float()[:, None] / torch.tensor(self.periods, device=positions.device)
        return angle.cos(), angle.sin()


def turned(x: Tensor, turns: Turns) -> Tensor:
    """x (..., S, size): feature i of the first half and of the second are a pair."""
    one, other = x.chunk(2, dim=-1)
    cosine, sine = (part.to(x.dtype) for part in turns)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], dim=-1)


class GroupedAttention(nn.Module):
    """Several heads ask the same keys and values (Ainslie et al. 2023): a cache needs only these few.

    `n_shared` divides `n_heads`; keys and values are (B, n_shared, T, size). No biases.
    """

    def __init__(self, width: int, n_heads: int, n_shared: int):
        super().__init__()
        self.n_heads, self.n_shared, self.size = n_heads, n_shared, width // n_heads
        self.query = nn.Linear(width, n_heads * self.size, bias=False)
        self.key = nn.Linear(width, n_shared * self.size, bias=False)
        self.value = nn.Linear(width, n_shared * self.size, bias=False)
        self.out = nn.Linear(n_heads * self.size, width, bias=False)

    def keys_values(self, x: Tensor, turns: Turns | None) -> KeysValues:
        parts = (part(x).unflatten(-1, (-1, self.size)) for part in (self.key, self.value))
        keys, values = (part.transpose(1, 2) for part in parts)
        return (keys if turns is None else turned(keys, turns)), values

    def forward(self, x: Tensor, turns: Turns | None, stretches: Sequence[Stretch]) -> Tensor:
        """x (B, S, width) asks, the stretches answer: (B, S, width). Biases are (S, T) or (B, 1, 1, 1, T)."""
        query = self.query(x).unflatten(-1, (self.n_shared, -1, self.size)).permute(0, 2, 3, 1, 4)
        query = query if turns is None else turned(query, turns)
        grouped = [(keys.unsqueeze(2), values.unsqueeze(2), bias) for keys, values, bias in stretches]
        return self.out(attend(query, grouped).permute(0, 3, 1, 2, 4).flatten(2))


class SwiGLU(nn.Module):
    """Widen, gate one half by the other through SiLU, return (Shazeer 2020); no biases."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Attention and feed-forward, each normalised first and added. x: (B, S, width) -> the same."""

    def __init__(self, width: int, n_heads: int, n_shared: int, hidden: int):
        super().__init__()
        self.norm_1 = RMSNorm(width)
        self.attention = GroupedAttention(width, n_heads, n_shared)
        self.norm_2 = RMSNorm(width)
        self.feed_forward = SwiGLU(width, hidden)

    def forward(
        self, x: Tensor, turns: Turns | None = None, past: Sequence[Stretch] = (), bias: Tensor | None = None
    ) -> tuple[Tensor, KeysValues]:
        """Also the keys and values of these S places; `bias` is added to the scores among them."""
        normed = self.norm_1(x)
        now = self.attention.keys_values(normed, turns)
        x = x + self.attention(normed, turns, [*past, (*now, bias)])
        return x + self.feed_forward(self.norm_2(x)), now


class Decoder(nn.Module):
    """Blocks over what came before; prefill and steps are the same call.

    x (B, S, width) -> the same, normalised, and of each layer the keys and values of these S places. past: of
    each layer those of earlier places, of which the first `n_past` count. padding: what to add to scores, for
    a batch of several lengths without a past, padded on the left: (B, 1, 1, 1, S).
    """

    def __init__(self, width: int, n_layers: int, n_heads: int, n_shared: int, hidden: int):
        super().__init__()
        self.rotary = Rotary(width // n_heads)
        self.blocks = nn.ModuleList(Block(width, n_heads, n_shared, hidden) for _ in range(n_layers))
        self.norm = RMSNorm(width)

    def forward(
        self,
        x: Tensor,
        past: Sequence[KeysValues] = (),
        n_past: int | Tensor = 0,
        padding: Tensor | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        now = torch.arange(x.shape[1], device=x.device)
        turns, bias = self.rotary(now + n_past), causal(now).to(x.dtype)
        bias = bias if padding is None else bias + padding
        unfilled = beyond(past[0][0], n_past) if past else None
        made = []
        for i, block in enumerate(self.blocks):
            x, keys_values = block(x, turns, [(*past[i], unfilled)] if past else [], bias)
            made.append(keys_values)
        return self.norm(x), made
