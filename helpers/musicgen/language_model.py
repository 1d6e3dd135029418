"""MusicGen's language model (Copet et al. 2023, arXiv 2306.05284): the next column of tokens.

A column holds one token of each codebook, delayed against one another (see `delay`). The model is causal: a
column's output depends on it and on what came before, so what was computed for earlier columns, their keys
and values, is computed once and kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers import NEVER, MultiHeadAttention, Sinusoids, Stretch, beyond, causal

KeysValues = tuple[Tensor, Tensor]  # of one layer, each (B, heads, T, width / heads)


@dataclass(frozen=True)
class LanguageConfig:
    """Everything about the model's shape."""

    width: int
    n_heads: int
    n_layers: int
    feed_forward: int
    n_codebooks: int  # of all channels together
    codebook_size: int  # the special token is one past the last code

    @property
    def head_size(self) -> int:
        return self.width // self.n_heads


class DecoderLayer(nn.Module):
    """Attention to the past, attention to the text, feed-forward; each normalised first and added."""

    def __init__(self, config: LanguageConfig):
        super().__init__()
        self.norm_1 = nn.LayerNorm(config.width)
        self.self_attention = MultiHeadAttention(config.width, config.n_heads)
        self.norm_2 = nn.LayerNorm(config.width)
        self.cross_attention = MultiHeadAttention(config.width, config.n_heads)
        self.norm_3 = nn.LayerNorm(config.width)
        self.w_1 = nn.Linear(config.width, config.feed_forward, bias=False)
        self.w_2 = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(
        self, x: Tensor, causal: Tensor, past: Sequence[Stretch], text: Stretch
    ) -> tuple[Tensor, KeysValues]:
        """x: (B, S, width) -> the same, and the keys and values of these S columns."""
        normed = self.norm_1(x)
        now = self.self_attention.keys_values(normed)
        x = x + self.self_attention(normed, [*past, (*now, causal)])
        x = x + self.cross_attention(self.norm_2(x), [text])
        return x + self.w_2(F.gelu(self.w_1(self.norm_3(x)))), now


class LanguageModel(nn.Module):
    """Columns of codes (B, K, S) and a text -> logits (B, K, S, V) of the column after each."""

    def __init__(self, config: LanguageConfig):
        super().__init__()
        self.config = config
        rows = config.codebook_size + 1
        self.embeddings = nn.ModuleList(nn.Embedding(rows, config.width) for _ in range(config.n_codebooks))
        self.positions = Sinusoids(config.width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)
        self.heads = nn.ModuleList(
            nn.Linear(config.width, config.codebook_size, bias=False) for _ in range(config.n_codebooks)
        )

    def forward(self, codes: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """Everything at once, without a past.

        codes: int64 (B, K, S), the special token is V. condition: (B, L, width), mask: int64 (B, L), 0 where
        no column may look.
        """
        logits, _ = self.step(codes, self.cross(condition), mask)
        return logits

    def cross(self, condition: Tensor) -> list[KeysValues]:
        """The text's keys and values for each layer: the same in every step, so made once."""
        return [layer.cross_attention.keys_values(condition) for layer in self.layers]

    def step(
        self,
        codes: Tensor,
        text: Sequence[KeysValues],
        mask: Tensor,
        past: Sequence[KeysValues] = (),
        n_past: int | Tensor = 0,
    ) -> tuple[Tensor, list[KeysValues]]:
        """Logits of S more columns, and their keys and values for each layer.

        past: of each layer, those of earlier columns; the first `n_past` of them count, whatever lies behind.
        """
        x = sum(table(codes[:, k]) for k, table in enumerate(self.embeddings))
        now = torch.arange(codes.shape[2], device=codes.device)
        x = x + self.positions(now + n_past).to(x.dtype)
        earlier = causal(now).to(x.dtype)
        no_text = ((1 - mask.to(x.dtype)) * NEVER)[:, None, None]
        unfilled = beyond(past[0][0], n_past) if past else None
        made = []
        for i, layer in enumerate(self.layers):
            before = [(*past[i], unfilled)] if past else []
            x, keys_values = layer(x, earlier, before, (*text[i], no_text))
            made.append(keys_values)
        x = self.norm(x)
        return torch.stack([head(x) for head in self.heads], dim=1), made
