"""Sounds that belong to no place in particular, to lay behind clips that are learned from.

They are made otherwise than the backgrounds of the test. Who designed them knew those, though: rings and
buzzes are of the family of drops and cicadas.
"""

import inspect
from collections.abc import Iterator

import numpy as np

from data.chorus.frozen import source_hash
from data.chorus.places import coloured, drops, slowly
from data.chorus.species import RATE
from helpers import audio as sound

COUNT = 240
KINDS = ("noise", "rings", "buzz")


class Weather:
    """A task without labels: its clips are backgrounds."""

    labels = ()

    def key(self, split: str) -> str:
        """What decides the sounds."""
        return f"{COUNT} {source_hash()} {inspect.getsource(weather)}"

    def sounds(self, split: str, rate: int, seconds: float) -> Iterator[tuple[np.ndarray, int]]:
        """Backgrounds (N,) at a rate, all with the label 0."""
        for one in weather(COUNT, round(seconds * RATE), 0):
            yield sound.resample(one[None], RATE, rate)[0], 0


def weather(count: int, n: int, seed: int) -> np.ndarray:
    """Backgrounds (count, n) float32 at 16 kHz, deviation 1: noises of all colours, rings, buzzes."""
    rng, made = np.random.default_rng((9, seed)), []
    for _ in range(count):
        low, width = 2 ** rng.uniform(5, 11.5), 2 ** rng.uniform(0.5, 6)
        ground = coloured(n, rng, rng.uniform(-0.5, 3.0), low, min(8000, low * width))
        ground *= slowly(n, rng, 2 ** rng.uniform(-1, 5), rng.uniform(0, 1))
        kind, low = rng.choice(KINDS), 2 ** rng.uniform(8, 12)
        if kind == "rings":
            heard = drops(n, rng, 2 ** rng.uniform(2, 6), 2 ** rng.uniform(-9, -6), (low, 2 * low))
        elif kind == "buzz":
            pitches = low * rng.uniform(1, 1.4, (6, 1))
            lines = np.sin(2 * np.pi * (pitches * np.arange(n) / RATE + rng.uniform(0, 1, (6, 1))))
            heard = lines.sum(0) * slowly(n, rng, 2 ** rng.uniform(1, 6), 0.7)
        else:
            heard = np.zeros(n)
        ground += rng.uniform(0.2, 1.5) * heard / max(heard.std(), 1e-3)
        made.append(ground / ground.std())
    return np.stack(made).astype(np.float32)
