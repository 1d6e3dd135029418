"""Adversaries for a decoder of sound: networks that learn to tell what was decoded from what was recorded.

Spectral losses ask for the right magnitude at each place and time; where a token leaves that open, the best
answer is an average, which sounds hoarse. An adversary asks only that the sound be possible. These look at
complex spectra of several resolutions (Défossez et al. 2022, "High Fidelity Neural Audio Compression").
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from workshop.training.loop import take_step
from workshop.training.spectra import spectrum

WINDOWS = (2048, 1024, 512)  # samples
CHANNELS = 16
LEAK = 0.2
COMPRESSION = 0.3  # magnitudes to this power: a quiet line counts, and no level is infinite


class Opinion(NamedTuple):
    """What one adversary says: logits, above 0 for "recorded"; and what its layers saw on the way."""

    logits: Tensor
    features: list[Tensor]


class SpectralDiscriminator(nn.Module):
    """One resolution: convolutions over (time, frequency) of the compressed complex spectrum.

    audio (B, 1, N) -> Opinion with logits (B, 1, frames, bins / 8).
    """

    def __init__(self, n_fft: int, channels: int = CHANNELS):
        super().__init__()
        self.n_fft = n_fft
        shapes = [((3, 9), (1, 1), 1)] + [((3, 9), (1, 2), dilation) for dilation in (1, 2, 4)]
        layers, width = [], 2
        for kernel, stride, dilation in shapes:
            padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
            layers.append(_conv(width, channels, kernel, stride, padding, (dilation, 1)))
            width = channels
        self.layers = nn.ModuleList(layers)
        self.last = _conv(width, 1, (3, 3), (1, 1), (1, 1), (1, 1))

    def forward(self, audio: Tensor) -> Opinion:
        lines = spectrum(audio, self.n_fft).transpose(1, 2)
        power = lines.real.square() + lines.imag.square() + 1e-10
        x = torch.stack([lines.real, lines.imag], 1) * power[:, None] ** ((COMPRESSION - 1) / 2)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK)
            features.append(x)
        return Opinion(self.last(x), features)


def _conv(n_in: int, n_out: int, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> nn.Module:
    return weight_norm(nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation))


class Discriminators(nn.Module):
    """All resolutions. audio (B, 1, N) -> an Opinion of each."""

    def __init__(self, windows: tuple[int, ...] = WINDOWS, channels: int = CHANNELS):
        super().__init__()
        self.parts = nn.ModuleList(SpectralDiscriminator(n_fft, channels) for n_fft in windows)

    def forward(self, audio: Tensor) -> list[Opinion]:
        return [part(audio) for part in self.parts]


def discriminator_loss(recorded: list[Opinion], decoded: list[Opinion]) -> Tensor:
    """Hinge loss (Lim & Ye 2017): recorded above 1, decoded below -1."""
    losses = [F.relu(1 - r.logits).mean() + F.relu(1 + d.logits).mean() for r, d in zip(recorded, decoded)]
    return sum(losses) / len(losses)


def generator_loss(decoded: list[Opinion]) -> Tensor:
    """What the decoder is asked: to be taken for recorded."""
    return sum(-d.logits.mean() for d in decoded) / len(decoded)


def feature_loss(recorded: list[Opinion], decoded: list[Opinion]) -> Tensor:
    """How differently the adversaries' layers see the two, as a share of it (Kumar et al. 2019)."""
    pairs = [pair for r, d in zip(recorded, decoded) for pair in zip(r.features, d.features)]
    return sum((r.detach() - d).abs().mean() / r.detach().abs().mean() for r, d in pairs) / len(pairs)


def teach(
    adversaries: Discriminators, optimizer: torch.optim.Optimizer, rate: float, audio: Tensor, rebuilt: Tensor
) -> float:
    """One step of the adversaries' own, at this learning rate; returns their loss.

    `rebuilt` carries no gradient.
    """
    loss = discriminator_loss(adversaries(audio), adversaries(rebuilt))
    optimizer.zero_grad()
    loss.backward()
    take_step(optimizer, rate)
    return loss.item()


def persuade(
    adversaries: Discriminators, audio: Tensor, rebuilt: Tensor, adversarial: float, features: float
) -> Tensor:
    """The decoder's loss before adversaries that do not learn from it; the last two are its weights."""
    adversaries.requires_grad_(False)
    with torch.no_grad():
        recorded = adversaries(audio)
    decoded = adversaries(rebuilt)
    adversaries.requires_grad_(True)
    return adversarial * generator_loss(decoded) + features * feature_loss(recorded, decoded)
