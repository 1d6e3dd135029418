"""Weights from a checkpoint into the models, every tensor accounted for.

A tensor is copied, folded into another (weight norm, LoRA, the codec's tables into the transformer's
embedding) or named as unused with the reason. Anything else is an error that names it: a missing tensor,
one that nobody asked for, a wrong shape, a NaN. What went where is in the `TransferReport`.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from helpers import checkpoints
from helpers.checkpoints import LORA_ENDINGS, Checkpoint
from helpers.codec import Codec, CodecConfig
from helpers.config import shown
from helpers.errors import InputError
from helpers.tables import Table
from helpers.vampnet import VampNet, VampNetConfig

CLOSE = 1e-6  # folding rounds once to float32: differences beyond this share of the largest weight are a bug
LORA_ALPHA = 1.0
MOST_SHOWN = 5  # problems that an error names; the others are counted
WEIGHT_NORM_SPELLINGS = (
    ("weight_g", "weight_v"),  # torch.nn.utils.weight_norm, as trained
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),  # re-saved by a newer PyTorch
)


@dataclass(frozen=True)
class TransferRow:
    """Where one or more checkpoint tensors went. `target` is empty for a tensor that is not used."""

    sources: tuple[str, ...]
    target: str
    shape: tuple[int, ...]
    how: str
    difference: float = 0.0  # largest absolute difference from the same folding in float64
    scale: float = 0.0  # largest absolute weight

    @property
    def status(self) -> str:
        """exact (the same bits), close (folded, rounded once to float32), different, or unused."""
        if not self.target:
            return "unused"
        if self.difference == 0:
            return "exact"
        return "close" if self.difference <= CLOSE * self.scale else "different"


STATUSES = ("exact", "close", "different", "unused")


@dataclass(frozen=True, repr=False)
class TransferReport(Table):
    """Where every tensor of one checkpoint went; prints as a table in a terminal and in a notebook."""

    headings = ("from", "to", "shape", "how", "status", "difference")
    name: str
    rows: tuple[TransferRow, ...]

    @property
    def sources(self) -> list[str]:
        """Every checkpoint tensor the report accounts for."""
        return [source for row in self.rows for source in row.sources]

    @property
    def unused(self) -> list[TransferRow]:
        """The rows of tensors that were deliberately left out; `how` gives the reason."""
        return [row for row in self.rows if not row.target]

    @property
    def largest_difference(self) -> float:
        """The largest absolute difference of any weight from its float64 value."""
        return max(row.difference for row in self.rows)

    def summary(self) -> str:
        """One line: how many tensors went where."""
        count = {
            status: sum(len(row.sources) for row in self.rows if row.status == status) for status in STATUSES
        }
        parts = [f"{n} {status}" for status, n in count.items() if n]
        n = len(self.sources)
        accounted = f"{n} of {n} tensors accounted for ({', '.join(parts)})"
        return f"{self.name}: {accounted}, largest difference {self.largest_difference:.1e}"

    def cells(self) -> list[tuple[str, ...]]:
        return [_cells(row) for row in self.rows]


def _cells(row: TransferRow) -> tuple[str, ...]:
    first, *others = row.sources
    source = first + (f" (+{len(others)})" if others else "")
    difference = f"{row.difference:.1e}" if row.difference else "0"
    return source, row.target or "-", "x".join(map(str, row.shape)), row.how, row.status, difference


@dataclass
class Transfer:
    """Moves the tensors of one checkpoint into one module, which was built on the meta device.

    The methods take the name of a parameter of the module and the name (or prefix) of its source.
    Problems are collected, so that the error can name them all; `finish` raises it or loads the weights.
    """

    name: str
    module: nn.Module
    tensors: dict[str, Tensor]
    problems: list[str] = field(default_factory=list)
    rows: list[TransferRow] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.targets = dict(self.module.named_parameters())

    def take(self, source: str, shape: tuple[int | None, ...]) -> Tensor | None:
        """The source tensor as stored; None, and a problem noted, if it is missing or wrong.

        In `shape`, None fits any size but zero.
        """
        self.seen.add(source)
        tensor = self.tensors.get(source)
        if tensor is None:
            self.problems.append(f"'{source}' is missing")
        elif len(tensor.shape) != len(shape) or any(
            n != want if want else n == 0 for want, n in zip(shape, tensor.shape)
        ):
            wanted = "x".join("any" if n is None else str(n) for n in shape)
            self.problems.append(
                f"'{source}' has shape {'x'.join(map(str, tensor.shape))}, should be {wanted}"
            )
        elif not tensor.isfinite().all():
            self.problems.append(f"'{source}' holds NaN or infinite values")
        else:
            return tensor
        return None

    def put(self, target: str, sources: Iterable[str], how: str, exact: Tensor) -> None:
        """Set a parameter to `exact` (float64 where it was computed) rounded to float32, and add its row."""
        value = exact.float().reshape(self.targets[target].shape).contiguous()
        if not value.isfinite().all():
            named = " and ".join(f"'{source}'" for source in sources)
            self.problems.append(f"{named} would become NaN or infinite in float32")
            return
        self.values[target] = value
        difference = (value.double().reshape(exact.shape) - exact.double()).abs().max().item()
        self.rows.append(
            TransferRow(tuple(sources), target, tuple(value.shape), how, difference, value.abs().max().item())
        )

    def copy(self, target: str, source: str, shape: tuple[int, ...] | None = None) -> None:
        """The same numbers; `shape` is the source's where it differs from the parameter's."""
        tensor = self.take(source, shape or tuple(self.targets[target].shape))
        if tensor is not None:
            self.put(target, [source], "copied", tensor)

    def weight_norm(self, target: str, prefix: str, shape: tuple[int, ...] | None = None) -> None:
        """w = g v / ||v||, the norm over all but the first dimension (Salimans & Kingma 2016)."""
        shape = shape or tuple(self.targets[target].shape)
        plain = f"{prefix}.weight"
        if plain in self.tensors:  # saved after the normalisation was removed
            self.copy(target, plain, shape)
            return
        spellings = [tuple(f"{prefix}.{part}" for part in spelling) for spelling in WEIGHT_NORM_SPELLINGS]
        names = next((pair for pair in spellings if any(name in self.tensors for name in pair)), spellings[0])
        gain = self.take(names[0], (shape[0],) + (1,) * (len(shape) - 1))
        direction = self.take(names[1], shape)
        if gain is None or direction is None:
            return
        length = direction.double().flatten(1).norm(dim=1).reshape(gain.shape)
        self.put(target, names, "weight norm folded", gain.double() * direction.double() / length)

    def conv(self, target: str, prefix: str) -> None:
        """A weight-normed convolution with its bias."""
        self.copy(f"{target}.bias", f"{prefix}.bias")
        self.weight_norm(f"{target}.weight", prefix)

    def linear(self, target: str, prefix: str, may_adapt: bool) -> None:
        """A projection without bias; with LoRA matrices beside it, w + (alpha / r) B A (Hu et al. 2021)."""
        rows, columns = self.targets[f"{target}.weight"].shape
        adapters = [f"{prefix}{ending}" for ending in LORA_ENDINGS]
        if not may_adapt or not any(name in self.tensors for name in adapters):
            self.copy(f"{target}.weight", f"{prefix}.weight")
            return
        weight = self.take(f"{prefix}.weight", (rows, columns))
        down = self.take(adapters[0], (None, columns))
        up = self.take(adapters[1], (rows, None))
        if weight is None or down is None or up is None:
            return
        if down.shape[0] != up.shape[1]:
            self.problems.append(
                f"'{adapters[0]}' has rank {down.shape[0]}, '{adapters[1]}' has rank {up.shape[1]}"
            )
        else:
            update = LORA_ALPHA / down.shape[0] * (up.double() @ down.double())
            self.put(
                f"{target}.weight", (f"{prefix}.weight", *adapters), "LoRA folded", weight.double() + update
            )

    def leave(self, source: str, reason: str) -> None:
        """Name a tensor that is deliberately not used."""
        tensor = self.tensors.get(source)
        if tensor is not None:
            self.seen.add(source)
            self.rows.append(TransferRow((source,), "", tuple(tensor.shape), reason))

    def finish(self) -> TransferReport:
        """Load the weights. Raises InputError naming every tensor that is missing, left over or wrong."""
        self.problems += [
            f"{shown(name)} is not part of this model" for name in self.tensors if name not in self.seen
        ]
        self.problems += [
            f"'{row.target}' differs from its source by {row.difference:.1e}"
            for row in self.rows
            if row.status == "different"
        ]
        if self.problems:
            more = f"; and {len(self.problems) - MOST_SHOWN} more" if len(self.problems) > MOST_SHOWN else ""
            raise InputError(f"{self.name}: {'; '.join(self.problems[:MOST_SHOWN])}{more}.")
        self.module.load_state_dict(self.values, assign=True)
        self.module.requires_grad_(False).eval()
        return TransferReport(self.name, tuple(self.rows))


def transfer_codec(checkpoint: Checkpoint) -> tuple[Codec, TransferReport]:
    """Build the codec that a checkpoint describes and fill it. Raises InputError."""
    config = _config(checkpoint, CodecConfig, "encoder_rates", "codec")
    _check_depth(checkpoint, len(config.encoder_rates) + len(config.decoder_rates) + config.n_codebooks)
    codec = _built(checkpoint, Codec, config)
    move = Transfer(checkpoint.path.name, codec, checkpoint.tensors)
    walk_codec(move, config)
    return codec, move.finish()


class Move(Protocol):
    """Is told of each tensor of a model: its name in the module, its name (or prefix) in a checkpoint.

    `Transfer` fills a module on the way; what writes checkpoints walks the same names the other way.
    """

    def copy(self, target: str, source: str, shape: tuple[int, ...] | None = None) -> None: ...

    def weight_norm(self, target: str, prefix: str, shape: tuple[int, ...] | None = None) -> None: ...

    def conv(self, target: str, prefix: str) -> None: ...

    def linear(self, target: str, prefix: str, may_adapt: bool) -> None: ...


def walk_codec(move: Move, config: CodecConfig) -> None:
    """Tell `move` of every tensor of a codec: the one list of their names, for reading and for writing."""
    _encoder(move, len(config.encoder_rates))
    for i in range(config.n_codebooks):
        book = f"quantizer.quantizers.{i}"
        move.conv(f"{book}.in_proj", f"{book}.in_proj")
        move.copy(f"{book}.codebook", f"{book}.codebook.weight")
        move.conv(f"{book}.out_proj", f"{book}.out_proj")
    _decoder(move, len(config.decoder_rates))


def _residual_layer(move: Move, target: str, source: str) -> None:
    for part, index in (("snake_1", 0), ("snake_2", 2)):
        move.copy(f"{target}.{part}.alpha", f"{source}.{index}.alpha")
    for part, index in (("conv_1", 1), ("conv_2", 3)):
        move.conv(f"{target}.{part}", f"{source}.{index}")


def _encoder(move: Move, n_stages: int) -> None:
    move.conv("encoder.conv_in", "encoder.block.0")
    for i in range(n_stages):
        stage, block = f"encoder.stages.{i}", f"encoder.block.{i + 1}.block"
        for j in range(3):
            _residual_layer(move, f"{stage}.layers.{j}", f"{block}.{j}.block")
        move.copy(f"{stage}.snake.alpha", f"{block}.3.alpha")
        move.conv(f"{stage}.downsample", f"{block}.4")
    move.copy("encoder.snake.alpha", f"encoder.block.{n_stages + 1}.alpha")
    move.conv("encoder.conv_out", f"encoder.block.{n_stages + 2}")


def _decoder(move: Move, n_stages: int) -> None:
    move.conv("decoder.conv_in", "decoder.model.0")
    for i in range(n_stages):
        stage, block = f"decoder.stages.{i}", f"decoder.model.{i + 1}.block"
        move.copy(f"{stage}.snake.alpha", f"{block}.0.alpha")
        move.conv(f"{stage}.upsample", f"{block}.1")
        for j in range(3):
            for k in range(3):
                _residual_layer(
                    move, f"{stage}.mix.stacks.{j}.{k}", f"{block}.2.mrf_blocks.{j}.block.{k}.layer"
                )
    move.copy("decoder.snake.alpha", f"decoder.model.{n_stages + 1}.alpha")
    move.conv("decoder.conv_out", f"decoder.model.{n_stages + 2}")


def transfer_vampnet(
    checkpoint: Checkpoint, codec: Checkpoint, loras: Iterable[Checkpoint] = ()
) -> tuple[VampNet, TransferReport]:
    """Build the transformer that a checkpoint describes and fill it, overlays laid over it in order.

    The codec's checkpoint is needed too: a transformer has no token table of its own. Raises InputError.
    """
    _refuse_other_architectures(checkpoint)
    config = _config(checkpoint, VampNetConfig, "n_heads", "transformer")
    _check_depth(checkpoint, config.n_layers)
    tensors, replaced = _laid_over(checkpoint, loras)
    tables = {
        f"{CODEC}{name}": tensor
        for name, tensor in codec.tensors.items()
        if name.endswith(".codebook.weight")
    }
    if config.n_codebooks > len(tables):
        raise InputError(
            f"{checkpoint.path} reads {config.n_codebooks} codebooks, {codec.path} has {len(tables)}: "
            "they don't belong together."
        )
    model = _built(checkpoint, VampNet, config)
    move = Transfer(checkpoint.path.name, model, tensors | tables)
    move.problems += [
        f"{shown(name)} is not part of this model" for name in tensors if name.startswith(CODEC)
    ]
    move.rows += replaced
    _embedding(move, config, len(tables))
    walk_vampnet(move, config)
    return model, move.finish()


def walk_vampnet(move: Move, config: VampNetConfig) -> None:
    """Tell `move` of every tensor of a transformer but its token table, which is made of two files."""
    width, latents = config.embedding_dim, config.n_codebooks * config.latent_dim
    move.copy("embedding.out_proj.weight", "embedding.out_proj.weight", (width, latents, 1))
    move.copy("embedding.out_proj.bias", "embedding.out_proj.bias")
    move.copy("position_bias.weight", "transformer.layers.0.self_attn.relative_attention_bias.weight")
    for i in range(config.n_layers):
        ours, theirs = f"layers.{i}", f"transformer.layers.{i}"
        move.copy(f"{ours}.norm_1.weight", f"{theirs}.norm_1.weight")
        for part in ("w_qs", "w_ks", "w_vs", "fc"):
            move.linear(f"{ours}.self_attn.{part}", f"{theirs}.self_attn.{part}", may_adapt=part != "w_ks")
        move.copy(f"{ours}.norm_3.weight", f"{theirs}.norm_3.weight")
        for part in ("w_1", "w_2"):
            move.linear(f"{ours}.feed_forward.{part}", f"{theirs}.feed_forward.{part}", may_adapt=True)
    move.copy("norm.weight", "transformer.norm.weight")
    move.copy("classifier.bias", "classifier.layers.0.bias")
    channels = config.vocab_size * config.n_predicted
    move.weight_norm("classifier.weight", "classifier.layers.0", (channels, width, 1))


CODEC = "codec:"  # marks a source that comes from the codec's file


def _embedding(move: Transfer, config: VampNetConfig, n_tables: int) -> None:
    """The codec's codebooks, each with its MASK row, into one table."""
    mask_source = "embedding.special.MASK"
    masks = move.take(mask_source, (config.n_codebooks, config.latent_dim))
    sources = [f"{CODEC}quantizer.quantizers.{i}.codebook.weight" for i in range(config.n_codebooks)]
    tables = [move.take(source, (config.vocab_size, config.latent_dim)) for source in sources]
    if masks is not None and all(table is not None for table in tables):
        rows = [part for table, mask in zip(tables, masks) for part in (table, mask[None])]
        move.put("embedding.table", [mask_source, *sources], "codec tables and MASK joined", torch.cat(rows))
    for i in range(config.n_codebooks, n_tables):
        move.leave(
            f"{CODEC}quantizer.quantizers.{i}.codebook.weight", "of a codebook this model does not read"
        )


