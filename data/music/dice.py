"""Chance that falls the same way on every platform and in every version of Python."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of choices. Equal names give equal choices.

    Everything is derived from `random.Random.random`, the one generator whose sequence Python promises never
    to change; its other methods, and NumPy's, may change between versions.
    """

    def __init__(self, *names: object):
        digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
        self._random = random.Random(int.from_bytes(digest, "big")).random

    def chance(self, probability: float) -> bool:
        """True as often as `probability` says."""
        return self._random() < probability

    def uniform(self, low: float, high: float) -> float:
        """A number from `low` up to `high`."""
        return low + (high - low) * self._random()

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int((high - low + 1) * self._random())

    def choose(self, options: Sequence[T]) -> T:
        """One of `options`, all equally likely."""
        return options[int(len(options) * self._random())]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys, as likely as its weight."""
        rest = self._random() * sum(weights.values())
        for option, weight in weights.items():
            rest -= weight
            if rest < 0:
                return option
        return option

    def bell(self) -> float:
        """A number between -1 and 1, mostly near 0."""
        return (self._random() + self._random() + self._random()) / 1.5 - 1
