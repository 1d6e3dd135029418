"""Pieces of music in memory, and random segments of them."""

import os
from pathlib import Path

import numpy as np

from helpers import audio
from helpers.support.errors import InputError

MEMORY = 3  # segments of a piece over which its running mean loss forgets
QUIETEST, LOUDEST = -6.0, 3.0  # dB: a segment's level round the level that the codec conditions to


def pieces(folder: str | os.PathLike, sample_rate: int) -> list[np.ndarray]:
    """The FLAC files of a folder, each (N,) float32, as the codec's encoder wants to hear it."""
    paths = sorted(Path(folder).glob("*.flac"))
    if not paths:
        split = Path(folder).name
        raise InputError(
            f"{folder} holds no FLAC files; make some with `python -m data.music {folder} --split {split}`."
        )
    return [audio.condition(*audio.load(path), sample_rate, hop=1)[0, 0] for path in paths]


class Segments:
    """Random segments of some pieces: the worse a piece was rebuilt of late, the more often it is drawn.

    Most music is noisy and forgives noise; a lone oboe doesn't, and is rare. music: pieces (N,); n: samples
    a segment; hard: 0 draws all music alike, 2 a piece of twice the loss four times as often.
    """

    def __init__(self, music: list[np.ndarray], n: int, hard: float = 0.0):
        self.music, self.n, self.hard = music, n, hard
        self.rooms = np.array([max(0, len(piece) - n + 1) for piece in music])
        if not self.rooms.any():
            raise InputError(f"no piece is as long as a segment ({n} samples).")
        self.losses = np.ones(len(music))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, 1, n) float32 from anywhere, each at a level of its own; and of which pieces, (count,)."""
        shares = self.rooms * self.losses**self.hard
        chosen = rng.choice(len(self.music), count, p=shares / shares.sum())
        starts = [rng.integers(self.rooms[i]) for i in chosen]
        cut = np.stack([self.music[i][start : start + self.n] for i, start in zip(chosen, starts)])
        gain = 10 ** (rng.uniform(QUIETEST, LOUDEST, count) / 20)
        return (cut * gain[:, None]).clip(-1, 1).astype(np.float32)[:, None], chosen

    def note(self, chosen: np.ndarray, losses: np.ndarray) -> None:
        """What segments of these pieces cost: remembered as a running mean of each piece."""
        for i, loss in zip(chosen, losses):
            self.losses[i] += (loss - self.losses[i]) / MEMORY


def clips(music: list[np.ndarray], count: int, n: int) -> np.ndarray:
    """(count, 1, n) float32, always the same ones: from every piece in turn, evenly spread over it."""
    music = [piece for piece in music if len(piece) >= n]
    if not music:
        raise InputError(f"no held-out piece is as long as a clip ({n} samples).")
    rounds = -(-count // len(music))
    chosen = []
    for i in range(count):
        piece, share = music[i % len(music)], (i // len(music) + 1) / (rounds + 1)
        start = int(share * (len(piece) - n))
        chosen.append(piece[start : start + n])
    return np.stack(chosen)[:, None]