def _config(checkpoint: Checkpoint, kind: type, telling: str, called: str) -> CodecConfig | VampNetConfig:
    if checkpoint.is_lora:
        raise InputError(f"{checkpoint.path} is a LoRA overlay; lay it over a whole checkpoint with --lora.")
    if telling not in checkpoint.kwargs:
        raise InputError(f"{checkpoint.path} is not a {called}: its metadata has no '{telling}'.")
    try:
        return kind.from_kwargs(checkpoint.kwargs)
    except InputError as error:
        raise InputError(f"{checkpoint.path}: {error}") from error


def _check_depth(checkpoint: Checkpoint, n_parts: int) -> None:
    """A part has at least one tensor: don't start to build what a hostile file only claims to hold."""
    if n_parts > len(checkpoint.tensors):
        raise InputError(
            f"{checkpoint.path}: the metadata describes {n_parts} layers, "
            f"the file holds {len(checkpoint.tensors)} tensors."
        )


def _built(checkpoint: Checkpoint, kind: type, config: CodecConfig | VampNetConfig) -> nn.Module:
    """The module, its parameters shapes without memory: the weights come from the file."""
    try:
        with torch.device("meta"):
            return kind(config)
    except (
        RuntimeError,
        TypeError,
        OverflowError,
    ) as error:  # PyTorch's ways to say that a shape is too large
        raise InputError(f"{checkpoint.path}: no model can be as large as the metadata describes.") from error


