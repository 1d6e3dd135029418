"""VampNet's weights: the names a checkpoint gives them, and those they have in the modules."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from helpers import checkpoints
from helpers.audio.signal import seconds_to_frames
from helpers.checkpoints import LORA_ENDINGS, Checkpoint
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.transfer import Move, Transfer, TransferReport, TransferRow, built, check_depth
from helpers.vampnet.codec import Codec, CodecConfig
from helpers.vampnet.files import find
from helpers.vampnet.spec import Spec
from helpers.vampnet.transformer import C2F_SECONDS, COARSE_SECONDS, VampNet, VampNetConfig


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


def transfer_codec(checkpoint: Checkpoint) -> tuple[Codec, TransferReport]:
    """Build the codec that a checkpoint describes and fill it. Raises InputError."""
    config = _config(checkpoint, CodecConfig, "encoder_rates", "codec")
    n_parts = len(config.encoder_rates) + len(config.decoder_rates) + config.n_codebooks
    check_depth(checkpoint.path, n_parts, checkpoint.tensors)
    codec = built(checkpoint.path, Codec, config)
    move = Transfer(checkpoint.called, codec, checkpoint.tensors)
    walk_codec(move, config)
    return codec, move.finish()


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
    check_depth(checkpoint.path, config.n_layers, checkpoint.tensors)
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
    model = built(checkpoint.path, VampNet, config)
    move = Transfer(checkpoint.called, model, tensors | tables)
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
            alpha = None if part == "w_ks" else LORA_ALPHA
            move.linear(f"{ours}.self_attn.{part}", f"{theirs}.self_attn.{part}", alpha)
        move.copy(f"{ours}.norm_3.weight", f"{theirs}.norm_3.weight")
        for part in ("w_1", "w_2"):
            move.linear(f"{ours}.feed_forward.{part}", f"{theirs}.feed_forward.{part}", LORA_ALPHA)
    move.copy("norm.weight", "transformer.norm.weight")
    move.copy("classifier.bias", "classifier.layers.0.bias")
    channels = config.vocab_size * config.n_predicted
    move.weight_norm("classifier.weight", "classifier.layers.0", (channels, width, 1))


LORA_ALPHA = 1.0  # of every overlay that VampNet's training code makes; the files do not say
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
        files = {name: checkpoints.read(path) for name, path in find(directory).items()}
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
