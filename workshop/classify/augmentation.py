"""Other takes of the same clip, drawn anew whenever it is seen, on its log-mel picture.

A picture is decibels, so what a room, a microphone and the weather do is simple there: an echo smears power
over time, a microphone adds a curve over frequency, other sounds add their power. All of it takes a tenth of
the time of a small network's step; on waveforms it would take longer than the step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.layers.spectrogram import FLOOR, decibels

LOUDEST_FRAMES = 12  # a quarter of a second at a hop of 20 ms: how loud the clip's own sound is
KNOTS = 7  # of a microphone's curve
Draw = torch.Generator


@dataclass(frozen=True)
class Strengths:
    """How far a take may be from its clip; 0 leaves that out.

    shift: share of its length that a clip is moved by. pitch: mel bands up or down. curve: decibels,
    standard deviation of a microphone's. echo: share of clips with one; echo_seconds: how long it takes to
    fall by 60 dB, at most. noise: share of clips with another sound behind; snr: decibels, lowest and
    highest. masks: stripes of time and of frequency that are wiped out (Park et al. 2019, "SpecAugment").
    """

    shift: float = 0.5
    pitch: int = 1
    curve: float = 3.0
    echo: float = 0.7
    echo_seconds: float = 0.8
    noise: float = 0.9
    lowest_snr: float = -4.0
    highest_snr: float = 24.0
    masks: int = 1
    mask_frames: int = 12
    mask_bands: int = 6


def augmented(
    pictures: Tensor, noises: Tensor, strengths: Strengths, frames_a_second: float, draw: Draw
) -> Tensor:
    """Another take of each picture (B, 1, T, M), decibels; noises (n, 1, T, M) are what may be behind."""
    x = moved(pictures, strengths.shift, strengths.pitch, draw)
    power = 10 ** (x[:, 0] / 10)
    if strengths.echo:
        power = echoed(power, strengths.echo, strengths.echo_seconds * frames_a_second, draw)
    if strengths.noise and len(noises):
        power = power + background(power, noises, strengths, draw)
    x = decibels(power)[:, None]
    if strengths.curve:
        x = x + strengths.curve * curves(len(x), x.shape[3], draw)[:, None, None]
    for _ in range(strengths.masks):
        x = masked(x, 2, strengths.mask_frames, draw)
        x = masked(x, 3, strengths.mask_bands, draw)
    return x


def moved(x: Tensor, shift: float, bands: int, draw: Draw) -> Tensor:
    """Pictures (B, 1, T, M) moved in pitch, and in time: what leaves at one end comes in at the other."""
    n, _, n_frames, n_bands = x.shape
    by = ((2 * torch.rand(n, generator=draw) - 1) * shift * n_frames).round().long()
    frames = (torch.arange(n_frames) + by[:, None]) % n_frames
    x = x.gather(2, frames[:, None, :, None].expand(x.shape))
    by = torch.randint(-bands, bands + 1, (n,), generator=draw)
    places = (torch.arange(n_bands) + by[:, None]).clamp(0, n_bands - 1)
    return x.gather(3, places[:, None, None].expand(x.shape))


def echoed(power: Tensor, share: float, longest: float, draw: Draw) -> Tensor:
    """Power (B, T, M) smeared into what follows, for a share of the clips.

    longest: frames that an echo takes to fall by 60 dB, at most.
    """
    n, n_frames, _ = power.shape
    fall = 6.9 * 2 / (longest * torch.rand(n, generator=draw).clamp(min=0.1))  # of power: twice amplitude's
    direct = 0.2 + 0.7 * torch.rand(n, generator=draw)
    direct[torch.rand(n, generator=draw) >= share] = 1.0
    later = torch.arange(n_frames)[:, None] - torch.arange(n_frames)
    tail = torch.exp(-fall[:, None, None] * later.clamp(min=0)) * (later >= 0)
    tail = tail / tail[:, -1].sum(1)[:, None, None] * (1 - direct[:, None, None])
    return tail @ power + direct[:, None, None] * power


def background(power: Tensor, noises: Tensor, strengths: Strengths, draw: Draw) -> Tensor:
    """Power (B, T, M) of other sounds, as far below a clip's loudest quarter second as is drawn."""
    n = len(power)
    chosen = noises[torch.randint(len(noises), (n,), generator=draw)]
    behind = 10 ** (moved(chosen, 0.5, 3, draw)[:, 0] / 10)
    lines = power.sum(2)[:, None]
    loud = torch.nn.functional.avg_pool1d(lines, min(LOUDEST_FRAMES, lines.shape[2]), 1).amax((1, 2))
    below = strengths.lowest_snr + torch.rand(n, generator=draw) * (
        strengths.highest_snr - strengths.lowest_snr
    )
    level = loud / behind.sum(2).mean(1).clamp(min=FLOOR) * 10 ** (-below / 10)
    level[torch.rand(n, generator=draw) >= strengths.noise] = 0.0
    return behind * level[:, None, None]


def curves(n: int, n_bands: int, draw: Draw) -> Tensor:
    """Smooth random curves over frequency, (n, n_bands), standard deviation about 1."""
    knots = torch.randn(n, 1, KNOTS, generator=draw)
    return torch.nn.functional.interpolate(knots, n_bands, mode="linear", align_corners=True)[:, 0]


def masked(x: Tensor, axis: int, widest: int, draw: Draw) -> Tensor:
    """One stripe of each picture set to the picture's mean."""
    n, size = len(x), x.shape[axis]
    width = torch.rand(n, 1, generator=draw) * widest
    start = torch.rand(n, 1, generator=draw) * (size - width)
    places = torch.arange(size)
    inside = (places >= start) & (places < start + width)
    shape = [n, 1, 1, 1]
    shape[axis] = size
    return torch.where(inside.view(shape), x.mean((2, 3), keepdim=True), x)
