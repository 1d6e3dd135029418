"""Twelve species in four families of three: within a family only rhythm or shape tells them apart.

A song is made for an individual, whose pitch, tempo and voice are its own, and is never twice the same.
Nothing that tells two species apart is faster than 20 times a second: a hop of 20 ms still sees it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RATE = 16000  # Hz
Song = Callable[["Individual", np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Individual:
    """One animal of a species: factors of pitch and tempo, and a brightness of voice from 0 to 1."""

    pitch: float
    tempo: float
    bright: float

    @classmethod
    def born(cls, rng: np.random.Generator) -> "Individual":
        return cls(2 ** rng.normal(0, 0.08), 2 ** rng.normal(0, 0.12), rng.uniform())


@dataclass(frozen=True)
class Species:
    """Its name, its family, and what makes one song (n,) of it, peak about 1."""

    name: str
    family: str
    song: Song


def tone(pitches: np.ndarray, overtones: Sequence[float] = (1.0,)) -> np.ndarray:
    """A voice that follows a pitch (n,) in hertz; overtones are amplitudes of 1, 2, 3 ... times the pitch."""
    phase = 2 * np.pi * np.cumsum(pitches) / RATE
    heard = [(i, one) for i, one in enumerate(overtones, 1) if i * pitches.max() < 0.45 * RATE]
    return sum(one * np.sin(i * phase) for i, one in heard)


def swell(n: int, attack: float = 0.2, release: float = 0.4) -> np.ndarray:
    """An envelope (n,) that rises and falls smoothly, in shares of its length."""
    place = (np.arange(n) + 0.5) / n
    rise, fall = np.minimum(place / attack, 1), np.minimum((1 - place) / release, 1)
    return np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def samples(seconds: float) -> int:
    return max(8, round(seconds * RATE))


def row(starts: Sequence[float], notes: Sequence[np.ndarray]) -> np.ndarray:
    """Notes laid out at their starts in seconds, as one sound."""
    places = [round(start * RATE) for start in starts]
    made = np.zeros(max(place + len(note) for place, note in zip(places, notes)))
    for place, note in zip(places, notes):
        made[place : place + len(note)] += note
    return made


# --- crickets: the same pulse, in other rhythms


def pulse(who: Individual, rng: np.random.Generator, seconds: float = 0.022) -> np.ndarray:
    """One stroke of the wings: a pure tone that falls a little."""
    n = samples(seconds * rng.uniform(0.9, 1.1))
    pitch = 4300 * who.pitch * np.linspace(1.015, 0.985, n)
    return rng.uniform(0.8, 1) * tone(pitch) * swell(n, 0.35, 0.5)


def chirper(strokes: int, gap: float, rest: float, chirps: int) -> Song:
    """Chirps of so many strokes, `gap` seconds apart, then silence."""

    def song(who: Individual, rng: np.random.Generator) -> np.ndarray:
        starts, time = [], 0.0
        for _ in range(chirps):
            for _ in range(strokes):
                starts.append(time)
                time += gap * who.tempo * rng.uniform(0.94, 1.06)
            time += rest * who.tempo * rng.uniform(0.85, 1.15)
        loud = [0.6 + 0.4 * (i % strokes) / max(1, strokes - 1) for i in range(len(starts))]
        return row(starts, [level * pulse(who, rng) for level in loud])

    return song


# --- warblers: the same trill of notes, each bent another way


def trill(shape: Callable[[np.ndarray], np.ndarray]) -> Song:
    """A dozen notes, eight a second; shape: of a note, from places 0..1 to -1..1 around its pitch."""

    def song(who: Individual, rng: np.random.Generator) -> np.ndarray:
        count, step = rng.integers(8, 13), 0.125 * who.tempo
        voice = (1.0, 0.25 * who.bright, 0.06 * who.bright)
        notes = []
        for i in range(count):
            n = samples(0.085 * who.tempo * rng.uniform(0.9, 1.1))
            bend = shape(np.linspace(0, 1, n)) * rng.uniform(0.85, 1.15)
            notes.append(tone(2600 * who.pitch * 2 ** (0.3 * bend), voice) * swell(n))
            notes[-1] *= min(1, 0.4 + 0.15 * i) * rng.uniform(0.85, 1)
        return row([i * step * rng.uniform(0.99, 1.01) for i in range(count)], notes)

    return song


# --- owls: the same hollow voice, in other phrases


def hoots(lengths: Sequence[float], gaps: Sequence[float], steps: Sequence[float]) -> Song:
    """Hoots of such lengths and with such gaps before them, in seconds; steps: their pitches in semitones."""

    def song(who: Individual, rng: np.random.Generator) -> np.ndarray:
        starts, notes, time = [], [], 0.0
        for length, gap, step in zip(lengths, gaps, steps):
            n = samples(length * who.tempo * rng.uniform(0.93, 1.07))
            place = np.linspace(0, 1, n)
            waver = 0.006 * np.sin(2 * np.pi * (5.5 * np.arange(n) / RATE + rng.uniform()))
            arch = 0.05 * np.sin(np.pi * place) + waver
            pitch = 520 * who.pitch * 2 ** (step / 12 + arch)
            breath = 0.02 * rng.standard_normal(n)
            note = tone(pitch, (1.0, 0.12 + 0.2 * who.bright, 0.05)) + breath
            time += gap * who.tempo * rng.uniform(0.9, 1.1)
            starts.append(time)
            notes.append(note * swell(n, 0.3, 0.5) * rng.uniform(0.85, 1))
            time += n / RATE
        return row(starts, notes)

    return song


# --- frogs: the same throat, pulsing evenly, faster and faster, or in one long note


def croak(who: Individual, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A buzz of the throat through its two resonances."""
    n = samples(seconds)
    buzz = tone(
        np.full(n, 95 * who.pitch) * (1 + 0.01 * rng.standard_normal()), [1 / (1 + i / 9) for i in range(45)]
    )
    spectrum, hertz = np.fft.rfft(buzz), np.fft.rfftfreq(n, 1 / RATE)
    mouth = sum(
        level / (1 + ((hertz - centre * who.pitch) / width) ** 2)
        for centre, width, level in ((850, 120, 1.0), (2300, 260, 0.3 + 0.5 * who.bright))
    )
    made = np.fft.irfft(spectrum * mouth, n)
    return made / np.abs(made).max() * swell(n, 0.15, 0.5)


