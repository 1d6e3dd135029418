"""The encoder of T5 (Raffel et al. 2020, arXiv 1910.10683): ids of word pieces to one vector each.

MusicGen took it as it was and added one projection to the language model's width, which lies here too.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers import NEVER, RelativeAttention, RelativePositionBias, RMSNorm


@dataclass(frozen=True)
class TextConfig:
    """Everything about the encoder's shape, and the width it is projected to (None: not at all)."""

    vocab_size: int
    width: int
    inner: int  # all heads together
    n_heads: int
    n_layers: int
    feed_forward: int
    n_buckets: int
    max_distance: int
    eps: float
    projected: int | None


class TextLayer(nn.Module):
    """Attention and feed-forward, each on the normalised input and added to it.

    x: (B, L, width), bias: (B, n_heads, L, L) -> (B, L, width). T5 does not scale the scores.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.norm_1 = RMSNorm(config.width, config.eps)
        self.attention = RelativeAttention(config.width, config.n_heads, config.inner, scale=1.0)
        self.norm_2 = RMSNorm(config.width, config.eps)
        self.w_1 = nn.Linear(config.width, config.feed_forward, bias=False)
        self.w_2 = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x), bias)
        return x + self.w_2(F.relu(self.w_1(self.norm_2(x))))


class TextEncoder(nn.Module):
    """ids and mask int64 (B, L), mask 0 = padding -> condition (B, L, projected), zero where masked."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_bias = RelativePositionBias(config.n_heads, config.n_buckets, config.max_distance)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.width, config.eps)
        self.projection = nn.Linear(config.width, config.projected) if config.projected else nn.Identity()

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What T5 itself gives: (B, L, width)."""
        x = self.embedding(ids)
        bias = self.position_bias(ids.shape[1]) + (1 - mask.to(x.dtype))[:, None, None] * NEVER
        for layer in self.layers:
            x = layer(x, bias)
        return self.norm(x)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.projection(self.states(ids, mask)) * mask[..., None]