def _refuse_other_architectures(checkpoint: Checkpoint) -> None:
    for marker, what in (
        ("Wqkv", "packed flash attention, which has no position bias"),
        ("ctrl_encoder", "a 'ctrl_encoder'"),
    ):
        name = next((name for name in checkpoint.tensors if marker in name), None)
        if name is not None:
            raise InputError(
                f"{checkpoint.path} uses {what} ({shown(name)}); this course has no layer for it."
            )


def _check_pairs(lora: Checkpoint) -> None:
    """Both halves of every pair: an overlay whose other half came from the base would be a third model."""
    down, up = LORA_ENDINGS
    stems = {name[: -len(down)] for name in lora.tensors}
    for name in (stem + ending for stem in sorted(stems) for ending in (down, up)):
        if name not in lora.tensors:
            raise InputError(f"{lora.path}: {shown(name)} is missing, the other half of the pair is there.")


def _laid_over(
    checkpoint: Checkpoint, loras: Iterable[Checkpoint]
) -> tuple[dict[str, Tensor], list[TransferRow]]:
    """The checkpoint's tensors with the overlays' in their place, and rows for those that had to go."""
    tensors, replaced = dict(checkpoint.tensors), []
    file_of = dict.fromkeys(tensors, checkpoint.path.name)
    for lora in loras:
        _check_pairs(lora)
        for name, tensor in lora.tensors.items():
            if name in tensors:
                source, shape = f"{file_of[name]}:{name}", tuple(tensors[name].shape)
                replaced.append(TransferRow((source,), "", shape, f"replaced by {lora.path.name}"))
            tensors[name], file_of[name] = tensor, lora.path.name
    return tensors, replaced


