"""Where a song is heard: close to a microphone, or far off in a night full of other sounds."""

import numpy as np

from data.chorus.species import RATE

CLOSE = ("air", "hiss", "wind")
FAR = ("rain", "stream", "cicadas", "road")


def coloured(
    n: int, rng: np.random.Generator, slope: float, low: float = 20, high: float = 8000
) -> np.ndarray:
    """Noise (n,) whose power falls with frequency**slope between two edges in hertz; standard deviation 1."""
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    shape = np.maximum(hertz, 1.0) ** (-slope / 2) / (1 + (low / np.maximum(hertz, 1)) ** 4)
    shape /= 1 + (hertz / high) ** 8
    made = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * shape, n)
    return made / made.std()


def slowly(n: int, rng: np.random.Generator, per_second: float, depth: float) -> np.ndarray:
    """A level (n,) that wanders about 1, by a factor of 2**depth or so."""
    count = max(2, int(n / RATE * per_second) + 2)
    return 2 ** (
        depth * np.interp(np.linspace(0, count - 1, n), np.arange(count), rng.standard_normal(count))
    )


def drops(
    n: int, rng: np.random.Generator, per_second: float, seconds: float, pitches: tuple[float, float]
) -> np.ndarray:
    """Short ringing sounds at random (n,)."""
    made = np.zeros(n)
    length = int(8 * seconds * RATE)
    time = np.arange(length) / RATE
    for start in rng.integers(0, n, rng.poisson(per_second * n / RATE)):
        pitch = rng.uniform(*pitches) * 2 ** (rng.uniform(-2, 4) * time)
        note = np.exp(-time / seconds) * np.sin(2 * np.pi * pitch * time) * rng.exponential()
        made[start : start + length] += note[: n - start]
    return made


def noise(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """A background (n,) of one of CLOSE or FAR; standard deviation 1."""
    if kind == "air":
        made = coloured(n, rng, 1.0)
    elif kind == "hiss":
        made = coloured(n, rng, -0.3, 100)
    elif kind == "wind":
        made = coloured(n, rng, 3.0, 15) * slowly(n, rng, 2, 0.8) + 0.1 * coloured(n, rng, 0.5)
    elif kind == "rain":
        made = coloured(n, rng, 0.2, 300) + 0.8 * drops(n, rng, 60, 0.003, (1500, 6000))
    elif kind == "stream":
        made = coloured(n, rng, 1.2, 80, 5000) * slowly(n, rng, 6, 0.25) + drops(
            n, rng, 25, 0.012, (400, 1500)
        )
    elif kind == "cicadas":
        carrier = sum(
            np.sin(2 * np.pi * (rng.uniform(4700, 6800) * np.arange(n) / RATE + rng.uniform()))
            for _ in range(9)
        )
        made = carrier / 3 * slowly(n, rng, 40, 0.7) + 0.7 * coloured(n, rng, 0.0, 3500, 7500)
        made += 0.3 * coloured(n, rng, 1.0)
    else:  # a road
        made = coloured(n, rng, 2.0, 40) * slowly(n, rng, 0.7, 0.8) + 0.15 * coloured(n, rng, 1.0)
    return made / made.std()


def distant(song: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A song from far off: high notes are lost on the way, and the forest answers for a while."""
    seconds, direct = rng.uniform(0.15, 0.7), rng.uniform(0.25, 0.8)
    n = int(seconds * RATE)
    answer = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    answer *= np.sqrt((1 - direct) / np.square(answer).sum())
    answer[0] += np.sqrt(direct)
    size = len(song) + n
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    air = 1 / (1 + (hertz / rng.uniform(3500, 9000)) ** 2)
    return np.fft.irfft(np.fft.rfft(song, size) * np.fft.rfft(answer, size) * air, size)


def microphone(n: int, rng: np.random.Generator) -> np.ndarray:
    """What a recorder does to each frequency of a sound of n samples: (n / 2 + 1,) factors."""
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    places = np.log2(np.maximum(hertz, 60) / 60)
    curve = np.interp(places, np.arange(9), rng.normal(0, 2.5, 9))  # decibels, an octave apart
    return 10 ** (curve / 20) / (1 + (rng.uniform(40, 160) / np.maximum(hertz, 1)) ** 2)
