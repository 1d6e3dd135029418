"""Sound on its way into a model and out of it: files, sample rates, loudness, frames.

Audio is a float array shaped (N,), (channels, N) or (B, channels, N), full scale at -1 and 1; functions
that change it return float32 in the shape it came in and leave their input alone. Importing this module
needs only numpy: the libraries behind files, resampling, loudness and onsets load when first used.
"""

import importlib
import io
import math
import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from helpers.errors import InputError
from helpers.files import written_whole

LOUDNESS_FLOOR = -70.0  # LUFS; what the meter reads for anything quieter, silence included
MOST_CHANNELS = 64
LARGEST_SAMPLE = 1e10  # beyond any integer format read as float; filters and squares stay finite below it
SMALLEST_PEAK = 1e-30  # what is smaller is treated as silence, not amplified to infinity
FILE_FORMATS = {".wav": ("WAV", "PCM_24"), ".flac": ("FLAC", "PCM_24"), ".ogg": ("OGG", "VORBIS")}
PIECE_FRAMES = 65536  # at once to and from a file; minutes of it crash libsndfile's Vorbis encoder
VORBIS_HIGHEST_RATE = 200_000  # Hz; above it libsndfile crashes instead of refusing
LOWEST_METERED = 8000  # Hz
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000  # Hz; a header beyond these is damaged, not audio
ANALYSIS_RATE, ANALYSIS_WINDOW = 22050, 2048  # what librosa's onset and beat defaults are tuned for


# --- Checks -----------------------------------------------------------------------------------------------


def _library(name: str):
    """Import the library `name`; one that is missing or cannot start is named in one line."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without its shared library
        package = name.partition(".")[0]
        raise InputError(
            f"{package} is needed for this and cannot be imported; install it with `pip install {package}`."
        ) from error


def _positive(name: str, value: int) -> int:
    """`value` as a Python int above zero (a float such as 44100.0 counts); anything else is refused."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole < 1 or whole != value:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r}.")
    return whole


def _checked(audio: np.ndarray) -> np.ndarray:
    """`audio` as float32 with 1 to 3 dimensions, or an InputError that says what is wrong with it."""
    audio = np.asarray(audio)
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
    if max(audio.max(), -audio.min()) > LARGEST_SAMPLE:
        raise InputError(f"audio holds samples beyond {LARGEST_SAMPLE:g}; scale it to between -1 and 1.")
    return audio.astype(np.float32, copy=False)


def as_batch(audio: np.ndarray) -> np.ndarray:
    """Audio of any accepted shape as (B, channels, N) float32.

    Raises InputError for integer or other non-float samples, no samples, NaN or infinity, and arrays
    that are not (N,), (channels, N) or (B, channels, N).
    """
    audio = _checked(audio)
    return audio.reshape((1,) * (3 - audio.ndim) + audio.shape)


