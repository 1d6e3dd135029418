"""Clips and nights, each the same for the same seed.

Clips are 2 s at 16 kHz. What is close is what people record and label; what is far is what a recorder left in
the forest hears: other noise, other animals, distance. Who learns from the first is tested on the second.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.chorus.places import CLOSE, FAR, distant, microphone, noise
from data.chorus.species import LABELS, RATE, SPECIES, Individual

SECONDS = 2.0
N = int(SECONDS * RATE)
SPLITS = {"train": (0, 100), "valid": (1, 25), "shifted": (2, 25), "test": (3, 50)}  # seed, clips a species
CLOSE_SNR, FAR_SNR = (12, 30), (-8, 7)  # decibels, of the song's loudest quarter second
ANIMALS = 40  # individuals a species and split
BUSY = 9.0  # songs a minute in a night


@dataclass(frozen=True)
class Event:
    """One song in a night: when, in seconds, and whose."""

    start: float
    end: float
    label: int


def clip(label: int, far: bool, seed: tuple[int, ...]) -> np.ndarray:
    """One clip (N,) float32, peak below 1. seed: the first number is the split's, whose animals it has."""
    rng = np.random.default_rng((*seed, label, far))
    song = sung(label, seed[0], rng)
    if far:
        song = distant(song, rng)
    place = rng.integers(-len(song) // 4, max(1, N - 3 * len(song) // 4))
    heard = laid(np.zeros(N), song, place)
    return recorded(heard, FAR if far else CLOSE, FAR_SNR if far else CLOSE_SNR, rng)


def sung(label: int, split: int, rng: np.random.Generator) -> np.ndarray:
    """A song of one of the split's animals."""
    who = Individual.born(np.random.default_rng((7, split, label, rng.integers(ANIMALS))))
    return SPECIES[label].song(who, rng)


def laid(ground: np.ndarray, song: np.ndarray, place: int) -> np.ndarray:
    """The song added from `place` on; what lies outside is not heard."""
    begin, end = max(0, place), min(len(ground), place + len(song))
    if end > begin:
        ground[begin:end] += song[begin - place : end - place]
    return ground


def recorded(
    song: np.ndarray, kinds: tuple[str, ...], snr: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """A song with a background of one of `kinds`, through a microphone, at some level: float32."""
    pieces = song[: len(song) // 4000 * 4000].reshape(-1, 4000)
    loud = np.sqrt(np.square(pieces).mean(1).max() + 1e-12)
    ground = noise(str(rng.choice(kinds)), len(song), rng)
    made = song / loud + ground * 10 ** (-rng.uniform(*snr) / 20)
    made = np.fft.irfft(np.fft.rfft(made) * microphone(len(made), rng), len(made))
    return (made / np.abs(made).max() * 10 ** (rng.uniform(-24, -3) / 20)).astype(np.float32)


def clips(split: str, per_species: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A split's audio (n, N) float32 and labels (n,): "train" and "valid" are close, the others far.

    No two splits share an animal. "shifted" is to choose by, "test" is to be heard once.
    """
    number, usual = SPLITS[split]
    count, far = usual if per_species is None else per_species, split in ("shifted", "test")
    labels = np.repeat(np.arange(len(LABELS)), count)
    made = [clip(label, far, (number, i)) for i, label in enumerate(labels.tolist())]
    return np.stack(made), labels


def night(seconds: float, seed: int) -> Iterator[tuple[np.ndarray, list[Event]]]:
    """A night in pieces of a minute: audio (n,), and the songs in it, timed from the night's beginning.

    Animals sing at random and may overlap; the weather changes from minute to minute.
    """
    for minute in range(int(np.ceil(seconds / 60))):
        rng = np.random.default_rng((4, seed, minute))
        n = int(min(60, seconds - 60 * minute) * RATE)
        ground, events = np.zeros(n), []
        for _ in range(rng.poisson(BUSY * n / RATE / 60)):
            label = int(rng.integers(len(LABELS)))
            song = sung(label, 4, rng)
            far, loud = distant(song, rng), 10 ** (rng.uniform(-9, 0) / 20)
            place = int(rng.integers(0, max(1, n - len(song))))
            laid(ground, loud * far / np.abs(far).max(), place)
            start = 60 * minute + place / RATE
            events.append(Event(start, start + len(song) / RATE, label))
        yield recorded(ground, FAR, (3, 12), rng), sorted(events, key=lambda one: one.start)
