"""VampNet's transformer: masked acoustic-token modelling (Flores Garcia et al. 2023, arXiv 2307.04686).

One architecture serves twice: `coarse` fills in the first codebooks, `c2f` (coarse to fine) the others,
conditioned on the first. `TorchPipeline` puts both and the codec behind the methods of the runtime.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from helpers.audio import seconds_to_frames
from helpers.codec import Codec, CodecConfig
from helpers.config import integer
from helpers.errors import InputError
from helpers.layers import (
    CodebookEmbedding,
    FeedForward,
    FiLM,
    RelativeAttention,
    RelativePositionBias,
    RMSNorm,
)
from helpers.runtime import Pipeline, Spec

COARSE_SECONDS, C2F_SECONDS = 10, 3  # the chunks the public models work in
# Layers that can't bear 8 bit: the largest number of the codebooks' rows sets the step for all of them, those
# that count most included. As notebook 06 measures, this layer alone costs more than all others together.
KEEP_IN_FLOAT = ("embedding.",)


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


class TorchPipeline(Pipeline):
    """The runtime's methods with PyTorch underneath: on the same noise it gives the same tokens."""

    def __init__(self, codec: Codec, coarse: VampNet, c2f: VampNet):
        self.codec, self.coarse_model, self.c2f_model = codec, coarse, c2f
        functions = {
            "codec_encoder": codec.encode,
            "codec_decoder": codec.decode,
            "coarse": coarse,
            "c2f": c2f,
        }
        super().__init__(
            pipeline_spec(codec.config, coarse.config, c2f.config),
            {name: on_numpy(f) for name, f in functions.items()},
        )

    @classmethod
    def open(cls, directory: str | os.PathLike, loras: Iterable[str | os.PathLike] = ()) -> "TorchPipeline":
        """Load `codec.pth`, `coarse.pth` and `c2f.pth` from a directory, LoRA overlays laid over them."""
        from helpers.transfer import (
            load_models,
        )  # transfer builds these models, so it can't be imported above

        models = load_models(directory, loras)
        return cls(models.codec, models.coarse, models.c2f)


def on_numpy(function: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """Wrap a PyTorch function so that arrays go in and come out, without gradients."""

    def run(array: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return function(torch.from_numpy(array)).numpy()

    return run


def pipeline_spec(codec: CodecConfig, coarse: VampNetConfig, c2f: VampNetConfig) -> Spec:
    """What the decoding loop must know of the three models. Raises InputError if they do not fit together."""
    for name, model in (("coarse", coarse), ("c2f", c2f)):
        if model.n_codebooks > codec.n_codebooks:
            raise InputError(f"{name} has {model.n_codebooks} codebooks, the codec {codec.n_codebooks}.")
    if coarse.n_conditioning_codebooks:
        raise InputError(
            "coarse has conditioning codebooks; is this a c2f checkpoint under the name coarse.pth?"
        )
    if c2f.n_codebooks != codec.n_codebooks:
        raise InputError(
            f"c2f has {c2f.n_codebooks} codebooks, the codec {codec.n_codebooks}; "
            "is this a coarse checkpoint under the name c2f.pth?"
        )
    if c2f.n_conditioning_codebooks > coarse.n_codebooks:
        raise InputError(
            f"c2f is conditioned on {c2f.n_conditioning_codebooks} codebooks, "
            f"coarse makes only {coarse.n_codebooks}."
        )
    return Spec(
        sample_rate=codec.sample_rate,
        hop=codec.hop,
        n_codebooks=codec.n_codebooks,
        codebook_size=codec.codebook_size,
        n_coarse_codebooks=coarse.n_codebooks,
        n_conditioning_codebooks=c2f.n_conditioning_codebooks,
        encoder_context=codec.encoder_context,
        decoder_context=codec.decoder_context,
        coarse_chunk=seconds_to_frames(COARSE_SECONDS, codec.sample_rate, codec.hop),
        c2f_chunk=seconds_to_frames(C2F_SECONDS, codec.sample_rate, codec.hop),
        shortest_input=next(hops for hops in range(1, 1000) if codec.frames(hops * codec.hop) > 0),
    )
