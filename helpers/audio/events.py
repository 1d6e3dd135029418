"""When something happens in a sound: onsets and beats, in frames of a codec."""

import numpy as np

from helpers.audio.signal import as_batch, mono, positive, resample
from helpers.support.errors import InputError
from helpers.support.libraries import library

ANALYSIS_RATE, ANALYSIS_WINDOW = 22050, 2048  # what librosa's onset and beat defaults are tuned for

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
    last = -(-np.shape(audio)[-1] // positive("hop", hop)) - 1
    frames = np.floor(np.asarray(times) * sample_rate / hop + 1e-6).astype(np.int64)
    return np.unique(frames.clip(0, last))


def onset_frames(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Codec frames (int64) where notes or hits begin in one item; none in silence.

    `hop` counts samples at `sample_rate`. Found by librosa's onset detector, each moved back to where
    its energy starts to rise.
    """
    signal = _analysis_signal(audio, sample_rate)
    times = library("librosa").onset.onset_detect(y=signal, sr=ANALYSIS_RATE, units="time", backtrack=True)
    return _times_to_frames(times, audio, sample_rate, hop)


def beat_frames(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Codec frames (int64) of the beats of one item, by librosa's beat tracker; none in silence.

    `hop` counts samples at `sample_rate`.
    """
    signal = _analysis_signal(audio, sample_rate)
    _, times = library("librosa").beat.beat_track(y=signal, sr=ANALYSIS_RATE, units="time")
    return _times_to_frames(times, audio, sample_rate, hop)
