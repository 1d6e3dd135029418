"""A spectrogram as layers: the ear of a model, inside its graph."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers.convolution import extend

FLOOR = 1e-10  # of power: 100 dB below 1
SHARE = 800 / 1024  # of a transform that Kaldi's window fills here
RAISED = 0.97
LINEAR_HZ, LINEAR_MELS, OCTAVE = 200 / 3, 15, math.log(6.4) / 27  # Slaney's scale: straight up to 1000 Hz


class LogMel(nn.Module):
    """Power of the short-time Fourier transform, summed in mel bands, in decibels.

    audio (B, N) -> (B, 1, T, n_mels), T = N // hop + 1. A transform is two convolutions along time, whose
    kernels are cosines and sines under a window; the signal is mirrored by half a window at both ends.
    real, imag: (n_fft / 2 + 1, 1, n_fft). mel: (n_fft / 2 + 1, n_mels).
    """

    def __init__(self, n_fft: int, hop: int, n_mels: int):
        super().__init__()
        n_bins = n_fft // 2 + 1
        self.hop = hop
        self.real = nn.Parameter(torch.empty(n_bins, 1, n_fft), requires_grad=False)
        self.imag = nn.Parameter(torch.empty(n_bins, 1, n_fft), requires_grad=False)
        self.mel = nn.Parameter(torch.empty(n_bins, n_mels), requires_grad=False)

    @classmethod
    def computed(
        cls, sample_rate: int, n_fft: int, hop: int, n_mels: int, f_min: float, f_max: float
    ) -> "LogMel":
        """With a periodic Hann window and Slaney's mel bands from `f_min` to `f_max` hertz."""
        layer = cls(n_fft, hop, n_mels)
        kernels = fourier_kernels(n_fft)
        layer.real.data, layer.imag.data = (torch.from_numpy(one[:, None].copy()) for one in kernels)
        layer.mel.data = torch.from_numpy(mel_bands(sample_rate, n_fft, n_mels, f_min, f_max))
        return layer

    def forward(self, audio: Tensor) -> Tensor:
        return decibels(self.power(audio))[:, None]

    def power(self, audio: Tensor) -> Tensor:
        """(B, N) -> (B, T, n_mels), in mel bands."""
        half = self.real.shape[-1] // 2
        x = extend(audio, half, half, "reflect")[:, None]
        real, imag = (F.conv1d(x, kernel, stride=self.hop) for kernel in (self.real, self.imag))
        return (real * real + imag * imag).transpose(1, 2) @ self.mel


