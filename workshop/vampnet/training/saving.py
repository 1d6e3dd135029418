"""A trained model as a checkpoint in VampNet's file format, so that `helpers.transfer` reads it back."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.support.files import written_whole
from helpers.vampnet.codec import Codec
from helpers.vampnet.transformer import VampNet
from helpers.vampnet.weights import walk_codec, walk_vampnet
from workshop.training.collect import Collect


@dataclass
class CollectLoRA:
    """Takes only the two thin matrices beside each projection that has them (`lora.LowRank`)."""

    state: Mapping[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def copy(self, target: str, source: str, shape: tuple[int, ...] | None = None) -> None:
        """Not part of an overlay."""

    weight_norm = conv = copy

    def linear(self, target: str, prefix: str, alpha: float | None = None) -> None:
        if alpha is not None:
            for half in ("lora_A", "lora_B"):
                self.tensors[f"{prefix}.{half}"] = self.state[f"{target}.parametrizations.weight.0.{half}"]


def save_codec(
    path: str | os.PathLike,
    codec: Codec,
    kwargs: dict,
    dtype: torch.dtype = torch.float32,
    kept: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a codec whose convolutions carry weight norm.

    `kwargs` describe its shape to `CodecConfig.from_kwargs`; `dtype` is how the weights are stored. `kept`
    holds tensors of an earlier file, by name, that are written as they were, to the last bit.
    """
    collect = Collect(codec.state_dict())
    walk_codec(collect, codec.config)
    tensors = _stored(collect.tensors, dtype) | dict(kept or {})
    write_checkpoint(path, {"state_dict": tensors, "metadata": {"kwargs": kwargs}})


def save_vampnet(
    path: str | os.PathLike, model: VampNet, kwargs: dict, dtype: torch.dtype = torch.float32
) -> None:
    """Write a transformer. Of its token table only the MASK rows: the others are the codec's."""
    # The first layer may be trained in other units (`transformer.PerDeviation`); a file has its weight.
    first = {"embedding.out_proj.weight": model.embedding.out_proj.weight}
    collect = Collect(model.state_dict() | first)
    walk_vampnet(collect, model.config)
    rows = collect.state["embedding.table"].unflatten(0, (model.config.n_codebooks, -1))
    collect.tensors["embedding.special.MASK"] = rows[:, -1]
    write_checkpoint(path, {"state_dict": _stored(collect.tensors, dtype), "metadata": {"kwargs": kwargs}})


def save_lora(path: str | os.PathLike, model: VampNet, dtype: torch.dtype = torch.float32) -> None:
    """Write the overlay of a model that `lora.adapt` prepared: a bare dict of its matrices."""
    collect = CollectLoRA(model.state_dict())
    walk_vampnet(collect, model.config)
    write_checkpoint(path, _stored(collect.tensors, dtype))


def _stored(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", dtype).clone() for name, tensor in tensors.items()}


def write_checkpoint(path: str | os.PathLike, content: dict) -> None:
    # Through an open file: given a path, torch writes the temporary file's name into the archive.
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)
