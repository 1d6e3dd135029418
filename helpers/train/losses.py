"""How far one sound is from another: what the codec is trained on, and what it is scored by."""

import math

import librosa
import torch
from torch import Tensor, nn

SCALES = ((512, 40), (1024, 80), (2048, 160))  # samples in a window, mel bands
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


class MultiScaleMel(nn.Module):
    """The mean of log-mel differences seen through windows of several lengths. Two (B, 1, N) -> (B,).

    Short windows see when something happens, long ones at which pitch.
    """

    def __init__(self, sample_rate: int):
        super().__init__()
        self.scales = nn.ModuleList(LogMel(sample_rate, n_fft, n_fft // 4, mels) for n_fft, mels in SCALES)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return sum(scale(one, other) for scale in self.scales) / len(self.scales)


def snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Signal-to-noise ratio of each item in dB: (B, 1, N) -> (B,)."""
    error = estimate - target
    return 10 * (target.square().sum((1, 2)) / error.square().sum((1, 2)).clamp(min=1e-12)).log10()


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019): (B, 1, N) -> (B,)."""
    estimate, target = (x - x.mean(-1, keepdim=True) for x in (estimate, target))
    scale = (estimate * target).sum((1, 2)) / target.square().sum((1, 2)).clamp(min=1e-12)
    return snr(estimate, scale[:, None, None] * target)