class KaldiMel(LogMel):
    """Mel bands as Kaldi has them, of a sound whose high notes are raised first; natural logarithm, scaled.

    audio (B, N) -> (B, 1, T, n_mels), T = (N - 1) // hop + 1. (Schmid et al. 2023, "EfficientAT".)
    """

    @classmethod
    def computed(
        cls, sample_rate: int, n_fft: int, hop: int, n_mels: int, f_min: float, f_max: float
    ) -> "KaldiMel":
        """With a symmetric Hann window of SHARE of a transform, in its middle."""
        layer = cls(n_fft, hop, n_mels)
        length = int(SHARE * n_fft)
        window = np.zeros(n_fft)
        window[(n_fft - length) // 2 :][:length] = np.hanning(length)
        kernels = fourier_kernels(n_fft, window)
        layer.real.data, layer.imag.data = (torch.from_numpy(one[:, None].copy()) for one in kernels)
        layer.mel.data = torch.from_numpy(kaldi_bands(sample_rate, n_fft, n_mels, f_min, f_max))
        return layer

    def forward(self, audio: Tensor) -> Tensor:
        raised = audio[:, 1:] - RAISED * audio[:, :-1]
        return ((torch.log(self.power(raised) + 1e-5) + 4.5) / 5)[:, None]


def decibels(power: Tensor) -> Tensor:
    """10 log10 of a power, no less than FLOOR."""
    return 10 * torch.log10(power.clamp(min=FLOOR))


def fourier_kernels(n_fft: int, window: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and negative sines under a window, each (n_fft / 2 + 1, n_fft) float32.

    window: (n_fft,); None for a periodic Hann window.
    """
    places = np.arange(n_fft)
    if window is None:
        window = 0.5 - 0.5 * np.cos(2 * np.pi * places / n_fft)
    turns = np.outer(np.arange(n_fft // 2 + 1), places) % n_fft  # whole turns left out: no digits are lost
    angle = 2 * np.pi * turns / n_fft
    return (np.cos(angle) * window).astype(np.float32), (-np.sin(angle) * window).astype(np.float32)


def mel_bands(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Triangles on Slaney's mel scale, each of the same area: (n_fft / 2 + 1, n_mels) float32.

    (Slaney 1998, "Auditory Toolbox".)
    """
    edges = hertz(np.linspace(mels(f_min), mels(f_max), n_mels + 2))
    bins = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)[:, None]
    up = (bins - edges[:-2]) / np.diff(edges)[:-1]
    down = (edges[2:] - bins) / np.diff(edges)[1:]
    area = 2 / (edges[2:] - edges[:-2])
    return (np.maximum(0, np.minimum(up, down)) * area).astype(np.float32)


def kaldi_bands(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Triangles whose sides are straight on the mel scale, each as high as the others: as `mel_bands`.

    The last bin, at half the sample rate, belongs to none. (Povey et al. 2011, "Kaldi".)
    """

    def mel(frequency: float | np.ndarray) -> np.ndarray:
        return 1127 * np.log1p(np.asarray(frequency) / 700)

    edges = np.linspace(mel(f_min), mel(f_max), n_mels + 2)
    bins = mel(np.linspace(0, sample_rate / 2, n_fft // 2 + 1))[:, None]
    up, down = (bins - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - bins) / np.diff(edges)[1:]
    made = np.maximum(0, np.minimum(up, down))
    made[-1] = 0
    return made.astype(np.float32)


def mels(frequency: float | np.ndarray) -> np.ndarray:
    """Hertz on Slaney's mel scale: straight up to 1000 Hz, logarithmic above."""
    frequency = np.asarray(frequency, float)
    above = LINEAR_MELS + np.log(np.maximum(frequency, 1000) / 1000) / OCTAVE
    return np.where(frequency < 1000, frequency / LINEAR_HZ, above)


def hertz(mel: np.ndarray) -> np.ndarray:
    """The way back from `mels`."""
    above = 1000 * np.exp(OCTAVE * (np.maximum(mel, LINEAR_MELS) - LINEAR_MELS))
    return np.where(mel < LINEAR_MELS, mel * LINEAR_HZ, above)


class InverseSTFT(nn.Module):
    """Spectra back to sound: windowed waves added up with overlap, divided by what the windows add up to.

    real, imag (B, n_fft / 2 + 1, T) -> (B, T * hop); frame t lies around sample t * hop, as in `LogMel`. Both
    sums are transposed convolutions, which every runtime has (an inverse FFT few have). kernels:
    (2 (n_fft / 2 + 1), 1, n_fft), windows: (1, 1, n_fft).
    """

    def __init__(self, n_fft: int, hop: int):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        cosines, sines = fourier_kernels(n_fft)  # already under a window
        twice = np.full((n_fft // 2 + 1, 1), 2.0)
        twice[[0, -1]] = 1  # the only two frequencies that have no mirror image
        kernels = np.concatenate([cosines * twice, sines * twice])[:, None] / n_fft
        self.kernels = nn.Parameter(torch.from_numpy(kernels.astype(np.float32)), requires_grad=False)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        squared = torch.from_numpy((window**2).astype(np.float32))[None, None]
        self.windows = nn.Parameter(squared, requires_grad=False)

    def forward(self, real: Tensor, imag: Tensor) -> Tensor:
        n_samples, half = real.shape[2] * self.hop, self.n_fft // 2
        added = F.conv_transpose1d(torch.cat([real, imag], dim=1), self.kernels, stride=self.hop)
        ones = torch.ones_like(real[:1, :1])
        windows = F.conv_transpose1d(ones, self.windows, stride=self.hop)
        part = slice(half, half + n_samples)
        return added[:, 0, part] / windows[:, 0, part].clamp(min=1e-3)
