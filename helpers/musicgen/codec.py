"""EnCodec (Défossez et al. 2022, arXiv 2210.13438): audio to tokens and back, 50 frames a second.

Convolutions that lower the rate, a recurrent layer, a residual vector quantizer, and the same mirrored. The
recurrent layer gives the codec a state: what a frame sounds like depends on all frames before it.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from helpers.layers import (
    EuclideanRVQ,
    ResidualLSTM,
    SameConv1d,
    SameConvTranspose1d,
)


@dataclass(frozen=True)
class CodecConfig:
    """Everything about the codec's shape. It has one channel: stereo is two runs of it."""

    sample_rate: int
    n_filters: int  # width of the first convolution; it doubles with each stage
    ratios: tuple[int, ...]  # of the decoder's stages in their order; the encoder goes the other way
    n_residual: int  # blocks a stage
    dilation_base: int
    compress: int  # a block's inside is so many times narrower
    kernel: int
    residual_kernel: int
    last_kernel: int
    n_lstm: int
    dimension: int  # of the vectors that are quantized
    n_codebooks: int
    codebook_size: int
    edges: str  # "constant" or "reflect"

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.ratios)

    @property
    def width(self) -> int:
        """Of the recurrent layer."""
        return self.n_filters << len(self.ratios)

    @property
    def encoder_context(self) -> tuple[int, int]:
        """Frames on each side that count, before and after the recurrent layer (rounded up)."""
        first, last = 0, 0  # of the input that one frame depends on, the first and the last place
        for ratio in self.ratios:
            left = ratio - ratio // 2
            first, last = first * ratio - left, last * ratio - left + 2 * ratio - 1
            reach = self._reach()
            first, last = first - reach, last + reach
        first, last = first - self.kernel // 2, last + self.kernel // 2
        return math.ceil(max(-first, last - self.hop + 1) / self.hop), self.last_kernel // 2

    @property
    def decoder_context(self) -> tuple[int, int]:
        """The same of the decoder."""
        first, last = -(self.last_kernel // 2), self.hop - 1 + self.last_kernel // 2
        for ratio in reversed(self.ratios):
            reach = self._reach()
            cut = ratio - ratio // 2
            first = math.ceil((first - reach + cut - 2 * ratio + 1) / ratio)
            last = (last + reach + cut) // ratio
        return self.kernel // 2, max(-first, last)

    def _reach(self) -> int:
        """Places on either side, at most, that a stage's residual blocks look at."""
        spans = ((self.residual_kernel - 1) * self.dilation_base**i + 1 for i in range(self.n_residual))
        return sum(span // 2 for span in spans)


class ResidualBlock(nn.Module):
    """x + conv(elu(conv(elu(x)))), narrower inside. (B, width, N) -> the same."""

    def __init__(self, config: CodecConfig, width: int, dilation: int):
        super().__init__()
        inside, edges = width // config.compress, config.edges
        self.elu = nn.ELU()
        self.conv_1 = SameConv1d(width, inside, config.residual_kernel, dilation=dilation, edges=edges)
        self.conv_2 = SameConv1d(inside, width, 1, edges=edges)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_2(self.elu(self.conv_1(self.elu(x))))


def residual_blocks(config: CodecConfig, width: int) -> nn.Sequential:
    """A stage's blocks, each of which looks farther than the one before."""
    return nn.Sequential(
        *(ResidualBlock(config, width, config.dilation_base**i) for i in range(config.n_residual))
    )


class DownStage(nn.Module):
    """Residual blocks, then `ratio` times fewer steps and twice the width."""

    def __init__(self, config: CodecConfig, width: int, ratio: int):
        super().__init__()
        self.blocks = residual_blocks(config, width)
        self.elu = nn.ELU()
        self.down = SameConv1d(width, 2 * width, 2 * ratio, stride=ratio, edges=config.edges)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.elu(self.blocks(x)))


class UpStage(nn.Module):
    """`ratio` times more steps at half the width, then residual blocks."""

    def __init__(self, config: CodecConfig, width: int, ratio: int):
        super().__init__()
        self.elu = nn.ELU()
        self.up = SameConvTranspose1d(width, width // 2, ratio)
        self.blocks = residual_blocks(config, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.up(self.elu(x)))


class Encoder(nn.Module):
    """Audio (B, 1, N) -> frames (B, dimension, ceil(N / hop)), before, with and after state."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        rates = list(reversed(config.ratios))
        self.conv_in = SameConv1d(1, config.n_filters, config.kernel, edges=config.edges)
        self.stages = nn.Sequential(
            *(DownStage(config, config.n_filters << i, rate) for i, rate in enumerate(rates))
        )
        self.recurrent = ResidualLSTM(config.width, config.n_lstm)
        self.elu = nn.ELU()
        self.conv_out = SameConv1d(config.width, config.dimension, config.last_kernel, edges=config.edges)

    def forward(self, audio: Tensor) -> Tensor:
        x, _ = self.recurrent(self.before(audio))
        return self.after(x)

    def before(self, audio: Tensor) -> Tensor:
        return self.stages(self.conv_in(audio))

    def after(self, x: Tensor) -> Tensor:
        return self.conv_out(self.elu(x))


class Decoder(nn.Module):
    """Frames (B, dimension, T) -> audio (B, 1, T * hop), in the same three parts."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.conv_in = SameConv1d(config.dimension, config.width, config.kernel, edges=config.edges)
        self.recurrent = ResidualLSTM(config.width, config.n_lstm)
        self.stages = nn.Sequential(
            *(UpStage(config, config.width >> i, rate) for i, rate in enumerate(config.ratios))
        )
        self.elu = nn.ELU()
        self.conv_out = SameConv1d(config.n_filters, 1, config.last_kernel, edges=config.edges)

    def forward(self, frames: Tensor) -> Tensor:
        x, _ = self.recurrent(self.before(frames))
        return self.after(x)

    def before(self, frames: Tensor) -> Tensor:
        return self.conv_in(frames)

    def after(self, x: Tensor) -> Tensor:
        return self.conv_out(self.elu(self.stages(x)))


class Codec(nn.Module):
    """The whole codec. `encode` and `decode` begin with no state, as at the start of a recording."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = EuclideanRVQ(config.dimension, config.n_codebooks, config.codebook_size)
        self.decoder = Decoder(config)

    def encode(self, audio: Tensor) -> Tensor:
        """Audio float32 (B, channels, N) -> codes int64 (B, K * channels, ceil(N / hop)).

        The channels are coded one by one and their books take turns: left 0, right 0, left 1, right 1, ...
        """
        batch, channels, _ = audio.shape
        codes = self.quantizer.encode(self.encoder(audio.flatten(0, 1)[:, None]))
        return interleaved(codes, channels)

    def decode(self, codes: Tensor, channels: int = 1) -> Tensor:
        """Codes int64 (B, K * channels, T) -> audio float32 (B, channels, T * hop)."""
        frames = self.quantizer.decode(separated(codes, channels))
        return self.decoder(frames).unflatten(0, (-1, channels))[:, :, 0]


def interleaved(codes: Tensor, channels: int) -> Tensor:
    """Codes (B * channels, K, T) of single channels -> (B, K * channels, T), book 2 k + channel."""
    return codes.unflatten(0, (-1, channels)).transpose(1, 2).flatten(1, 2)


def separated(codes: Tensor, channels: int) -> Tensor:
    """The way back from `interleaved`."""
    return codes.unflatten(1, (-1, channels)).transpose(1, 2).flatten(0, 1)
