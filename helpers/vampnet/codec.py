"""The neural codec: audio to tokens and back, 57 frames a second, C tokens a frame.

VampNet's codec (LAC) is a sibling of the Descript Audio Codec (Kumar et al. 2023): a convolutional
encoder, a residual vector quantizer, and a decoder whose blocks average three kernel sizes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from helpers.layers import ResidualVQ, Snake
from helpers.support.config import integer, integers
from helpers.support.errors import InputError


@dataclass(frozen=True)
class CodecConfig:
    """Everything about the codec's shape, as the checkpoint's metadata names it."""

    encoder_dim: int
    encoder_rates: tuple[int, ...]
    decoder_dim: int
    decoder_rates: tuple[int, ...]
    n_codebooks: int
    codebook_size: int
    codebook_dims: tuple[int, ...]  # one a codebook
    latent_dim: int
    sample_rate: int

    @classmethod
    def from_kwargs(cls, kwargs: Mapping) -> "CodecConfig":
        """From a checkpoint's `metadata["kwargs"]`; keys it does not know are ignored. Raises InputError."""
        encoder_dim, encoder_rates = integer(kwargs, "encoder_dim"), integers(kwargs, "encoder_rates")
        n_codebooks = integer(kwargs, "n_codebooks")
        one_for_all = not isinstance(kwargs.get("codebook_dim"), list | tuple)
        config = cls(
            encoder_dim=encoder_dim,
            encoder_rates=encoder_rates,
            decoder_dim=integer(kwargs, "decoder_dim"),
            decoder_rates=integers(kwargs, "decoder_rates"),
            n_codebooks=n_codebooks,
            codebook_size=integer(kwargs, "codebook_size"),
            codebook_dims=(integer(kwargs, "codebook_dim"),) * n_codebooks
            if one_for_all
            else integers(kwargs, "codebook_dim"),
            latent_dim=integer(kwargs, "latent_dim", default=encoder_dim << len(encoder_rates)),
            sample_rate=integer(kwargs, "sample_rate"),
        )
        if len(config.codebook_dims) != n_codebooks:
            raise InputError(
                f"the metadata names {len(config.codebook_dims)} codebook widths for {n_codebooks} codebooks."
            )
        if config.decoder_dim % (1 << len(config.decoder_rates)):
            raise InputError(
                f"'decoder_dim' {config.decoder_dim} does not halve {len(config.decoder_rates)} times."
            )
        if math.prod(encoder_rates) != config.hop:
            raise InputError(
                f"the metadata's encoder rates {encoder_rates} and decoder rates {config.decoder_rates} "
                "multiply to different hops."
            )
        return config

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.decoder_rates)

    def frames(self, n_samples: int) -> int:
        """How many frames the encoder makes of `n_samples`: fewer than n_samples / hop where a rate is odd.

        Zero or less means that the encoder refuses so short an input.
        """
        for rate in self.encoder_rates:
            n_samples = (n_samples + 2 * (rate // 2) - 2 * rate) // rate + 1
        return n_samples

    @property
    def encoder_context(self) -> int:
        """Frames of audio on each side that a frame's tokens depend on (rounded up)."""
        first, last = -1, 1  # conv_out
        for rate in reversed(self.encoder_rates):
            reach = sum(3 * dilation for dilation in ENCODER_DILATIONS)
            first = first * rate - rate // 2 - reach
            last = last * rate - rate // 2 + 2 * rate - 1 + reach
        first, last = first - 3, last + 3  # conv_in
        return math.ceil(max(-first, last - (self.hop - 1)) / self.hop)

    @property
    def decoder_context(self) -> int:
        """Frames of tokens on each side that a frame's samples depend on."""
        first, last = -3, self.hop - 1 + 3  # conv_out
        for rate in reversed(self.decoder_rates):
            half = max(DECODER_KERNELS) // 2
            reach = sum(half * dilation + half for dilation in DECODER_DILATIONS)
            first = math.ceil((first - reach + rate // 2 - 2 * rate + 1) / rate)
            last = (last + reach + rate // 2) // rate
        return max(-first, last) + 3  # conv_in


ENCODER_DILATIONS = (1, 3, 9)
DECODER_DILATIONS = (1, 3, 5)
DECODER_KERNELS = (3, 7, 11)


def same_conv(width_in: int, width_out: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    """A convolution whose output is as long as its input."""
    return nn.Conv1d(width_in, width_out, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)


class ResidualLayer(nn.Module):
    """x + conv(snake(conv(snake(x)))): the first convolution is dilated. (B, width, N) -> the same."""

    def __init__(self, width: int, kernel: int, dilation: int, second_kernel: int):
        super().__init__()
        self.snake_1 = Snake(width)
        self.conv_1 = same_conv(width, width, kernel, dilation)
        self.snake_2 = Snake(width)
        self.conv_2 = same_conv(width, width, second_kernel)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_2(self.snake_2(self.conv_1(self.snake_1(x))))


class EncoderStage(nn.Module):
    """Three residual layers, then `rate` times fewer steps and twice the width."""

    def __init__(self, width: int, rate: int):
        super().__init__()
        self.layers = nn.Sequential(*(ResidualLayer(width, 7, dilation, 1) for dilation in ENCODER_DILATIONS))
        self.snake = Snake(width)
        self.downsample = nn.Conv1d(width, 2 * width, 2 * rate, stride=rate, padding=rate // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.snake(self.layers(x)))


class MultiReceptiveField(nn.Module):
    """The mean of three stacks of residual layers that look at 3, 7 and 11 samples (after HiFi-GAN)."""

    def __init__(self, width: int):
        super().__init__()
        self.stacks = nn.ModuleList(
            nn.Sequential(*(ResidualLayer(width, kernel, dilation, kernel) for dilation in DECODER_DILATIONS))
            for kernel in DECODER_KERNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        return sum(stack(x) for stack in self.stacks) / len(self.stacks)


class DecoderStage(nn.Module):
    """`rate` times more steps at half the width, then the multi-receptive-field block."""

    def __init__(self, width: int, rate: int):
        super().__init__()
        self.snake = Snake(width)
        self.upsample = nn.ConvTranspose1d(width, width // 2, 2 * rate, stride=rate, padding=rate // 2)
        self.mix = MultiReceptiveField(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.upsample(self.snake(x)))


class Encoder(nn.Module):
    """Audio (B, 1, N) -> frames (B, latent_dim, T)."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        width = config.encoder_dim
        self.conv_in = same_conv(1, width, 7)
        self.stages = nn.Sequential(
            *(EncoderStage(width << i, rate) for i, rate in enumerate(config.encoder_rates))
        )
        width <<= len(config.encoder_rates)
        self.snake = Snake(width)
        self.conv_out = same_conv(width, config.latent_dim, 3)

    def forward(self, audio: Tensor) -> Tensor:
        return self.conv_out(self.snake(self.stages(self.conv_in(audio))))


class Decoder(nn.Module):
    """Frames (B, latent_dim, T) -> audio (B, 1, M) within -1 to 1."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        width = config.decoder_dim
        self.conv_in = same_conv(config.latent_dim, width, 7)
        self.stages = nn.Sequential(
            *(DecoderStage(width >> i, rate) for i, rate in enumerate(config.decoder_rates))
        )
        width >>= len(config.decoder_rates)
        self.snake = Snake(width)
        self.conv_out = same_conv(width, 1, 7)

    def forward(self, frames: Tensor) -> Tensor:
        return self.conv_out(self.snake(self.stages(self.conv_in(frames)))).tanh()


class Codec(nn.Module):
    """The whole codec; `encode` and `decode` are the two graphs that are exported."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = ResidualVQ(
            config.latent_dim, config.n_codebooks, config.codebook_size, list(config.codebook_dims)
        )
        self.decoder = Decoder(config)

    def encode(self, audio: Tensor) -> Tensor:
        """Audio float32 (B, 1, N), N a multiple of the hop -> codes int64 (B, C, T)."""
        return self.quantizer.encode(self.encoder(audio))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, C, T), without MASK -> audio float32 (B, 1, M)."""
        return self.decoder(self.quantizer.decode(codes))