def _per_item(audio: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Each item of `audio` (any shape) times its own factor from `gain` (B,)."""
    return (as_batch(audio) * gain.astype(np.float32)[:, None, None]).reshape(np.shape(audio))


def _peaks(audio: np.ndarray) -> np.ndarray:
    """The largest absolute sample of each item, (B,) float64."""
    batch = as_batch(audio)
    return np.maximum(batch.max(axis=(1, 2)), -batch.min(axis=(1, 2))).astype(np.float64)


# --- Files ------------------------------------------------------------------------------------------------


def load(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """Read an audio file: ((channels, N) float32, sample rate in hertz).

    Raises InputError when `path` is missing, a directory, not audio, empty, or holds NaN or infinity.
    """
    soundfile = _library("soundfile")
    try:
        with open(path, "rb") as stream, soundfile.SoundFile(stream) as file:
            pieces = [file.read(PIECE_FRAMES, dtype="float32", always_2d=True)]
            while len(pieces[-1]):  # until the samples end: a damaged header may promise any number
                pieces.append(file.read(PIECE_FRAMES, dtype="float32", always_2d=True))
            sample_rate = file.samplerate
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check the path.") from error
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a .raw file, which has no header
        raise InputError(
            f"{path} cannot be read as audio: damaged, or not a sound file; give a WAV, FLAC, "
            "OGG or MP3 file."
        ) from error
    try:
        return np.ascontiguousarray(_checked(np.concatenate(pieces).T)), sample_rate
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_suffix(path: str | os.PathLike) -> None:
    """Raise InputError if `save` could not tell the format from the name: better before the work."""
    if Path(path).suffix.lower() not in FILE_FORMATS:
        raise InputError(
            f"cannot tell the audio format of {path}; end its name with one of {', '.join(FILE_FORMATS)}."
        )


def save(path: str | os.PathLike, audio: np.ndarray, sample_rate: int) -> None:
    """Write audio (N,), (channels, N) or (1, channels, N), whole or not at all; the suffix picks the format.

    WAV and FLAC are 24-bit PCM, OGG is Vorbis. Samples beyond full scale are clipped, never wrapped.
    Raises InputError for another suffix, more than one item, or a file that cannot be written.
    """
    save_stream(path, [audio], sample_rate)


def save_stream(path: str | os.PathLike, pieces: Iterable[np.ndarray], sample_rate: int) -> None:
    """Write audio that comes piece after piece, each shaped as for `save`; no more than one is kept."""
    path, sample_rate = Path(path), _positive("sample rate", sample_rate)
    check_suffix(path)
    kind, subtype = FILE_FORMATS[path.suffix.lower()]
    if subtype == "VORBIS" and sample_rate > VORBIS_HIGHEST_RATE:
        raise InputError(
            f"OGG holds rates up to {VORBIS_HIGHEST_RATE} Hz, not {sample_rate}; write WAV or FLAC."
        )
    pieces = map(_one_item, pieces)
    first = next(pieces, None)
    if first is None:
        raise InputError(f"audio is empty: there is nothing to write to {path}.")
    soundfile, channels = _library("soundfile"), first.shape[1]
    with written_whole(path) as temporary, _Watched(temporary, "wb") as target:
        try:
            with soundfile.SoundFile(target, "w", sample_rate, channels, subtype, format=kind) as file:
                for samples in (piece[0].T for piece in chain([first], pieces)):
                    for start in range(0, len(samples), PIECE_FRAMES):
                        file.write(samples[start : start + PIECE_FRAMES].clip(-1, 1))
        except (soundfile.SoundFileError, AssertionError) as error:  # the latter for a piece cut short
            if target.failure is None:
                raise InputError(
                    f"{path.suffix} cannot hold {channels} channels at {sample_rate} Hz; write a .wav "
                    "file, or change the rate or the channels."
                ) from error
        if target.failure is not None:
            raise target.failure


def _one_item(audio: np.ndarray) -> np.ndarray:
    """Audio as (1, channels, N). Raises InputError for more than one item."""
    batch = as_batch(audio)
    if len(batch) > 1:
        raise InputError(f"audio is a batch of {len(batch)}; write one item to a file.")
    return batch


class _Watched(io.FileIO):
    """A file that remembers why it could not be written: libsndfile says nothing of a disk that is full."""

    failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """All of `data`; what is missing at the end of the count was not written."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
        return len(data) - len(rest)


# --- Shape and rate ---------------------------------------------------------------------------------------


def mono(audio: np.ndarray) -> np.ndarray:
    """The mean of the channels, (B, 1, N) float32."""
    return as_batch(audio).mean(axis=1, keepdims=True)


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate (soxr, very high quality); N samples become ceil(N * to_rate / from_rate).

    Equal rates return the same samples.
    """
    audio = _checked(audio)
    from_rate, to_rate = _positive("sample rate", from_rate), _positive("sample rate", to_rate)
    if from_rate == to_rate:
        return audio
    if min(from_rate, to_rate) < LOWEST_RATE or max(from_rate, to_rate) > HIGHEST_RATE:
        raise InputError(
            f"cannot resample from {from_rate} to {to_rate} Hz; both rates must be between "
            f"{LOWEST_RATE} and {HIGHEST_RATE} Hz."
        )
    soxr = _library("soxr")
    length = -(-audio.shape[-1] * to_rate // from_rate)
    # soxr rounds the length, to nothing for a few samples; zeros after the end leave enough to cut from.
    margin = 2 * math.ceil(from_rate / to_rate)
    channels = audio.reshape(-1, audio.shape[-1])
    changed = np.empty((len(channels), length), np.float32)
    for source, target in zip(channels, changed):
        target[:] = soxr.resample(np.pad(source, (0, margin)), from_rate, to_rate, quality="VHQ")[:length]
    return changed.reshape(*audio.shape[:-1], length)


def fit_length(audio: np.ndarray, n: int) -> np.ndarray:
    """Exactly `n` samples: the end is cut off or filled with zeros."""
    audio, n = _checked(audio), _positive("length", n)
    missing = max(0, n - audio.shape[-1])
    return np.pad(audio[..., :n], [(0, 0)] * (audio.ndim - 1) + [(0, missing)])


def pad_to_multiple(audio: np.ndarray, hop: int) -> np.ndarray:
    """Zeros after the end, up to the next multiple of `hop` samples."""
    n, hop = np.shape(_checked(audio))[-1], _positive("hop", hop)
    return fit_length(audio, -(-n // hop) * hop)


def seconds_to_frames(seconds: float, sample_rate: int, hop: int) -> int:
    """Codec frames that cover `seconds`: ceil(seconds * sample_rate / hop)."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"a time must be zero or more seconds, not {seconds}.")
    frames = seconds * _positive("sample rate", sample_rate) / _positive("hop", hop)
    return math.ceil(frames - 1e-6)  # 0.07 * 100 is a hair over 7 in floating point, and means 7


# --- Loudness ---------------------------------------------------------------------------------------------


def _k_weighted(batch: np.ndarray, sample_rate: int, length: int) -> np.ndarray:
    """(B, N) through the K-weighting of BS.1770 (a shelf for the head, a high-pass for low rumble).

    The result is (B, length): zeros follow the filtered samples.
    """
    iir_filter = _library("pyloudnorm").IIRfilter
    sosfilt = _library("scipy.signal").sosfilt
    stages = [
        iir_filter(4.0, 1 / math.sqrt(2), 1500.0, sample_rate, "high_shelf"),
        iir_filter(0.0, 0.5, 38.0, sample_rate, "high_pass"),
    ]
    # VampNet's meter rounds the coefficients to float32; unrounded, gains are off by one part in 100,000.
    sections = np.array([[*stage.b, *stage.a] for stage in stages], np.float32).astype(np.float64)
    state = np.zeros((len(sections), len(batch), 2))
    weighted = np.zeros((len(batch), length), np.float32)
    piece = 10 * sample_rate  # filtered in float64, ten seconds at a time to keep memory small
    for start in range(0, batch.shape[-1], piece):
        samples = batch[:, start : start + piece].astype(np.float64)
        weighted[:, start : start + samples.shape[-1]], state = sosfilt(sections, samples, zi=state)
    return weighted


def _level(power: np.ndarray) -> np.ndarray:
    """Mean-square power of K-weighted blocks in LUFS; no power is minus infinity."""
    with np.errstate(divide="ignore"):
        return -0.691 + 10 * np.log10(power)


def loudness(audio: np.ndarray, sample_rate: int, per_channel: bool = False) -> np.ndarray:
    """Integrated loudness in LUFS of each item, (B,) float64, never below -70.

    Of the mono mean, as VampNet's conditioning measures it; `per_channel` adds up the channels' power
    instead, as ITU-R BS.1770 does for what a listener hears (every channel with weight 1).
    BS.1770 gating (400 ms blocks every 100 ms; -70 LUFS absolute, then -10 LU relative) with
    pyloudnorm's K-weighting, and two deviations that VampNet's conditioning was trained with: a partial
    block at the end is filled with zeros and counted, and less than 0.5 s is measured as 0.5 s.
    Below 8000 Hz, where the weighting filters do not fit, the signal is resampled to be measured.
    """
    signal = as_batch(audio) if per_channel else mono(audio)
    n_channels = signal.shape[1]
    signal = signal.reshape(-1, signal.shape[-1])
    sample_rate = _positive("sample rate", sample_rate)
    if sample_rate < LOWEST_METERED:
        signal, sample_rate = resample(signal, sample_rate, LOWEST_METERED), LOWEST_METERED
    block, step = sample_rate * 2 // 5, sample_rate // 10
    if signal.shape[-1] < sample_rate // 2:
        signal = fit_length(signal, sample_rate // 2)
    steps = -(-(signal.shape[-1] - block) // step)
    weighted = _k_weighted(signal, sample_rate, block + steps * step)
    blocks = np.lib.stride_tricks.sliding_window_view(weighted, block, axis=-1)[:, ::step]
    power = np.einsum("bkn,bkn->bk", blocks, blocks, dtype=np.float64) / (0.4 * sample_rate)
    power = power.reshape(-1, n_channels, power.shape[-1]).sum(1)

    def gated(threshold: np.ndarray) -> np.ndarray:
        """Mean power (B, 1) of the blocks above `threshold` LUFS; 0 when there are none."""
        passed = _level(power) > threshold
        return (power * passed).sum(-1, keepdims=True) / np.maximum(passed.sum(-1, keepdims=True), 1)

    relative = _level(gated(LOUDNESS_FLOOR)) - 10
    return np.maximum(_level(gated(np.maximum(relative, LOUDNESS_FLOOR)))[:, 0], LOUDNESS_FLOOR)


def normalize_loudness(audio: np.ndarray, sample_rate: int, target_lufs: float | np.ndarray) -> np.ndarray:
    """Scale each item to `target_lufs` (one number, or one an item).

    The meter stops at -70 LUFS, so the gain never exceeds target + 70 dB: what is quieter than that
    comes out quieter than the target, and digital silence stays digital silence.
    """
    if not np.isfinite(target_lufs).all():
        raise InputError(f"a target loudness must be a finite number of LUFS, not {target_lufs}.")
    gain = 10 ** ((target_lufs - loudness(audio, sample_rate)) / 20)
    return _per_item(audio, gain)


def limit_peak(audio: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Scale down, as a whole, each item whose largest sample exceeds `peak`; leave the others alone."""
    if not (math.isfinite(peak) and peak > 0):
        raise InputError(f"a peak must be above 0, not {peak}.")
    return _per_item(audio, peak / np.maximum(_peaks(audio), peak)).clip(-peak, peak)


def condition(
    audio: np.ndarray, sample_rate: int, model_rate: int, hop: int, target_lufs: float = -24.0
) -> np.ndarray:
    """What the codec's encoder wants to hear, (B, 1, N) float32 with N a multiple of `hop`.

    Resampled to `model_rate`, mono, at `target_lufs`, scaled down if the peak then exceeds 1, and
    padded with zeros. Raises the InputErrors of `as_batch`.
    """
    signal = mono(resample(audio, sample_rate, model_rate))
    return pad_to_multiple(limit_peak(normalize_loudness(signal, model_rate, target_lufs)), hop)


def match_level(audio: np.ndarray, reference: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Give each item the loudness of its `reference`: (audio with peak at most 1, (B,) missing decibels).

    As a listener hears it: the channels' power adds up. Both at `sample_rate`; cut `audio` to its final
    length first. Where the loudness would push the peak over 1 the peak wins, and the second result says
    by how many decibels the item is quieter than the reference. A silent reference makes the result as
    quiet as the meter can tell (-70 LUFS).
    """
    audio = _checked(audio)
    wanted = loudness(reference, sample_rate, per_channel=True)
    if len(wanted) != len(as_batch(audio)):
        raise InputError(
            f"audio has {len(as_batch(audio))} items and its reference {len(wanted)}; "
            "give one reference an item."
        )
    audio = _per_item(audio, 1 / np.maximum(_peaks(audio), SMALLEST_PEAK))  # into the meter's range
    for _ in range(2):  # again, because a gain can move blocks across the absolute gate
        gap = wanted - loudness(audio, sample_rate, per_channel=True)
        audio = _per_item(audio, 10 ** (gap / 20))
    audio = limit_peak(audio)
    return audio, np.maximum(wanted - loudness(audio, sample_rate, per_channel=True), 0)


# --- Events -----------------------------------------------------------------------------------------------


def _analysis_signal(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """One item as mono (N,) at the rate librosa's defaults suit, at least one FFT window long."""
    batch = as_batch(audio)
    if len(batch) > 1:
        raise InputError(f"audio is a batch of {len(batch)}; onsets and beats are found one item at a time.")
    signal = resample(mono(batch), sample_rate, ANALYSIS_RATE)[0, 0]
    return np.pad(signal, (0, max(0, ANALYSIS_WINDOW - len(signal))))


def _times_to_frames(times: np.ndarray, audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """The codec frame in which each time (seconds) falls, ascending, once each, inside the audio."""
    last = -(-np.shape(audio)[-1] // _positive("hop", hop)) - 1
    frames = np.floor(np.asarray(times) * sample_rate / hop + 1e-6).astype(np.int64)
    return np.unique(frames.clip(0, last))


def onset_frames(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Codec frames (int64) where notes or hits begin in one item; none in silence.

    `hop` counts samples at `sample_rate`. Found by librosa's onset detector, each moved back to where
    its energy starts to rise.
    """
    signal = _analysis_signal(audio, sample_rate)
    times = _library("librosa").onset.onset_detect(y=signal, sr=ANALYSIS_RATE, units="time", backtrack=True)
    return _times_to_frames(times, audio, sample_rate, hop)


def beat_frames(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Codec frames (int64) of the beats of one item, by librosa's beat tracker; none in silence.

    `hop` counts samples at `sample_rate`.
    """
    signal = _analysis_signal(audio, sample_rate)
    _, times = _library("librosa").beat.beat_track(y=signal, sr=ANALYSIS_RATE, units="time")
    return _times_to_frames(times, audio, sample_rate, hop)
