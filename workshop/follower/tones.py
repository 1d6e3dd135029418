"""Sounds with known notes, to learn from: tones made of sines, and the course's own composed music."""

from collections.abc import Sequence
from typing import NamedTuple

import librosa
import numpy as np

from data.music.compose import compose
from data.music.performance import perform
from data.music.render import SAMPLE_RATE, render
from helpers import audio

RATE, HOP = 22050, 512
MEL = {"sr": RATE, "n_fft": 2048, "hop_length": HOP, "fmin": 50, "fmax": 4000, "power": 1.0}
N_MELS, N_BANDS = 96, 24
FLOOR = 1e-4  # below this a magnitude counts as silence
LOWEST, N_PITCHES = 48, 40  # MIDI notes: C3 to D#6
STYLES = ("solo_wind", "solo_strings")


class Heard(NamedTuple):
    """A sound's log-mel frames (T, N_MELS), log bands (T, N_BANDS) and what is true of each frame (T,)."""

    mel: np.ndarray
    bands: np.ndarray
    note: np.ndarray  # MIDI note; 0 where none sounds
    begins: np.ndarray  # 1 where one begins


def log_mel(sound: np.ndarray, n_mels: int) -> np.ndarray:
    """Sound (N,) at RATE -> (1 + N // HOP, n_mels), log10 of the magnitudes."""
    return np.log10(np.maximum(librosa.feature.melspectrogram(y=sound, n_mels=n_mels, **MEL), FLOOR)).T


def heard(sound: np.ndarray, notes: Sequence[tuple[float, float, int]]) -> Heard:
    """notes: start and end in seconds, and MIDI note."""
    mel, bands = log_mel(sound, N_MELS), log_mel(sound, N_BANDS)
    note, begins = np.zeros(len(mel), np.int64), np.zeros(len(mel), np.float32)
    for start, end, pitch in notes:
        first, last = round(start * RATE / HOP), round(end * RATE / HOP)
        note[first:last] = pitch
        begins[first : first + 2] = 1  # a window is four frames long: nobody can tell which of two it was
    return Heard(mel.astype(np.float32), bands.astype(np.float32), note, begins)


def tone(rng: np.random.Generator, note: float, seconds: float) -> np.ndarray:
    """One note made of up to twelve sines, plucked or held, with or without vibrato."""
    time = np.arange(round(seconds * RATE)) / RATE
    vibrato = rng.choice([0, 0.3]) * rng.random() * np.sin(2 * np.pi * rng.uniform(4, 7) * time)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((note + vibrato - 69) / 12)) / RATE
    tilt, made = rng.uniform(0.3, 2), np.zeros_like(time)
    for k in range(1, 13):
        made += (
            rng.uniform(0.2, 1)
            * k**-tilt
            * np.sin(k * phase + rng.uniform(0, 6))
            * np.exp(-time * rng.choice([0.0, 0.5 * k]))
        )
    rise = rng.uniform(0.003, 0.05)
    return made * np.minimum(1, time / rise) * np.minimum(1, (time[-1] - time) / 0.02)


def melody(rng: np.random.Generator, seconds: float) -> Heard:
    """Random notes and rests, some noise, at a random level."""
    sound, notes, now = rng.normal(0, 1, round(seconds * RATE)) * 10 ** rng.uniform(-5, -2.5), [], 0.0
    while (now := now + rng.choice([0, 0.02, rng.uniform(0.1, 0.6)])) < seconds - 0.1:
        length = min(rng.uniform(0.1, 0.8), seconds - now - 0.01)
        pitch = int(rng.integers(LOWEST, LOWEST + N_PITCHES))
        made = tone(rng, pitch, length)
        start = round(now * RATE)
        sound[start : start + len(made)] += made[: len(sound) - start]
        notes.append((now, now + length, pitch))
        now += length
    return heard((sound / np.abs(sound).max() * rng.uniform(0.1, 0.9)).astype(np.float32), notes)


def piece(seed: int, split: str, index: int, style: str) -> Heard:
    """A composed piece for one voice, played by the sound font."""
    composed = compose(seed, split, index, style)
    sound = audio.resample(render(composed), SAMPLE_RATE, RATE)
    return heard(sound, [(note.start, note.end, note.pitch) for note in perform(composed, "melody")])
