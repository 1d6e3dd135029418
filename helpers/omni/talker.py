"""The talker: words and the thinker's states to codes of speech. It says when the next word is due.

A frame gets the word that is being said and the one after it, so what is said, in which order, and that it
ends is not for the talker to choose: it ends when it has finished the last word.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from helpers.layers import Decoder
from helpers.layers.grouped import KeysValues
from helpers.omni.configs import Config


class Spoken(NamedTuple):
    """Of S frames."""

    codes: Tensor  # int64 (B, S, K): the most probable, each book's given those before
    logits: Tensor  # (B, S, K, V)
    over: Tensor  # (B, S): above 0, the next frame is the next word's
    past: list[KeysValues]


class Talker(nn.Module):
    """A causal decoder over frames of 40 ms."""

    def __init__(self, config: Config):
        super().__init__()
        c, books = config.talker, config.codec
        self.words = nn.Embedding(config.vocabulary, c.width)
        self.now = nn.Linear(config.thinker.width, c.width)
        self.next = nn.Linear(c.width + config.thinker.width, c.width)
        rows = books.codebook_size + 1  # the last: there is no frame before
        self.before = nn.ModuleList(nn.Embedding(rows, c.width) for _ in range(books.n_codebooks))
        self.decoder = Decoder(c.width, c.n_layers, c.n_heads, c.n_shared, c.hidden)
        self.heads = nn.ModuleList(nn.Linear(c.width, books.codebook_size) for _ in range(books.n_codebooks))
        self.said = nn.ModuleList(
            nn.Embedding(books.codebook_size, c.width) for _ in range(books.n_codebooks - 1)
        )
        self.over = nn.Linear(c.width, 1)

    def forward(
        self,
        words: Tensor,
        states: Tensor,
        before: Tensor,
        past: Sequence[KeysValues] = (),
        n_past: int | Tensor = 0,
        codes: Tensor | None = None,
    ) -> Spoken:
        """S frames.

        words: int64 (B, S, 2), this one and the next (END behind the last). states: (B, S, 2, width of the
        thinker), 0 for END. before: codes int64 (B, S, K) of the frame before, V where there is none. codes:
        those that are right, in training; else each book goes on from what the ones before it chose.
        """
        now, later = self.words(words).unbind(2)
        x = now + self.now(states[:, :, 0]) + self.next(torch.cat([later, states[:, :, 1]], dim=-1))
        x = x + sum(table(before[:, :, k]) for k, table in enumerate(self.before))
        x, made = self.decoder(x, past, n_past)
        over, logits, chosen = self.over(x)[..., 0], [], []
        for k, head in enumerate(self.heads):
            logits.append(head(x))
            chosen.append(logits[-1].argmax(-1))
            if k < len(self.said):
                x = x + self.said[k](chosen[-1] if codes is None else codes[:, :, k])
        return Spoken(torch.stack(chosen, dim=2), torch.stack(logits, dim=2), over, made)
