"""The ear: a sound's log-mel to letters, and to places of the thinker."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers import Block, Rotary, SameConv1d
from helpers.layers.spectrogram import LogMel
from helpers.layers.transformer import RMSNorm
from helpers.omni.configs import F_MAX, F_MIN, MEL_HOP, N_FFT, N_MELS, SAMPLE_RATE, Config
from helpers.omni.spec import LETTERS

MIDDLE, SPREAD = -20.0, 20.0  # of speech's log-mel, in decibels
TOGETHER = 2  # frames of 40 ms that become one place


def front() -> LogMel:
    """The log-mel that ear and codec share; computed, so in no checkpoint."""
    return LogMel.computed(SAMPLE_RATE, N_FFT, MEL_HOP, N_MELS, F_MIN, F_MAX).eval()


def heard(mel: LogMel, audio: Tensor) -> Tensor:
    """Audio (B, N) -> log-mel (B, N_MELS, N // MEL_HOP), about between -2 and 2."""
    frames = (mel(audio)[:, 0] - MIDDLE) / SPREAD
    return frames[:, : audio.shape[1] // MEL_HOP].transpose(1, 2)


class Ear(nn.Module):
    """Two convolutions that halve time (100 to 25 frames a second), then blocks that look both ways."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.ear
        self.conv_1 = SameConv1d(N_MELS, c.width, 5, 2)
        self.conv_2 = SameConv1d(c.width, c.width, 5, 2)
        self.rotary = Rotary(c.size)
        self.blocks = nn.ModuleList(
            Block(c.width, c.n_heads, c.n_shared, c.hidden) for _ in range(c.n_layers)
        )
        self.norm = RMSNorm(c.width)
        self.head = nn.Linear(c.width, 1 + len(LETTERS))
        self.project = nn.Linear(TOGETHER * c.width, config.thinker.width)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel (B, N_MELS, M) -> places (B, ceil(M / 8), width of the thinker), letters
        (B, ceil(M / 4), 28).

        They are logits; 0 is CTC's blank.
        """
        x = F.gelu(self.conv_2(F.gelu(self.conv_1(mel)))).transpose(1, 2)
        turns = self.rotary(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x, _ = block(x, turns)
        x = self.norm(x)
        pairs = F.pad(x, (0, 0, 0, x.shape[1] % TOGETHER)).unflatten(1, (-1, TOGETHER)).flatten(2)
        return self.project(pairs), self.head(x)
