"""Pieces of music in memory, and random segments of them."""

import os
from pathlib import Path

import numpy as np

from helpers import audio
from helpers.errors import InputError

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


def random_segments(music: list[np.ndarray], rng: np.random.Generator, count: int, n: int) -> np.ndarray:
    """(count, 1, n) float32 from anywhere in the music, each at a level of its own."""
    rooms = np.array([max(0, len(piece) - n + 1) for piece in music])
    if not rooms.any():
        raise InputError(f"no piece is as long as a segment ({n} samples).")
    chosen = rng.choice(len(music), count, p=rooms / rooms.sum())
    starts = [rng.integers(rooms[i]) for i in chosen]
    segments = np.stack([music[i][start : start + n] for i, start in zip(chosen, starts)])
    gain = 10 ** (rng.uniform(QUIETEST, LOUDEST, count) / 20)
    return (segments * gain[:, None]).clip(-1, 1).astype(np.float32)[:, None]


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
