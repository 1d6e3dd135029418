"""Arrays of sound (channels, N) or (B, channels, N): mixed, resampled, brought to a length."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from helpers.support.arrays import fingerprint
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.support.libraries import library

LONGEST = 1e8  # seconds, three years: beyond it counts of samples lose their last digits
LARGEST_SAMPLE = 1e10  # beyond any integer format read as float; filters and squares stay finite below it

MOST_CHANNELS = 64
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000  # Hz; a header beyond these is damaged, not audio


def positive(name: str, value: int) -> int:
    """`value` as a Python int above zero (a float such as 44100.0 counts); anything else is refused."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole < 1 or whole != value:
        raise InputError(f"{name} must be a whole number of at least 1, not {shown(value)}.")
    return whole


def as_array(values: object, called: str) -> np.ndarray:
    """What numpy makes of them. Raises InputError for lists of unequal lengths."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{called} can't be an array: give rows of equal length, all numbers.") from error


def checked(audio: np.ndarray) -> np.ndarray:
    """`audio` as float32 with 1 to 3 dimensions, or an InputError that says what is wrong with it."""
    audio = as_array(audio, "audio")
    if not np.issubdtype(audio.dtype, np.floating):
        raise InputError(
            f"audio has samples of type {audio.dtype}; convert them to float between -1 and 1 "
            "(16-bit integers: divide by 32768)."
        )
    if audio.ndim not in (1, 2, 3):
        raise InputError(
            f"audio has {audio.ndim} dimensions; shape it (N,), (channels, N) or (B, channels, N)."
        )
    if audio.size == 0:
        raise InputError("audio is empty: it has no samples; give at least one.")
    if audio.ndim > 1 and audio.shape[-2] > MOST_CHANNELS:
        raise InputError(f"audio has {audio.shape[-2]} channels; the last axis must be time: transpose it.")
    if not np.isfinite(audio).all():
        raise InputError("audio holds NaN or infinite samples; remove them first.")
    if max(float(audio.max()), -float(audio.min())) > LARGEST_SAMPLE:
        raise InputError(f"audio holds samples beyond {LARGEST_SAMPLE:g}; scale it to between -1 and 1.")
    return audio.astype(np.float32, copy=False)


def as_batch(audio: np.ndarray) -> np.ndarray:
    """Audio of any accepted shape as (B, channels, N) float32.

    Raises InputError for integer or other non-float samples, no samples, NaN or infinity, and arrays
    that are not (N,), (channels, N) or (B, channels, N).
    """
    audio = checked(audio)
    return audio.reshape((1,) * (3 - audio.ndim) + audio.shape)


# --- Shape and rate ---------------------------------------------------------------------------------------


def mono(audio: np.ndarray) -> np.ndarray:
    """The mean of the channels, (B, 1, N) float32."""
    return as_batch(audio).mean(axis=1, keepdims=True)


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate (soxr, very high quality); N samples become ceil(N * to_rate / from_rate).

    Equal rates return the same samples.
    """
    audio = checked(audio)
    from_rate, to_rate = positive("sample rate", from_rate), positive("sample rate", to_rate)
    if from_rate == to_rate:
        return audio
    if min(from_rate, to_rate) < LOWEST_RATE or max(from_rate, to_rate) > HIGHEST_RATE:
        raise InputError(
            f"cannot resample from {shown(from_rate)} to {shown(to_rate)} Hz; both rates must be between "
            f"{LOWEST_RATE} and {HIGHEST_RATE} Hz."
        )
    soxr = library("soxr")
    length = -(-audio.shape[-1] * to_rate // from_rate)
    # soxr rounds the length, to nothing for a few samples; zeros after the end leave enough to cut from.
    margin = 2 * math.ceil(from_rate / to_rate)
    channels = audio.reshape(-1, audio.shape[-1])
    changed = np.empty((len(channels), length), np.float32)
    for source, target in zip(channels, changed):
        target[:] = soxr.resample(np.pad(source, (0, margin)), from_rate, to_rate, quality="VHQ")[:length]
    return changed.reshape(*audio.shape[:-1], length)


def resample_stream(pieces: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """`resample` of a sound (n,) that arrives in pieces: as many come out, what a filter held back last."""
    if from_rate == to_rate:
        yield from pieces
        return
    resample(np.zeros(1, np.float32), from_rate, to_rate)  # refuses rates that can't be
    stream = library("soxr").ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="VHQ")
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece, np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def fit_length(audio: np.ndarray, n: int) -> np.ndarray:
    """Exactly `n` samples: the end is cut off or filled with zeros."""
    audio, n = checked(audio), positive("length", n)
    missing = max(0, n - audio.shape[-1])
    return np.pad(audio[..., :n], [(0, 0)] * (audio.ndim - 1) + [(0, missing)])


def pad_to_multiple(audio: np.ndarray, hop: int) -> np.ndarray:
    """Zeros after the end, up to the next multiple of `hop` samples."""
    n, hop = np.shape(checked(audio))[-1], positive("hop", hop)
    return fit_length(audio, -(-n // hop) * hop)


def seconds_to_frames(seconds: float, sample_rate: int, hop: int) -> int:
    """Codec frames that cover `seconds`: ceil(seconds * sample_rate / hop)."""
    if not 0 <= seconds <= LONGEST:
        raise InputError(f"a time must be between 0 and {LONGEST:.0f} seconds, not {seconds:g}.")
    frames = seconds * positive("sample rate", sample_rate) / positive("hop", hop)
    return math.ceil(frames - 1e-6)  # 0.07 * 100 is a hair over 7 in floating point, and means 7


def fingerprint_of(audio: np.ndarray, sample_rate: int) -> str:
    """Hexadecimal SHA-256 of a sound, (N,), (channels, N) or (1, channels, N), at so many hertz."""
    return fingerprint(as_batch(audio)[0], np.int64(sample_rate))
