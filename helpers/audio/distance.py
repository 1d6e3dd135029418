"""How far one sound is from another: the same measures for every codec."""

import math
from functools import cache

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from helpers import audio as sound

RATE = 44100  # Hz, at which all codecs are compared
COMPARED = dict(n_fft=2048, hop=512, n_mels=80, highest=11025)  # the log-mel that codecs are compared by
FLOOR = 1e-5  # below this a mel magnitude counts as silence


class LogMel(nn.Module):
    """Mean absolute difference of log10 mel magnitudes of each item. Two (B, 1, N) -> (B,).

    A quiet band counts as much as a loud one, which is closer to hearing than the waveform's difference.
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop: int,
        n_mels: int,
        highest: float = math.inf,
        floor: float = FLOOR,
    ):
        super().__init__()
        highest = min(highest, sample_rate / 2)
        filters = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmax=highest)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.n_fft, self.hop, self.floor = n_fft, hop, floor

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return (self.spectrum(one) - self.spectrum(other)).abs().mean((1, 2))

    def spectrum(self, audio: Tensor) -> Tensor:
        """(B, 1, N) -> (B, n_mels, frames)."""
        lines = torch.stft(audio[:, 0], self.n_fft, self.hop, window=self.window, return_complex=True)
        # The magnitude's slope is infinite at 0; 1e-12 keeps gradients finite and is far below the floor.
        magnitudes = (lines.real.square() + lines.imag.square() + 1e-12).sqrt()
        return (self.filters @ magnitudes).clamp(min=self.floor).log10()


def snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Signal-to-noise ratio of each item in dB: (B, 1, N) -> (B,)."""
    error = estimate - target
    return 10 * (target.square().sum((1, 2)) / error.square().sum((1, 2)).clamp(min=1e-12)).log10()


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019): (B, 1, N) -> (B,)."""
    estimate, target = (x - x.mean(-1, keepdim=True) for x in (estimate, target))
    scale = (estimate * target).sum((1, 2)) / target.square().sum((1, 2)).clamp(min=1e-12)
    return snr(estimate, scale[:, None, None] * target)


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