def frog(first: float, last: float, seconds: float) -> Song:
    """Pulses for so long, at first and at last so many a second."""

    def song(who: Individual, rng: np.random.Generator) -> np.ndarray:
        starts, time = [], 0.0
        while time < seconds * who.tempo:
            starts.append(time)
            share = min(1, time / (seconds * who.tempo))
            time += who.tempo * rng.uniform(0.94, 1.06) / (first * (last / first) ** share)
        lengths = np.minimum(0.8 * np.diff([*starts, time]), 0.09)
        notes = [rng.uniform(0.8, 1) * croak(who, length, rng) for length in lengths]
        return row(starts, notes)

    return song


SPECIES = (
    Species("three-stroke cricket", "cricket", chirper(3, 0.055, 0.30, 4)),
    Species("five-stroke cricket", "cricket", chirper(5, 0.055, 0.42, 3)),
    Species("tireless cricket", "cricket", chirper(26, 0.055, 0.0, 1)),
    Species("rising warbler", "warbler", trill(lambda place: 2 * place - 1)),
    Species("falling warbler", "warbler", trill(lambda place: 1 - 2 * place)),
    Species("arching warbler", "warbler", trill(lambda place: 1 - 8 * (place - 0.5) ** 2)),
    Species("even owl", "owl", hoots((0.26, 0.26, 0.26), (0, 0.16, 0.16), (0, 0, 0))),
    Species("sinking owl", "owl", hoots((0.26, 0.26, 0.30), (0, 0.16, 0.16), (2, 0, -3))),
    Species("hesitant owl", "owl", hoots((0.40, 0.13, 0.26), (0, 0.34, 0.08), (0, 0, 0))),
    Species("steady frog", "frog", frog(9, 9, 1.0)),
    Species("hurrying frog", "frog", frog(5, 18, 1.0)),
    Species("slowing frog", "frog", frog(18, 5, 1.0)),
)
LABELS = tuple(one.name for one in SPECIES)
