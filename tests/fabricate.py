"""Random checkpoints of any size in the real file format, and a pipeline of plain functions, for tests."""

import collections
import contextlib
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.spec import Spec

OLD, NEW = "weight_g/weight_v", "parametrizations.weight.original0/original1"
LOGS_FACTORY = "audiotools.ml.decorators"


@dataclass(frozen=True)
class Shape:
    """The parameters of one set of checkpoints; the defaults make a small ordinary one."""

    encoder_rates: tuple[int, ...] = (2, 4)
    decoder_rates: tuple[int, ...] = (4, 2)
    encoder_dim: int = 4
    decoder_dim: int = 16
    n_codebooks: int = 4
    codebook_size: int = 32
    codebook_dim: int = 8
    sample_rate: int = 16000
    n_coarse: int = 2
    n_conditioning: int = 2
    n_heads: int = 2
    width: int = 16
    n_layers: int = 1
    n_fine_layers: int = 2
    weight_norm: str = OLD
    lora: bool = False
    dtype: torch.dtype = torch.float32
    logs: bool = False

    @property
    def codec_kwargs(self):
        return {
            "encoder_dim": self.encoder_dim, "encoder_rates": list(self.encoder_rates),
            "decoder_dim": self.decoder_dim, "decoder_rates": list(self.decoder_rates),
            "n_codebooks": self.n_codebooks, "codebook_size": self.codebook_size,
            "codebook_dim": self.codebook_dim,
            "sample_rate": self.sample_rate, "quantizer_dropout": 0.5, "from_the_future": "ignored",
        }  # fmt: skip

    def transformer_kwargs(self, name):
        coarse = name == "coarse"
        return {
            "n_heads": self.n_heads, "n_layers": self.n_layers if coarse else self.n_fine_layers,
            "n_codebooks": self.n_coarse if coarse else self.n_codebooks,
            "n_conditioning_codebooks": 0 if coarse else self.n_conditioning,
            "latent_dim": self.codebook_dim, "embedding_dim": self.width, "vocab_size": self.codebook_size,
            "r_cond_dim": 0, "dropout": 0.1,
        }  # fmt: skip


class Weights:
    """Collects named random tensors; gains are chosen so that signals neither vanish nor explode."""

    def __init__(self, shape, seed):
        self.shape, self.tensors = shape, {}
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, name, *size, scale=1.0, mean=0.0):
        values = mean + scale * torch.randn(*size, generator=self.generator)
        self.tensors[name] = values.to(self.shape.dtype)

    def conv(self, prefix, *size, gain=1.0, bias=None):
        g, v = (f"{prefix}.{part}" for part in ("weight_g", "weight_v"))
        if self.shape.weight_norm == NEW:
            g, v = (f"{prefix}.parametrizations.weight.original{i}" for i in (0, 1))
        self.normal(f"{prefix}.bias", bias or size[0], scale=0.1)
        self.normal(g, size[0], *(1 for _ in size[1:]), scale=0.1 * gain, mean=gain)
        self.normal(v, *size)

    def snake(self, prefix, channels):
        self.normal(f"{prefix}.alpha", 1, channels, 1, scale=0.2, mean=1.0)

    def residual(self, prefix, width, kernel, second_kernel):
        self.snake(f"{prefix}.0", width)
        self.conv(f"{prefix}.1", width, width, kernel)
        self.snake(f"{prefix}.2", width)
        self.conv(f"{prefix}.3", width, width, second_kernel, gain=0.3)

    def linear(self, prefix, rows, columns, lora):
        self.normal(f"{prefix}.weight", rows, columns, scale=columns**-0.5)
        if lora:
            self.lora(prefix, rows, columns)

    def lora(self, prefix, rows, columns, rank=8):
        self.normal(f"{prefix}.lora_A", rank, columns, scale=columns**-0.5)
        self.normal(f"{prefix}.lora_B", rows, rank)


