"""A trained model as a checkpoint in VampNet's file format, so that `helpers.transfer` reads it back."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.codec import Codec
from helpers.files import written_whole
from helpers.transfer import walk_codec


@dataclass
class Collect:
    """The inverse of `transfer.Transfer`: takes a trained module's tensors and names them as the files do.

    It walks the same list of names. A normalised weight is stored as it was trained, gain and direction.
    """

    state: Mapping[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def copy(self, target: str, source: str) -> None:
        self.tensors[source] = self.state[target]

    def weight_norm(self, target: str, prefix: str) -> None:
        module, weight = target.rsplit(".", 1)
        for part, name in (("original0", "weight_g"), ("original1", "weight_v")):
            self.tensors[f"{prefix}.{name}"] = self.state[f"{module}.parametrizations.{weight}.{part}"]

    def conv(self, target: str, prefix: str) -> None:
        self.copy(f"{target}.bias", f"{prefix}.bias")
        self.weight_norm(f"{target}.weight", prefix)


def save_codec(
    path: str | os.PathLike, codec: Codec, kwargs: dict, dtype: torch.dtype = torch.float32
) -> None:
    """Write a codec whose convolutions carry weight norm.

    `kwargs` describe its shape to `CodecConfig.from_kwargs`; `dtype` is how the weights are stored.
    """
    collect = Collect(codec.state_dict())
    walk_codec(collect, codec.config)
    tensors = {name: tensor.detach().to("cpu", dtype).clone() for name, tensor in collect.tensors.items()}
    with written_whole(path) as temporary:
        torch.save({"state_dict": tensors, "metadata": {"kwargs": kwargs}}, temporary)
