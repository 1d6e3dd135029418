"""The eye: a picture to places of the thinker; and readers that ask it about cells and signs."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers import NEVER, Block, MultiHeadAttention, Rotary
from helpers.layers.transformer import RMSNorm
from helpers.omni.configs import CELLS, DIGITS, PATCH, Config
from helpers.omni.spec import SOFT

SIDE = 8  # places along a side, after three halvings
CONTRAST = 64  # how wide pictures and captions are where they are compared


class Reader(nn.Module):
    """Learned queries that attend to all places: (B, T, width) -> (B, n_queries, width).

    leaning: what is added to scores in the beginning, (n_queries, T); it is learned too.
    """

    def __init__(self, n_queries: int, width: int, n_heads: int, leaning: Tensor):
        super().__init__()
        self.leaning = nn.Parameter(leaning)
        self.queries = nn.Parameter(torch.randn(n_queries, width) * 0.1)
        self.attention = MultiHeadAttention(width, n_heads)
        self.norm = RMSNorm(width)

    def forward(self, places: Tensor) -> Tensor:
        queries = self.queries.expand(places.shape[0], -1, -1)
        keys, values = self.attention.keys_values(places)
        return self.norm(queries + self.attention(queries, [(keys, values, self.leaning)]))


def nearness() -> Tensor:
    """Of each cell to each place, (CELLS, SIDE * SIDE): the exponent of a bell around its middle.

    A query that looks everywhere at once learns what is somewhere in the picture, and hardly ever where.
    """
    side = math.isqrt(CELLS)
    middles = (torch.arange(side) + 0.5) * SIDE / side - 0.5
    apart = (torch.arange(SIDE) - middles[:, None]) ** 2  # (cells, places) along a side
    return -0.5 * (apart[:, None, :, None] + apart[None, :, None, :]).flatten(2).flatten(0, 1)


class Seen(NamedTuple):
    """Of a batch of pictures."""

    places: Tensor  # (B, 16, width of the thinker)
    colours: Tensor  # (B, 9, 1 + n_colours): of each cell, 0 is nothing
    shapes: Tensor  # (B, 9, 1 + n_shapes)
    digits: Tensor  # (B, 3, 11): of the sign, 10 is none
    summary: Tensor  # (B, CONTRAST): to compare with captions


class Eye(nn.Module):
    """Three convolutions that halve the picture, then blocks that see all of it."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.eye
        widths = (3, c.width // 4, c.width // 2, c.width)
        self.stem = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:]))
        for conv in self.stem:  # else what is seen is ten times smaller than the positions, and learned late
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)
        self.positions = nn.Parameter(torch.randn(SIDE * SIDE, c.width) * 0.1)
        self.blocks = nn.ModuleList(
            Block(c.width, c.n_heads, c.n_shared, c.hidden) for _ in range(c.n_layers)
        )
        self.norm = RMSNorm(c.width)
        self.project = nn.Linear(PATCH * PATCH * c.width, config.thinker.width)
        self.cells = Reader(CELLS, c.width, c.n_heads, nearness())
        self.colour = nn.Linear(c.width, 1 + config.n_colours)
        self.shape = nn.Linear(c.width, 1 + config.n_shapes)
        self.sign = Reader(DIGITS, c.width, c.n_heads, torch.zeros(DIGITS, SIDE * SIDE))
        self.digit = nn.Linear(c.width, 11)
        self.summary = nn.Linear(c.width, CONTRAST)

    def forward(self, picture: Tensor) -> Seen:
        """picture (B, 3, 64, 64), 0 to 1."""
        x = 2 * picture - 1
        for conv in self.stem:
            x = F.gelu(conv(x))
        x = x.flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            x, _ = block(x)
        x = self.norm(x)
        cells = self.cells(x)
        return Seen(
            self.project(self.shuffled(x)), self.colour(cells), self.shape(cells),
            self.digit(self.sign(x)), self.summary(x.mean(1)),
        )  # fmt: skip

    def shuffled(self, x: Tensor) -> Tensor:
        """2 x 2 neighbours side by side as one: (B, 64, width) -> (B, 16, 4 width) (Shi et al. 2016)."""
        half = SIDE // PATCH
        x = x.unflatten(1, (half, PATCH, half, PATCH)).permute(0, 1, 3, 2, 4, 5)
        return x.flatten(3).flatten(1, 2)


class Captions(nn.Module):
    """What pictures are contrasted with (Radford et al. 2021): words (B, L), SOFT pads -> (B, CONTRAST)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.eye
        self.table = nn.Embedding(config.vocabulary, c.width)
        self.rotary = Rotary(c.size)
        self.blocks = nn.ModuleList(Block(c.width, c.n_heads, c.n_shared, c.hidden) for _ in range(2))
        self.norm = RMSNorm(c.width)
        self.summary = nn.Linear(c.width, CONTRAST)
        self.temperature = nn.Parameter(torch.tensor(2.0))  # the logarithm of its inverse

    def forward(self, ids: Tensor) -> Tensor:
        x, is_word = self.table(ids), (ids != SOFT)[..., None]
        turns = self.rotary(torch.arange(ids.shape[1], device=ids.device))
        bias = torch.where(is_word.transpose(1, 2), 0.0, NEVER)[:, None, None]
        for block in self.blocks:
            x, _ = block(x, turns, bias=bias)
        x = self.norm(x) * is_word
        return self.summary(x.sum(1) / is_word.sum(1))
