"""What a program hears in a piece of the small world: its tempo, its pitches, which instrument leads.

Each is a guess with a known share of errors: on composed pieces, where the truth is known, `evaluate` says
how often it is right, and nothing that is generated can be expected to do better.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from scipy import signal

from workshop.musicgen.music.compose import FRAME, TEMPI
from workshop.musicgen.music.instruments import SAMPLE_RATE

WINDOW = 1024  # samples, for onsets and timbre
LONG = 4096  # samples, for pitch
BEATS = 12  # eighths ahead at which a beat should come back
LOWEST, HIGHEST = 100.0, 1200.0  # Hz, in which the key is sought
FAINTEST = 25.0  # dB below a moment's loudest line, that a line may be


def spectra(audio: np.ndarray, n_fft: int, hop: int = FRAME) -> np.ndarray:
    """(n_fft / 2 + 1, frames) magnitudes."""
    return np.abs(signal.stft(audio, SAMPLE_RATE, nperseg=n_fft, noverlap=n_fft - hop)[2])


def onsets(audio: np.ndarray) -> np.ndarray:
    """(frames,) how much begins in each of the codec's frames."""
    levels = np.log(spectra(audio, WINDOW) + 1e-3)
    return np.maximum(np.diff(levels, axis=1), 0).mean(0)


def eighth_of(audio: np.ndarray) -> int:
    """How many frames an eighth lasts, one of the composer's own: where onsets come back, and not between."""
    rise = onsets(audio)
    rise = rise - rise.mean()
    again = np.correlate(rise, rise, "full")[len(rise) - 1 :] / len(rise)

    def regular(eighth: int) -> float:
        steps = [k * eighth for k in range(1, BEATS + 1) if (k + 0.5) * eighth < len(again) - 1]
        on = np.mean([again[step] for step in steps])
        off = np.mean([again[step + eighth // 2] for step in steps])
        return on - off

    return max((one for eighths in TEMPI.values() for one in eighths), key=regular)


def tempo_of(audio: np.ndarray) -> str:
    """slow, medium or fast."""
    eighth = eighth_of(audio)
    return next(name for name, eighths in TEMPI.items() if eighth in eighths)


def chroma(audio: np.ndarray) -> np.ndarray:
    """(12,) how much of each pitch class sounds, from C, by the lines that stand out of each spectrum.

    Noise between the partials, which a codec leaves, has no pitch and is not to vote for all twelve.
    """
    levels, frequencies = spectra(audio, LONG), np.fft.rfftfreq(LONG, 1 / SAMPLE_RATE)
    is_line = np.zeros(levels.shape, bool)
    is_line[1:-1] = (levels[1:-1] > levels[:-2]) & (levels[1:-1] >= levels[2:])
    is_line &= levels > levels.max(0) * 10 ** (-FAINTEST / 20)
    heard = (frequencies > LOWEST) & (frequencies < HIGHEST)
    classes = np.round(12 * np.log2(frequencies[heard] / 440) + 69).astype(int) % 12
    return np.bincount(classes, (levels * is_line)[heard].sum(1), minlength=12)


def timbre(audio: np.ndarray) -> np.ndarray:
    """(n,) what does not depend on pitch much: the spectrum's envelope, and how it moves."""
    levels = np.log(spectra(audio, WINDOW)[1:] + 1e-3)
    bands = np.stack([part.mean(0) for part in np.array_split(levels, 24)])
    loud = bands.mean(0) > np.quantile(bands.mean(0), 0.3)
    bands = bands[:, loud] if loud.any() else bands
    moves = np.abs(np.diff(bands, axis=1)).mean(1)
    return np.concatenate([bands.mean(1) - bands.mean(), bands.std(1), moves])


class Ear:
    """Tells which instrument leads, by the nearest mean of what it was shown (linear discriminant)."""

    def __init__(self, sounds: Sequence[np.ndarray], names: Sequence[str]):
        points, labels = np.stack([timbre(one) for one in sounds]), np.array(names)
        self.names = sorted(set(names))
        self.means = np.stack([points[labels == name].mean(0) for name in self.names])
        within = points - self.means[[self.names.index(name) for name in labels]]
        self.inverse = np.linalg.inv(np.cov(within.T) + 1e-3 * np.eye(points.shape[1]))

    def __call__(self, audio: np.ndarray) -> str:
        apart = self.means - timbre(audio)
        return self.names[int(np.einsum("ni,ij,nj->n", apart, self.inverse, apart).argmin())]


def dead_air(audio: np.ndarray) -> float:
    """The longest stretch in seconds that is 40 dB below the piece's loudest tenth of a second."""
    n = SAMPLE_RATE // 10
    levels = np.sqrt(np.square(audio[: len(audio) // n * n].reshape(-1, n)).mean(1))
    return longest_run(levels < 0.01 * levels.max()) / 10


def longest_repeat(codes: np.ndarray) -> float:
    """Of codes (K, T): the longest stretch, as a share, in which no token changes: a stuck tone."""
    return longest_run((np.diff(codes, axis=1) == 0).all(0)) / codes.shape[1]


def longest_run(flags: np.ndarray) -> int:
    """How many true flags (N,) stand in a row, at most."""
    return max((len(list(run)) for is_true, run in groupby(flags) if is_true), default=0)
