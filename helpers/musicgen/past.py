"""What the language model remembers between two calls, and what it reads. Numpy only."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from helpers.runtime.cache import Cache


@dataclass(frozen=True, eq=False)
class Condition:
    """Texts as the language model reads them: states (B, L, D), zero where mask (B, L) is 0."""

    states: np.ndarray
    mask: np.ndarray

    @cached_property
    def says_something(self) -> bool:
        return bool(self.states.any())

    def attended(self, text_padding: str) -> np.ndarray:
        """The mask as the language model takes it: with "attend" it looks at the padding as well."""
        return self.mask if text_padding == "mask" else np.ones_like(self.mask)

    def with_null(self) -> "Condition":
        """Twice as many items: these, and each once more without its text, for guidance."""
        return Condition(
            np.concatenate([self.states, np.zeros_like(self.states)]), np.concatenate([self.mask] * 2)
        )


@dataclass(frozen=True, eq=False)
class Past:
    """The columns so far, and the text that they were read with: of each layer its keys and values."""

    condition: Condition
    text: tuple[np.ndarray, ...]
    cache: Cache
