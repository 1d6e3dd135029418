"""The voice: a log-mel to magnitudes and phases, and those to sound (Siuzdak 2023, "Vocos")."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers.spectrogram import InverseSTFT
from helpers.omni.configs import CODE_FRAME, MEL_HOP, N_FFT, N_MELS, Config

LOUDEST = 6.0  # natural logarithm of the largest magnitude there can be


def back() -> InverseSTFT:
    """From spectra to sound; computed, so in no checkpoint."""
    return InverseSTFT(N_FFT, MEL_HOP).eval()


class ConvNeXt(nn.Module):
    """A wide depthwise convolution, then a feed-forward a frame (Liu et al. 2022). (B, width, T) -> same."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        inside = F.gelu(self.up(self.norm(self.conv(x).transpose(1, 2))))
        return x + self.down(inside).transpose(1, 2)


class Vocoder(nn.Module):
    """Log-mel (B, N_MELS, T) -> real and imaginary parts of short spectra, each (B, N_FFT / 2 + 1, T).

    T is a multiple of CODE_FRAME. A vowel that is held has the same spectrum in frame after frame, and with
    the same phases it would have a pitch of one period a frame, whatever the voice's. The `clock` tells the
    frames of a code frame apart, so that phases may move.
    """

    def __init__(self, config: Config):
        super().__init__()
        c = config.voice
        self.conv = nn.Conv1d(N_MELS, c.width, 7, padding=3)
        self.clock = nn.Parameter(torch.randn(c.width, CODE_FRAME) * 0.1)
        self.blocks = nn.ModuleList(ConvNeXt(c.width, c.hidden) for _ in range(c.n_layers))
        self.norm = nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, N_FFT + 2)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        x = (self.conv(mel).unflatten(2, (-1, CODE_FRAME)) + self.clock[:, None]).flatten(2)
        for block in self.blocks:
            x = block(x)
        level, phase = self.head(self.norm(x.transpose(1, 2))).transpose(1, 2).chunk(2, dim=1)
        magnitude = torch.exp(level.clamp(max=LOUDEST))
        return magnitude * phase.cos(), magnitude * phase.sin()