@dataclass(frozen=True)
class Models:
    """The three models of a checkpoint directory, how their weights got there, and from which files."""

    codec: Codec
    coarse: VampNet
    c2f: VampNet
    reports: dict[str, TransferReport]
    sources: dict[str, Checkpoint]
    loras: dict[str, list[Checkpoint]]


@dataclass(frozen=True)
class Sources:
    """The files of a checkpoint directory and the overlays of each transformer, read but not yet used."""

    files: dict[str, Checkpoint]
    loras: dict[str, list[Checkpoint]]

    @classmethod
    def of(cls, directory: str | os.PathLike, loras: Iterable[str | os.PathLike] = ()) -> "Sources":
        """Map the files; they take memory once a model is built. Raises InputError that names the file."""
        files = {name: checkpoints.read(path) for name, path in checkpoints.find(directory).items()}
        return cls(files, assign_loras(files, [checkpoints.read(path) for path in loras]))

    def model(self, name: str) -> tuple[Codec | VampNet, TransferReport]:
        """Build and fill "codec", "coarse" or "c2f". Raises InputError that names the file and the tensor."""
        codec = self.files["codec"]
        if name == "codec":
            return transfer_codec(codec)
        return transfer_vampnet(self.files[name], codec, self.loras[name])


def load_models(directory: str | os.PathLike, loras: Iterable[str | os.PathLike] = ()) -> Models:
    """Read, build and fill all three models. Raises InputError that names the file and the tensor."""
    sources = Sources.of(directory, loras)
    built = {name: sources.model(name) for name in sources.files}
    models = {name: model for name, (model, _) in built.items()}
    reports = {name: report for name, (_, report) in built.items()}
    return Models(**models, reports=reports, sources=sources.files, loras=sources.loras)


