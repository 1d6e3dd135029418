"""The codec: a log-mel as two codes, 25 times a second, and back."""

from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers import EuclideanRVQ, SameConv1d, SameConvTranspose1d
from helpers.omni.configs import N_MELS, Config


class Residual(nn.Module):
    """A convolution beside a straight line. (B, width, T) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = SameConv1d(width, width, 3)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.gelu(self.conv(x)))


class Codec(nn.Module):
    """Convolutions to a quarter of the frames, a residual quantizer, convolutions back."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.codec
        self.encoder = nn.Sequential(
            SameConv1d(N_MELS, c.width, 7), nn.GELU(), SameConv1d(c.width, c.width, 4, 2), nn.GELU(),
            Residual(c.width), SameConv1d(c.width, c.width, 4, 2), nn.GELU(), Residual(c.width),
            nn.Conv1d(c.width, c.coded, 1),
        )  # fmt: skip
        self.quantizer = EuclideanRVQ(c.coded, c.n_codebooks, c.codebook_size)
        self.decoder = nn.Sequential(
            SameConv1d(c.coded, c.width, 3), nn.GELU(), Residual(c.width),
            SameConvTranspose1d(c.width, c.width, 2), nn.GELU(), Residual(c.width),
            SameConvTranspose1d(c.width, c.width, 2), nn.GELU(), Residual(c.width),
            SameConv1d(c.width, N_MELS, 5),
        )  # fmt: skip

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel (B, N_MELS, 4 T) -> codes int64 (B, K, T)."""
        return self.quantizer.encode(self.encoder(mel))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, K, T) -> log-mel (B, N_MELS, 4 T)."""
        return self.decoder(self.quantizer.decode(codes))
