"""Differences of spectra on a linear scale: they see noise between partials, where mel bands are too wide.

Several window lengths at once (Yamamoto et al. 2020, "Parallel WaveGAN"): short ones see when, long ones
resolve partials. 4096 samples at 44.1 kHz tell lines 22 Hz apart.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOWS = (512, 1024, 2048, 4096)  # samples
FLOOR = 1e-5  # of a full-scale tone: -100 dB


class LinearSpectra(nn.Module):
    """Mean absolute difference of log10 magnitudes, over all windows. Two (B, 1, N) -> (B,)."""

    def __init__(self, windows: tuple[int, ...] = WINDOWS):
        super().__init__()
        self.windows = windows

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        apart = [(_log(one, n) - _log(other, n)).abs().mean((1, 2)) for n in self.windows]
        return sum(apart) / len(apart)


def _log(audio: Tensor, n_fft: int) -> Tensor:
    lines = spectrum(audio, n_fft)
    power = lines.real.square() + lines.imag.square()
    return 0.5 * (power + FLOOR**2).log10()  # smooth where there is next to nothing


def spectrum(audio: Tensor, n_fft: int) -> Tensor:
    """(B, 1, N) -> complex (B, n_fft / 2 + 1, frames) by a Hann window every quarter; a full tone has 1."""
    window = torch.hann_window(n_fft, device=audio.device)
    short = max(0, n_fft // 2 + 1 - audio.shape[-1])  # reflected padding needs that many
    audio = F.pad(audio, (0, short))[:, 0]
    return torch.stft(audio, n_fft, n_fft // 4, window=window, return_complex=True) * (2 / window.sum())
