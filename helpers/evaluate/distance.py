"""How far a codec's output is from what went in: the same measure for every codec."""

from functools import cache

import numpy as np
import torch

from helpers import audio as sound
from helpers.train.losses import COMPARED, LogMel, si_sdr

RATE = 44100  # Hz, at which all codecs are compared


@cache
def _log_mel() -> LogMel:
    return LogMel(RATE, **COMPARED)


def log_mel(heard: np.ndarray, reference: np.ndarray) -> float:
    """Log-mel distance of (1, 1, N) from a reference of the same length, both at 44.1 kHz.

    80 mel bands up to 11,025 Hz of 2,048 samples every 512, log10 of the magnitude clipped at 1e-5, mean
    absolute difference. `heard` is first brought to the loudness of the reference: its level does not count.
    """
    levelled, _ = sound.match_level(heard, reference, RATE)
    with torch.inference_mode():
        return float(_log_mel()(torch.from_numpy(levelled), torch.from_numpy(reference)))


def si_sdr_db(heard: np.ndarray, reference: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, (1, 1, N) both."""
    with torch.inference_mode():
        return float(si_sdr(torch.from_numpy(heard), torch.from_numpy(reference)))


def at_44100(audio: np.ndarray, sample_rate: int, n_samples: int) -> np.ndarray:
    """A codec's output at the rate and length of the reference."""
    return sound.fit_length(sound.resample(audio, sample_rate, RATE), n_samples)
