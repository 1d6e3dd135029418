"""Loudness as BS.1770 measures it, and what brings a sound to a level."""

import math

import numpy as np

from helpers.audio.signal import as_batch, checked, fit_length, mono, pad_to_multiple, positive, resample
from helpers.support.errors import InputError
from helpers.support.libraries import library

LOUDNESS_FLOOR = -70.0  # LUFS; what the meter reads for anything quieter, silence included
SMALLEST_PEAK = 1e-30  # what is smaller is treated as silence, not amplified to infinity
LOWEST_METERED = 8000  # Hz


def _per_item(audio: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Each item of `audio` (any shape) times its own factor from `gain` (B,)."""
    return (as_batch(audio) * gain.astype(np.float32)[:, None, None]).reshape(np.shape(audio))


def _peaks(audio: np.ndarray) -> np.ndarray:
    """The largest absolute sample of each item, (B,) float64."""
    batch = as_batch(audio)
    return np.maximum(batch.max(axis=(1, 2)), -batch.min(axis=(1, 2))).astype(np.float64)


# --- Loudness ---------------------------------------------------------------------------------------------


def _k_weighted(batch: np.ndarray, sample_rate: int, length: int) -> np.ndarray:
    """(B, N) through the K-weighting of BS.1770 (a shelf for the head, a high-pass for low rumble).

    The result is (B, length): zeros follow the filtered samples.
    """
    iir_filter = library("pyloudnorm").IIRfilter
    sosfilt = library("scipy.signal").sosfilt
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
    sample_rate = positive("sample rate", sample_rate)
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
    audio = checked(audio)
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
