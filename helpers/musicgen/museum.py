"""The museum of failures, second room: what earlier attempts at this model did wrong, as switches to flip.

Every one of them runs without an error; only tokens and ears can tell.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from helpers.layers import MultiHeadAttention, Stretch
from helpers.musicgen.pipeline import Condition
from helpers.musicgen.reference import TorchPipeline
from helpers.musicgen.weights import Models
from helpers.support.errors import InputError

FAILURES = (
    "looks ahead",
    "forgets the past",
    "ignores the text",
    "special token one off",
    "reads another column",
)


class WithoutCache(TorchPipeline):
    """The model asked for all columns anew at every step: slow, and right unless it has one of FAILURES.

    Raises InputError for another failure's name.
    """

    def __init__(self, models: Models, failure: str | None = None):
        super().__init__(models)
        if failure not in (None, *FAILURES):
            raise InputError(f"there is no failure {failure!r}; choose one of {', '.join(FAILURES)}.")
        self.failure = failure
        self.language = looking_ahead(models.language) if failure == "looks ahead" else models.language

    def logits(
        self, codes: np.ndarray, condition: Condition, past: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Pipeline.logits`; the past is the columns themselves."""
        forgets = past is None or self.failure == "forgets the past"
        columns = codes if forgets else np.concatenate([past, codes], axis=2)
        read, states = columns, condition.states
        if self.failure == "special token one off":
            read = np.minimum(columns, self.special_token - 1)
        if self.failure == "ignores the text":
            states = np.zeros_like(states)
        mask = condition.attended(self.spec.text_padding)
        with torch.inference_mode():
            logits = self.language(*map(torch.from_numpy, (read, states, mask))).numpy()
        if self.failure == "reads another column":
            logits = as_if_undelayed(logits, self.spec.delays)
        return logits[:, :, -codes.shape[2] :], columns


def as_if_undelayed(logits: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """Logits (B, K, S, V) whose last column is that of the last frame: each book goes its delay back."""
    back = [max(delays) - delay for delay in delays]
    moved = [np.roll(logits[:, k], steps, axis=1) for k, steps in enumerate(back)]
    return np.stack(moved, axis=1)


def looking_ahead(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of a language model whose columns see those that come after them."""
    model = copy.deepcopy(model)
    for layer in model.layers:
        layer.self_attention.__class__ = _Unmasked
    return model


class _Unmasked(MultiHeadAttention):
    def forward(self, x: Tensor, stretches: Sequence[Stretch]) -> Tensor:
        return super().forward(x, [(keys, values, None) for keys, values, _ in stretches])
