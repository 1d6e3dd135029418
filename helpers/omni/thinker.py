"""The thinker: places in, the next word out, and a state for each place that the talker reads."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.layers import Decoder
from helpers.layers.grouped import KeysValues
from helpers.omni.configs import Config
from helpers.omni.spec import SOFT


class Thinker(nn.Module):
    """A causal decoder; what is heard and seen stands among the words as places that are no word."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.thinker
        self.table = nn.Embedding(config.vocabulary, c.width)
        self.decoder = Decoder(c.width, c.n_layers, c.n_heads, c.n_shared, c.hidden)
        self.head = nn.Linear(c.width, config.vocabulary, bias=False)

    def forward(
        self,
        ids: Tensor,
        soft: Tensor,
        past: Sequence[KeysValues] = (),
        n_past: int | Tensor = 0,
        padding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, list[KeysValues]]:
        """ids int64 (B, S), SOFT where `soft` (B, S, width) counts -> logits (B, S, V), states, the new past.

        past, n_past, padding: see `layers.Decoder`.
        """
        x = torch.where((ids == SOFT)[..., None], soft, self.table(ids))
        states, made = self.decoder(x, past, n_past, padding)
        return self.head(states), states, made
