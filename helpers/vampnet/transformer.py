"""VampNet's transformer: masked acoustic-token modelling (Flores Garcia et al. 2023, arXiv 2307.04686).

One architecture serves twice: `coarse` fills in the first codebooks, `c2f` (coarse to fine) the others,
conditioned on the first. `TorchPipeline` puts both and the codec behind the methods of the runtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from helpers.layers import (
    CodebookEmbedding,
    FeedForward,
    FiLM,
    RelativeAttention,
    RelativePositionBias,
    RMSNorm,
)
from helpers.support.config import integer
from helpers.support.errors import InputError

COARSE_SECONDS, C2F_SECONDS = 10, 3  # the chunks the public models work in


@dataclass(frozen=True)
class VampNetConfig:
    """Everything about a transformer's shape, as the checkpoint's metadata names it."""

    n_heads: int
    n_layers: int
    n_codebooks: int
    n_conditioning_codebooks: int
    latent_dim: int
    embedding_dim: int
    vocab_size: int

    @classmethod
    def from_kwargs(cls, kwargs: Mapping) -> "VampNetConfig":
        """From a checkpoint's `metadata["kwargs"]`; keys it does not know are ignored. Raises InputError."""
        config = cls(
            n_heads=integer(kwargs, "n_heads"),
            n_layers=integer(kwargs, "n_layers"),
            n_codebooks=integer(kwargs, "n_codebooks"),
            n_conditioning_codebooks=integer(kwargs, "n_conditioning_codebooks", default=0, minimum=0),
            latent_dim=integer(kwargs, "latent_dim", default=8),
            embedding_dim=integer(kwargs, "embedding_dim"),
            vocab_size=integer(kwargs, "vocab_size", default=1024),
        )
        if integer(kwargs, "r_cond_dim", default=0, minimum=0):
            raise InputError(
                "'r_cond_dim' is above 0: this checkpoint needs a condition that no input carries."
            )
        if config.embedding_dim % config.n_heads:
            raise InputError(
                f"'embedding_dim' {config.embedding_dim} does not divide by 'n_heads' {config.n_heads}."
            )
        if config.n_conditioning_codebooks >= config.n_codebooks:
            raise InputError("'n_conditioning_codebooks' leaves no codebook to predict.")
        return config

    @property
    def n_predicted(self) -> int:
        """Codebooks the model predicts: those that do not condition it."""
        return self.n_codebooks - self.n_conditioning_codebooks


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each on the normalised input and added to it.

    x: (B, T, width), bias: (1, n_heads, T, T) -> (B, T, width). The public checkpoints have no condition:
    their FiLM layers are the identity.
    """

    def __init__(self, width: int, n_heads: int, condition_width: int = 0):
        super().__init__()
        self.norm_1 = RMSNorm(width)
        self.film_1 = FiLM(condition_width, width)
        self.self_attn = RelativeAttention(width, n_heads)
        self.norm_3 = RMSNorm(width)
        self.film_3 = FiLM(condition_width, width)
        self.feed_forward = FeedForward(width)

    def forward(self, x: Tensor, bias: Tensor, condition: Tensor | None = None) -> Tensor:
        x = x + self.self_attn(self.film_1(self.norm_1(x), condition), bias)
        return x + self.feed_forward(self.film_3(self.norm_3(x), condition))


class VampNet(nn.Module):
    """Codes int64 (B, C, T), MASK = vocab_size -> logits (B, P, T, vocab_size), P the predicted codebooks."""

    def __init__(self, config: VampNetConfig):
        super().__init__()
        self.config = config
        width = config.embedding_dim
        self.embedding = CodebookEmbedding(config.n_codebooks, config.vocab_size, config.latent_dim, width)
        self.position_bias = RelativePositionBias(config.n_heads)
        self.layers = nn.ModuleList(TransformerLayer(width, config.n_heads) for _ in range(config.n_layers))
        self.norm = RMSNorm(width)
        self.classifier = nn.Linear(width, config.vocab_size * config.n_predicted)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.embedding(codes)
        bias = self.position_bias(codes.shape[-1])  # computed once, used by every layer
        for layer in self.layers:
            x = layer(x, bias)
        # A frame's channels hold token 0 of every codebook, then token 1 of every codebook, and so on.
        return self.classifier(self.norm(x)).unflatten(-1, (self.config.vocab_size, -1)).permute(0, 3, 1, 2)
