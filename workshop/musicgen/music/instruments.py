"""Eight instruments as sums of sines: a note (instrument, pitch, length) is always the same samples.

Clean by choice. A small codec can learn eight timbres that never vary, and a small language model can guess
tokens that come back when the same note does; a hoarse orchestra would be beyond both.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

SAMPLE_RATE = 16_000  # hertz
HIGHEST = 7200.0  # hertz: no partial above
LEVEL = 0.08  # root mean square of a note's first quarter of a second
CHOSEN = 0x5EED  # of all noise and phases: a drum hit is always the same


def sines(t: np.ndarray, frequencies: np.ndarray, amplitudes: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """(n,): partials at `frequencies` hertz that fall by exp(-decay t)."""
    heard = frequencies < HIGHEST
    partials = np.sin(2 * np.pi * np.outer(frequencies[heard], t)) * np.exp(-np.outer(decays[heard], t))
    return amplitudes[heard] @ partials


def shaped(sound: np.ndarray, seconds: float, attack: float, release: float) -> np.ndarray:
    """A fade-in of `attack` seconds, and one out that begins when the key is let go after `seconds`."""
    t = np.arange(len(sound)) / SAMPLE_RATE
    rise = np.sin(np.pi / 2 * np.clip(t / attack, 0, 1)) ** 2
    return sound * rise * np.exp(-np.maximum(t - seconds, 0) / release * 3)


def clock(seconds: float) -> np.ndarray:
    """Times in seconds of the samples that a note so long has."""
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def piano(f: float, seconds: float) -> np.ndarray:
    k = np.arange(1, 13)
    t = clock(seconds + 0.25)
    stretched = k * f * np.sqrt(1 + 4e-4 * k**2)  # stiff strings
    sound = sines(t, stretched, k**-1.3 * 0.93**k, (0.8 + 0.45 * k) * (f / 262) ** 0.5)
    return shaped(sound, seconds, 0.004, 0.2)


def music_box(f: float, seconds: float) -> np.ndarray:
    ratios = np.array([1, 2.0, 2.756, 5.404])  # the second and third modes of a bar, and an octave
    sound = sines(clock(1.1), 2 * f * ratios, np.array([1, 0.15, 0.3, 0.1]), np.array([3.5, 5, 9, 18]))
    return shaped(sound, 0.8, 0.002, 0.3)


def guitar(f: float, seconds: float) -> np.ndarray:
    k = np.arange(1, 16)
    t = clock(seconds + 0.2)
    # Plucked at a fifth of its length, so every fifth partial is missing.
    sound = sines(t, k * f, np.abs(np.sin(k * np.pi / 5)) / k, 1.2 + 0.8 * k)
    return shaped(sound, seconds, 0.002, 0.15)


def flute(f: float, seconds: float) -> np.ndarray:
    k, t = np.arange(1, 5), clock(seconds + 0.12)
    bent = t - 0.0008 * (1 - np.cos(2 * np.pi * 5 * t)) / (2 * np.pi) * np.clip(4 * t - 1, 0, 1)
    return shaped(sines(bent, k * f, np.array([1, 0.3, 0.1, 0.03]), 0 * k), seconds, 0.05, 0.1)


def organ(f: float, seconds: float) -> np.ndarray:
    k = np.array([1, 2, 3, 4, 6, 8])
    amplitudes = np.array([1, 0.8, 0.5, 0.4, 0.15, 0.12])
    return shaped(sines(clock(seconds + 0.08), k * f, amplitudes, 0 * k), seconds, 0.015, 0.06)


def strings(f: float, seconds: float) -> np.ndarray:
    k, t = np.arange(1, 11), clock(seconds + 0.3)
    voices = (sines(t, k * f * 2 ** (cents / 1200), k**-1.4, 0 * k) for cents in (-3, 3))
    return shaped(sum(voices), seconds, 0.12, 0.3)


def bass(f: float, seconds: float) -> np.ndarray:
    k = np.arange(1, 9)
    return shaped(sines(clock(seconds + 0.1), k * f, k**-1.4, 1 + 0.9 * k), seconds, 0.006, 0.1)


def drum(pitch: int) -> np.ndarray:
    """General MIDI's 36 (bass drum), 38 (snare) and 42 (closed hi-hat)."""
    t = clock(0.25)
    noise = np.random.RandomState(CHOSEN + pitch).randn(len(t))  # this generator's stream never changes
    if pitch == 36:
        phase = 45 * t + 90 * (1 - np.exp(-35 * t)) / 35
        sound = np.sin(2 * np.pi * phase) * np.exp(-14 * t)
    elif pitch == 38:
        sound = 0.5 * noise * np.exp(-28 * t) + np.sin(2 * np.pi * 190 * t) * np.exp(-25 * t)
    else:
        sound = np.diff(noise, prepend=0) * np.exp(-70 * t) * 0.5
    return shaped(sound, 0.2, 0.001, 0.05)


PLAYERS: dict[str, Callable[[float, float], np.ndarray]] = {
    "piano": piano, "music box": music_box, "guitar": guitar, "flute": flute, "organ": organ,
    "strings": strings, "bass": bass,
}  # fmt: skip
DRUM_GAINS = {36: 1.6, 38: 0.9, 42: 0.3}


@cache
def note(instrument: str, pitch: int, n_samples: int) -> np.ndarray:
    """(n,) float32: one note of a MIDI pitch, held for `n_samples`, and its end; all equally loud."""
    if instrument == "drums":
        sound, gain = drum(pitch), DRUM_GAINS[pitch]
    else:
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        sound, gain = PLAYERS[instrument](frequency, n_samples / SAMPLE_RATE), 1.0
    first = sound[: SAMPLE_RATE // 4]
    return (sound * (gain * LEVEL / np.sqrt(np.mean(first**2)))).astype(np.float32)
