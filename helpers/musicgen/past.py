"""What the language model remembers between two calls, and what it reads. Numpy only."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from helpers.musicgen.spec import Spec

BLOCK = 128  # places; a full past grows by so many at once


@dataclass(frozen=True, eq=False)
class Condition:
    """Texts as the language model reads them: states (B, L, D), zero where mask (B, L) is 0."""

    states: np.ndarray
    mask: np.ndarray

    @cached_property
    def says_something(self) -> bool:
        return bool(self.states.any())

    def with_null(self) -> "Condition":
        """Twice as many items: these, and each once more without its text, for guidance."""
        return Condition(
            np.concatenate([self.states, np.zeros_like(self.states)]), np.concatenate([self.mask] * 2)
        )


@dataclass(frozen=True, eq=False)
class Past:
    """Keys and values of `n` columns, in arrays with room for more, and the text's.

    held: of each layer keys and values (B, heads, C, size), C >= n. Two pasts may share arrays: what a call
    adds is written behind what is there, into a copy if somebody has written there already.
    """

    condition: Condition
    text: tuple[np.ndarray, ...]
    held: tuple[np.ndarray, ...]
    n: int = 0
    written: list[int] = field(default_factory=lambda: [0])  # how far the shared arrays are filled

    @classmethod
    def empty(cls, condition: Condition, text: tuple[np.ndarray, ...], spec: Spec) -> "Past":
        """Nothing yet: one place a layer, which does not count."""
        shape = (len(condition.states), spec.n_heads, 1, spec.width // spec.n_heads)
        return cls(condition, text, (np.zeros(shape, np.float32),) * (2 * spec.n_layers))

    def of_text(self, condition: Condition, text: tuple[np.ndarray, ...]) -> "Past":
        """The same columns, with another text to go on."""
        return replace(self, condition=condition, text=text)

    def longer(self, new: list[np.ndarray]) -> "Past":
        """With the keys and values of S more columns, each (B, heads, S, size)."""
        n = self.n + new[0].shape[2]
        held, written = self.held, self.written
        if n > held[0].shape[2] or written[0] != self.n or self.n == 0:
            held, written = tuple(self._roomier(one, n) for one in held), [self.n]
        for array, one in zip(held, new):
            array[:, :, self.n : n] = one
        written[0] = n
        return replace(self, held=held, n=n, written=written)

    def _roomier(self, array: np.ndarray, n: int) -> np.ndarray:
        batch, heads, _, size = array.shape
        grown = np.zeros((batch, heads, -(-n // BLOCK) * BLOCK, size), np.float32)
        grown[:, :, : self.n] = array[:, :, : self.n]
        return grown
