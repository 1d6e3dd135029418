"""Differences of spectra on a linear scale: they see noise between partials, where mel bands are too wide.

Several window lengths at once (Yamamoto et al. 2020, "Parallel WaveGAN"): short ones see when, long ones
resolve partials. 4096 samples at 44.1 kHz tell lines 22 Hz apart.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOWS = (512, 1024, 2048, 4096)  # samples
FLOOR = 1e-5  # of a full-scale tone: -100 dB
QUIET = 1e-3  # root mean square of magnitudes below which a sound counts as near silence


class Apart(NamedTuple):
    """Two views of one difference, each (B,), means over all windows."""

    log: Tensor  # mean |difference| of log10 magnitudes: the quiet counts as much as the loud
    convergence: Tensor  # |difference of magnitudes| / |magnitudes|, Frobenius norms: the loud decides


class LinearSpectra(nn.Module):
    """How far `one` is from `other`, (B, 1, N) both.

    The convergence (Arik et al. 2019, "Fast spectrogram inversion using multi-head convolutional neural
    networks") holds strong partials at their level, of which the logarithm alone gives some away.
    """

    def __init__(self, windows: tuple[int, ...] = WINDOWS):
        super().__init__()
        self.windows = windows

    def forward(self, one: Tensor, other: Tensor) -> Apart:
        pairs = [(_magnitudes(one, n), _magnitudes(other, n)) for n in self.windows]
        logs = [(a.log10() - b.log10()).abs().mean((1, 2)) for a, b in pairs]
        # In a rest, where there is nothing to be a share of, the division would drown every other sound.
        shares = [_rms(a - b) / _rms(b).clamp(min=QUIET) for a, b in pairs]
        return Apart(sum(logs) / len(logs), sum(shares) / len(shares))


def _rms(lines: Tensor) -> Tensor:
    return lines.norm(dim=(1, 2)) / lines[0].numel() ** 0.5


def _magnitudes(audio: Tensor, n_fft: int) -> Tensor:
    lines = spectrum(audio, n_fft)
    # Never below FLOOR, and smooth where there is next to nothing.
    return (lines.real.square() + lines.imag.square() + FLOOR**2).sqrt()


def spectrum(audio: Tensor, n_fft: int) -> Tensor:
    """(B, 1, N) -> complex (B, n_fft / 2 + 1, frames) by a Hann window every quarter; a full tone has 1."""
    window = torch.hann_window(n_fft, device=audio.device)
    short = max(0, n_fft // 2 + 1 - audio.shape[-1])  # reflected padding needs that many
    audio = F.pad(audio, (0, short))[:, 0]
    return torch.stft(audio, n_fft, n_fft // 4, window=window, return_complex=True) * (2 / window.sum())
