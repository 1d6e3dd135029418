"""What the coarse channels are taught: a slow picture of the sound, its mel spectrum in a few numbers.

Left to themselves, the first codebooks spell out the waveform, whose phase is another in every frame, and
no model can guess that from the frames around. A spectrum changes slowly, and
it is what rhythm, harmony and timbre are. (Codecs for speech teach their first codebook in this way from
the features of another network: Zhang et al. 2024, "SpeechTokenizer".)
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.audio.distance import LogMel

WINDOW = 0.046  # seconds, about: 2048 samples at 44.1 kHz
N_MELS, HIGHEST = 96, 12_000
FLOOR = 0.03  # magnitude: some 85 dB below a full-scale sine
VARIANCE = 0.3  # of a channel, on average: about that of the other channels of a trained encoder


class SlowSpectrum(nn.Module):
    """Audio (B, 1, N), N a multiple of the hop -> (B, n, N / hop): principal components of its log-mel.

    Call `fit` once before. Each component counts by the square root of its deviation: the first, which is
    hardly more than loudness, would otherwise be heard alone.
    """

    def __init__(self, sample_rate: int, hop: int, n: int):
        super().__init__()
        n_fft = 2 ** round(math.log2(WINDOW * sample_rate))
        self.mel = LogMel(sample_rate, n_fft, hop, N_MELS, HIGHEST, FLOOR)
        self.hop = hop
        self.edge = math.ceil(n_fft / 2 / hop)  # frames at each end whose window reaches beyond the audio
        self.register_buffer("mean", torch.zeros(N_MELS))
        self.register_buffer("axes", torch.zeros(N_MELS, n))

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Find the components of segments (B, 1, N); music of the same kind gives much the same ones."""
        spectra = self._spectra(audio)[..., self.edge : -self.edge].transpose(1, 2).flatten(0, 1)
        self.mean.copy_(spectra.mean(0))
        variances, axes = torch.linalg.eigh((spectra - self.mean).T.cov())
        n = self.axes.shape[1]
        variances, axes = variances.flip(0)[:n].clamp(min=1e-8), axes.flip(1)[:, :n]
        axes = axes * axes.sum(0).sign()  # else the sign would be chance
        wanted = variances.sqrt()
        self.axes.copy_(axes * (VARIANCE * wanted / wanted.mean() / variances).sqrt())

    def forward(self, audio: Tensor) -> Tensor:
        return ((self._spectra(audio) - self.mean[:, None]).transpose(1, 2) @ self.axes).transpose(1, 2)

    def missed(self, channels: Tensor, audio: Tensor) -> Tensor:
        """The share of this audio's spectrum that the channels (B, n, T) do not say: 0 none, 1 all."""
        wanted = self(audio)[..., : channels.shape[-1]]
        channels, wanted = (x[..., self.edge : -self.edge] for x in (channels, wanted))
        return (channels - wanted).square().mean() / wanted.square().mean().clamp(min=1e-8)

    def _spectra(self, audio: Tensor) -> Tensor:
        # Frame t is centred in the hop that the codec's frame t stands for.
        return self.mel.spectrum(F.pad(audio, (0, self.hop))[..., self.hop // 2 : -(self.hop // 2) - 1])