def assign_loras(sources: dict[str, Checkpoint], loras: Iterable[Checkpoint]) -> dict[str, list[Checkpoint]]:
    """Which transformer each overlay belongs to: the one it fits; of two, the one its file is named after."""
    assigned: dict[str, list[Checkpoint]] = {"coarse": [], "c2f": []}
    for lora in loras:
        if not lora.is_lora:
            raise InputError(
                f"{lora.path} is a whole checkpoint, not a LoRA overlay; put it in the checkpoint directory."
            )
        misfits = {name: _misfit(lora, sources[name]) for name in assigned}
        fitting = [name for name in assigned if misfits[name] is None]
        if len(fitting) > 1:
            fitting = [name for name in fitting if name in Path(lora.path).name.lower()] or fitting
        if len(fitting) > 1:
            fitting = [name for name in fitting if _layers(lora) == _layers(sources[name])] or fitting
        if not fitting:
            reasons = [f"{name}.pth has no place for {shown(misfit)}" for name, misfit in misfits.items()]
            raise InputError(
                f"{lora.path} fits neither transformer: {', '.join(reasons)} (other layers or widths)."
            )
        if len(fitting) > 1:
            raise InputError(
                f"{lora.path} fits both coarse.pth and c2f.pth; put 'coarse' or 'c2f' into its name."
            )
        assigned[fitting[0]].append(lora)
    return assigned


def _misfit(lora: Checkpoint, base: Checkpoint) -> str | None:
    """The first matrix of the overlay that has no weight of its size in the base; None if all have."""
    for name, tensor in lora.tensors.items():
        stem, half = name.rsplit(".", 1)
        weight = base.tensors.get(f"{stem}.weight")
        if weight is None or weight.dim() != 2 or tensor.dim() != 2:
            return name
        side = 1 if half == "lora_A" else 0
        if tensor.shape[side] != weight.shape[side]:
            return name
    return None


def _layers(checkpoint: Checkpoint) -> set[str]:
    return {name.split(".")[2] for name in checkpoint.tensors if name.startswith("transformer.layers.")}
