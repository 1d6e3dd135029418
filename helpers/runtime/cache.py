"""What a causal transformer remembers between two calls: keys and values of the columns it has seen."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

BLOCK = 128  # places; a full cache grows by so many at once


@dataclass(frozen=True, eq=False)
class Cache:
    """Keys and values of `n` columns, in arrays with room for more.

    held: of each layer keys and values (B, heads, C, size), C >= n. Two caches may share arrays: what a call
    adds is written behind what is there, into a copy if somebody has written there already.
    """

    held: tuple[np.ndarray, ...]
    n: int = 0
    written: list[int] = field(default_factory=lambda: [0])  # how far the shared arrays are filled

    @property
    def n_items(self) -> int:
        return len(self.held[0])

    @classmethod
    def empty(cls, batch: int, n_layers: int, n_heads: int, size: int) -> Self:
        """Nothing yet: one place a layer, which does not count."""
        return cls((np.zeros((batch, n_heads, 1, size), np.float32),) * (2 * n_layers))

    def longer(self, new: list[np.ndarray]) -> Self:
        """With the keys and values of S more columns, each (B, heads, S, size)."""
        n = self.n + new[0].shape[2]
        held, written = self.held, self.written
        if n > held[0].shape[2] or written[0] != self.n or self.n == 0:
            held, written = tuple(self._roomier(one, n) for one in held), [self.n]
        for array, one in zip(held, new):
            array[:, :, self.n : n] = one
        written[0] = n
        return type(self)(held, n, written)

    def _roomier(self, array: np.ndarray, n: int) -> np.ndarray:
        batch, heads, _, size = array.shape
        grown = np.zeros((batch, heads, -(-n // BLOCK) * BLOCK, size), np.float32)
        grown[:, :, : self.n] = array[:, :, : self.n]
        return grown


def names_of(what: str, n_layers: int) -> list[str]:
    """Names of keys and values, in the order in which graphs take and give them."""
    return [f"{what}_{kind}_{i}" for i in range(n_layers) for kind in ("key", "value")]
