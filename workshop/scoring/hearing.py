"""Measures that hear what a mean over mel bands does not: noise between partials, a buzz, blunt onsets.

All take mono sound (N,) at a rate in hertz; pairs are of one length and brought to one level before.
"""

import numpy as np
from scipy import signal

LINES = 4096  # samples of the window of the log-spectral distance
HIGHEST = 8000.0  # Hz, up to which it looks
FLOOR_DB = -100.0  # of a full-scale tone
LONG = 16384  # samples: lines 2.7 Hz apart at 44.1 kHz, for steady tones
BUZZ_BAND = (2500.0, 10000.0)  # Hz
NOTE = 8192  # samples in which a note is looked for
LOWEST_F0, HIGHEST_F0 = 100.0, 1500.0  # Hz
PERIODIC = 0.95  # of the autocorrelation at the period, 1 for a sound that repeats exactly
CLEAR_DB = 20.0  # partials must stand so far above what is between them, in the reference
FEWEST_NOTES = 8  # frames: with fewer, a sound has no steady single notes to speak of


def log_spectral_distance(heard: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Mean |difference| in dB of magnitude spectra on a linear scale, 4096 samples, up to 8 kHz."""
    one, other = (
        _decibels(audio, LINES)[: _bin(HIGHEST, LINES, sample_rate)] for audio in (heard, reference)
    )
    return float(np.abs(one - other).mean())


def buzz_db(heard: np.ndarray, sample_rate: int, frame_rate: float) -> float:
    """How far the steady level at multiples of the codec's frame rate stands above the median between them.

    2.5 to 10 kHz. A decoder that begins each frame anew repeats its seams `frame_rate` times a second.
    """
    n = min(LONG, len(heard))
    frequencies, power = _lines(heard, sample_rate, "hann", n)
    level = 10 * np.log10(power + 10 ** (FLOOR_DB / 10))
    highest = min(BUZZ_BAND[1], 0.45 * sample_rate)
    order = np.arange(np.ceil(BUZZ_BAND[0] / frame_rate), np.floor(highest / frame_rate))
    above = []
    for multiple in order * frame_rate:
        off = np.abs(frequencies - multiple) / frame_rate
        above.append(level[off < 0.06].max() - np.median(level[(off > 0.15) & (off < 0.5)]))
    return float(np.mean(above))


def partial_noise_db(audio: np.ndarray, sample_rate: int, f0: float) -> float:
    """Power between the partials of a note of f0 hertz, in dB below that of the partials, up to 8 kHz."""
    n = min(LINES * 2, len(audio))
    frequencies, power = _lines(audio, sample_rate, "blackmanharris", n)
    inside = (frequencies > 0.6 * f0) & (frequencies < HIGHEST)
    off = np.abs(frequencies / f0 - np.round(frequencies / f0)) * f0
    width = 6 * sample_rate / n  # the window's main lobe
    partials, between = power[inside & (off <= width)].sum(), power[inside & (off > width)].sum()
    return float(10 * np.log10((partials + 1e-20) / (between + 1e-20)))


def noise_over_reference_db(heard: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """How much more lies between the partials of single notes than in the reference; 0 is as clean.

    Mean over the frames in which the reference is one steady note; NaN where it has hardly any.
    """
    found = []
    for start in range(0, len(reference) - NOTE + 1, NOTE // 2):
        one, other = (audio[start : start + NOTE] for audio in (heard, reference))
        f0 = pitch(other, sample_rate)
        if f0 and (clean := partial_noise_db(other, sample_rate, f0)) >= CLEAR_DB:
            found.append(clean - partial_noise_db(one, sample_rate, f0))
    return float(np.mean(found)) if len(found) >= FEWEST_NOTES else float("nan")


def pitch(audio: np.ndarray, sample_rate: int) -> float | None:
    """The fundamental in hertz of a sound that is one steady note, else None.

    The first high peak of the autocorrelation, divided by that of the window (Boersma 1993).
    """
    first, last = int(sample_rate / HIGHEST_F0), int(sample_rate / LOWEST_F0)
    window = np.hanning(len(audio))
    lag, own = (_autocorrelation(x, last + 2) for x in ((audio - audio.mean()) * window, window))
    if lag[0] <= len(audio) * 10 ** (FLOOR_DB / 10):
        return None
    ratio = lag / lag[0] * own[0] / own
    inner = ratio[first : last + 1]
    is_peak = (inner > ratio[first - 1 : last]) & (inner >= ratio[first + 1 : last + 2])
    peaks = np.flatnonzero(is_peak & (inner > PERIODIC))
    if not len(peaks):
        return None
    best = first + peaks[np.argmax(inner[peaks] > inner[peaks].max() - 0.02)]  # the first of equals
    before, here, after = ratio[best - 1 : best + 2]
    return float(sample_rate / (best + 0.5 * (before - after) / (before - 2 * here + after)))


def _autocorrelation(audio: np.ndarray, n: int) -> np.ndarray:
    lines = np.fft.rfft(audio, 2 * len(audio))
    return np.fft.irfft(np.abs(lines) ** 2)[:n]


def onset_sharpness(audio: np.ndarray, sample_rate: int) -> float:
    """The steepest rises of the level, in dB in 10 ms: the 99th percentile over the sound."""
    hop = sample_rate // 100
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10(np.square(frames).mean(1) + 10 ** (FLOOR_DB / 10))
    return float(np.quantile(np.maximum(np.diff(level), 0), 0.99)) if len(level) > 1 else 0.0


def _lines(audio: np.ndarray, sample_rate: int, window: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the mean power of a tone at each (Welch 1967)."""
    return signal.welch(audio, sample_rate, window, n, detrend=False, scaling="spectrum")


def _decibels(audio: np.ndarray, n: int) -> np.ndarray:
    audio = np.pad(audio, (0, max(0, n - len(audio))))
    _, _, lines = signal.stft(audio, nperseg=n, noverlap=3 * n // 4, boundary=None, padded=False)
    return 20 * np.log10(np.maximum(2 * np.abs(lines), 10 ** (FLOOR_DB / 20)))


def _bin(frequency: float, n: int, sample_rate: int) -> int:
    return int(frequency * n / sample_rate) + 1