def codec_tensors(shape, seed=0):
    weights, width = Weights(shape, seed), shape.encoder_dim
    weights.conv("encoder.block.0", width, 1, 7, gain=3.0)
    for i, rate in enumerate(shape.encoder_rates, start=1):
        block = f"encoder.block.{i}.block"
        for j in range(3):
            weights.residual(f"{block}.{j}.block", width, 7, 1)
        weights.snake(f"{block}.3", width)
        weights.conv(f"{block}.4", 2 * width, width, 2 * rate)
        width *= 2
    n, latent = len(shape.encoder_rates), width
    weights.snake(f"encoder.block.{n + 1}", width)
    weights.conv(f"encoder.block.{n + 2}", latent, width, 3)
    for i in range(shape.n_codebooks):
        prefix = f"quantizer.quantizers.{i}"
        weights.conv(f"{prefix}.in_proj", shape.codebook_dim, latent, 1)
        weights.normal(f"{prefix}.codebook.weight", shape.codebook_size, shape.codebook_dim)
        weights.conv(f"{prefix}.out_proj", latent, shape.codebook_dim, 1, gain=0.5)
    width = shape.decoder_dim
    weights.conv("decoder.model.0", width, latent, 7)
    for i, rate in enumerate(shape.decoder_rates, start=1):
        block = f"decoder.model.{i}.block"
        weights.snake(f"{block}.0", width)
        weights.conv(f"{block}.1", width, width // 2, 2 * rate, gain=rate**0.5, bias=width // 2)
        width //= 2
        for j, kernel in enumerate((3, 7, 11)):
            for k in range(3):
                weights.residual(f"{block}.2.mrf_blocks.{j}.block.{k}.layer", width, kernel, kernel)
    n = len(shape.decoder_rates)
    weights.snake(f"decoder.model.{n + 1}", width)
    weights.conv(f"decoder.model.{n + 2}", 1, width, 7, gain=0.3)
    return weights.tensors


def projections(shape, layer):
    """Prefix, rows, columns and whether LoRA may adapt it, for each projection of one layer."""
    attention, feed_forward, d = f"{layer}.self_attn", f"{layer}.feed_forward", shape.width
    yield from ((f"{attention}.{name}", d, d, name != "w_ks") for name in ("w_qs", "w_ks", "w_vs", "fc"))
    yield f"{feed_forward}.w_1", 4 * d, d, True
    yield f"{feed_forward}.w_2", d, 2 * d, True


def transformer_tensors(shape, name, seed=0):
    kwargs, weights = shape.transformer_kwargs(name), Weights(shape, seed)
    latent, d = kwargs["latent_dim"], shape.width
    weights.normal("embedding.special.MASK", kwargs["n_codebooks"], latent)
    weights.normal("embedding.out_proj.weight", d, kwargs["n_codebooks"] * latent, 1, scale=0.3)
    weights.normal("embedding.out_proj.bias", d, scale=0.1)
    for i in range(kwargs["n_layers"]):
        layer = f"transformer.layers.{i}"
        weights.normal(f"{layer}.norm_1.weight", d, scale=0.2, mean=1.0)
        weights.normal(f"{layer}.norm_3.weight", d, scale=0.2, mean=1.0)
        for prefix, rows, columns, may_adapt in projections(shape, layer):
            weights.linear(prefix, rows, columns, shape.lora and may_adapt)
        if i == 0:
            weights.normal(f"{layer}.self_attn.relative_attention_bias.weight", 32, shape.n_heads)
    weights.normal("transformer.norm.weight", d, scale=0.2, mean=1.0)
    channels = shape.codebook_size * (kwargs["n_codebooks"] - kwargs["n_conditioning_codebooks"])
    weights.conv("classifier.layers.0", channels, d, 1, gain=0.7)
    return weights.tensors


def lora_tensors(shape, name, seed=100, rank=8):
    """A fine-tune: nothing but LoRA pairs, for every projection that may carry one."""
    weights = Weights(shape, seed)
    for i in range(shape.transformer_kwargs(name)["n_layers"]):
        for prefix, rows, columns, may_adapt in projections(shape, f"transformer.layers.{i}"):
            if may_adapt:
                weights.lora(prefix, rows, columns, rank)
    return weights.tensors


@contextlib.contextmanager
def logs_factory():
    """A function that pickles as the global `audiotools.ml.decorators.default_list` while the block runs."""

    def default_list():
        return []

    default_list.__module__, default_list.__qualname__ = LOGS_FACTORY, "default_list"
    modules = {name: types.ModuleType(name) for name in ("audiotools", "audiotools.ml", LOGS_FACTORY)}
    modules[LOGS_FACTORY].default_list = default_list
    sys.modules.update(modules)
    try:
        yield default_list
    finally:
        for name in modules:
            del sys.modules[name]


def save(path, tensors, kwargs, logs=False):
    """Write one file; `logs` adds what a training run leaves in the metadata."""
    metadata = {"kwargs": dict(kwargs)}
    with logs_factory() as default_list:
        if logs:
            history = collections.defaultdict(default_list)
            history["loss"] += [np.float64(0.5), np.float32(0.25), 1]
            tracker = {"step": np.int64(400000), "history": history, "done": np.bool_(True)}
            metadata |= {"logs": history, "tracker": tracker}
        torch.save({"state_dict": tensors, "metadata": metadata}, path)


def checkpoints(directory: Path, shape: Shape = Shape(), seed: int = 0) -> Path:
    """Write codec.pth, coarse.pth and c2f.pth."""
    directory.mkdir(parents=True, exist_ok=True)
    save(directory / "codec.pth", codec_tensors(shape, seed), shape.codec_kwargs, shape.logs)
    for i, name in enumerate(("coarse", "c2f"), start=1):
        save(
            directory / f"{name}.pth",
            transformer_tensors(shape, name, seed + i),
            shape.transformer_kwargs(name),
            shape.logs,
        )
    return directory


def token_logits(n_read, n_predicted, size, seed):
    """A stand-in for a transformer: logits (B, P, T, V) from the tokens of a frame and of the one before."""
    table = np.random.default_rng(seed).standard_normal((n_read, size + 1, n_predicted, size), np.float32)

    def logits(codes):
        own = sum(table[book][codes[:, book]] for book in range(n_read))
        left = np.pad(own, [(0, 0), (1, 0), (0, 0), (0, 0)])[:, :-1]
        return (own + np.float32(0.5) * left).swapaxes(1, 2)

    return logits


def plain_pipeline(size=7, n_codebooks=4, n_coarse=2, n_conditioning=2):
    """The runtime over stand-ins that take microseconds: for tests of the loops, not of the models."""
    spec = Spec(
        sample_rate=100, hop=10, n_codebooks=n_codebooks, codebook_size=size, n_coarse_codebooks=n_coarse,
        n_conditioning_codebooks=n_conditioning, encoder_context=0, decoder_context=0, shortest_input=1,
        coarse_chunk=100, c2f_chunk=30,
    )  # fmt: skip
    graphs = {
        "coarse": token_logits(n_coarse, n_coarse, size, seed=0),
        "c2f": token_logits(n_codebooks, n_codebooks - n_conditioning, size, seed=1),
    }
    return Pipeline(spec, graphs)
