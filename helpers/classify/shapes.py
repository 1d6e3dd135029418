"""Sizes that are read off a checkpoint's tensors."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from helpers.support.errors import InputError


def size(path: Path, tensors: Mapping[str, Tensor], name: str, n_axes: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there, with so many axes. Raises InputError that names it."""
    tensor = tensors.get(name)
    if tensor is None or tensor.dim() != n_axes or 0 in tensor.shape:
        what = "is missing" if tensor is None else f"has the shape {tuple(tensor.shape)}"
        raise InputError(f"{path}: '{name}' {what}.")
    return tuple(tensor.shape)
