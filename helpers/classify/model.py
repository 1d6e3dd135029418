"""A classifier of sound: audio in, a score for each label out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.classify.configs import Block, Config, Head
from helpers.layers.images import (
    ACTIVATIONS,
    ChannelAttention,
    ConvNorm,
    Inverted,
    Separable,
    SqueezeExcitation,
    Twice,
)
from helpers.layers.spectrogram import KaldiMel, LogMel

EARS = {"log_mel": LogMel, "kaldi": KaldiMel}


class Classifier(nn.Module):
    """Audio (B, N) -> scores (B, labels), and the embedding (B, D) or scores of each frame (B, T, labels).

    What comes second says `config.outputs`; T is the number of frames of the front end.
    """

    def __init__(self, config: Config):
        super().__init__()
        front = config.front
        self.config = config
        self.front = EARS[front.ear](front.n_fft, front.hop, front.n_mels)
        self.network = Network(config)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(self.front(audio))


class Network(nn.Module):
    """What hears no sound but sees a picture of it: decibels (B, 1, T, n_mels) -> as `Classifier` gives."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm2d(config.front.n_mels) if config.normed else None  # over mel bands
        widths = [1, *(block.width for block in config.blocks)]
        self.blocks = nn.ModuleList(
            build(width, block, config.eps) for width, block in zip(widths, config.blocks)
        )
        head = config.head
        width = widths[-1]
        self.hidden = nn.Linear(width, head.hidden) if head.hidden else None
        self.activation = ACTIVATIONS[head.activation]()
        self.out = Output(head.hidden or width, head)

    def forward(self, decibels: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.pooled(decibels)
        embedding = self.embed(pooled)
        scores = self.scores(self.out(embedding))
        if not self.config.by_steps:
            return scores, pooled if self.config.head.embedding == "pooled" else embedding
        clip = scores.amax(1) if self.config.head.pool == "steps_max" else scores.mean(1)
        return clip, _stretched(scores, decibels.shape[2], self.config.stride)

    def pooled(self, decibels: Tensor) -> Tensor:
        """What the blocks make of a picture: (B, width), or (B, S, width) of a model that scores steps."""
        x = self.leveled(decibels)
        for block in self.blocks:
            x = block(x)
        return pooled(x, self.config.head.pool)

    def embed(self, pooled: Tensor) -> Tensor:
        """What the last layer looks at, (..., D)."""
        return pooled if self.hidden is None else self.activation(self.hidden(pooled))

    def leveled(self, x: Tensor) -> Tensor:
        """The picture as the first block gets it."""
        if self.config.front.level:
            x = x - x.mean((2, 3), keepdim=True)
        return x if self.norm is None else self.norm(x.transpose(1, 3)).transpose(1, 3)

    def scores(self, logits: Tensor) -> Tensor:
        """Each label for itself (several may be right), or shares of one."""
        return torch.sigmoid(logits) if self.config.head.scores == "sigmoid" else torch.softmax(logits, -1)


class Output(nn.Linear):
    """Logits (..., labels): linear, or the scaled cosine of the angle to each label's direction.

    (Wang et al. 2018, "CosFace"; Deng et al. 2019, "ArcFace", whose margins are the training's.)
    """

    def __init__(self, width: int, head: Head):
        super().__init__(width, head.n_labels, bias=head.output == "linear")
        self.scale = None if head.output == "linear" else head.scale

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            return super().forward(x)
        return self.scale * F.linear(F.normalize(x, dim=-1), F.normalize(self.weight, dim=-1))


def build(width: int, block: Block, eps: float) -> nn.Module:
    """One block that takes `width` channels."""
    how = (block.activation, block.striding, eps)
    if block.kind == "conv":
        return ConvNorm(width, block.width, block.kernel, block.stride, 1, *how)
    if block.kind == "twice":
        return Twice(width, block.width, block.stride, block.activation)
    if block.kind == "separable":
        return Separable(width, block.width, block.kernel, block.stride, *how)
    attention = None
    if block.attention == "se":
        activation = block.squeezing or block.activation
        attention = SqueezeExcitation(block.expanded, block.squeezed, activation)
    elif block.attention == "eca":
        attention = ChannelAttention()
    return Inverted(
        width, block.width, block.expanded, block.kernel, block.stride, block.activation, attention,
        block.kind == "fused", block.kind == "ghost", block.striding, eps,
    )  # fmt: skip


def pooled(x: Tensor, pool: str) -> Tensor:
    """(B, width, T, M) -> (B, width), or (B, T, width) where steps are scored; see `Head`."""
    if pool == "mean":
        return x.mean((2, 3))
    x = x.mean(3)
    if pool.startswith("steps"):
        return _smoothed(x).transpose(1, 2)
    return x.amax(2) + x.mean(2)


def _smoothed(x: Tensor) -> Tensor:
    """(B, width, S): the largest and the mean of each three neighbours, added; beyond the ends are zeros."""
    return F.max_pool1d(x, 3, 1, 1) + F.avg_pool1d(x, 3, 1, 1)


def _stretched(steps: Tensor, n_frames: int, stride: int) -> Tensor:
    """(B, S, labels) -> (B, n_frames, labels): each step for all of its frames, the last until the end."""
    places = torch.arange(n_frames, device=steps.device) // stride
    return steps.index_select(1, places.clamp(max=steps.shape[1] - 1))
