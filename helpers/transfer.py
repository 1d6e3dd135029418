"""Weights from a checkpoint into a module, every tensor accounted for.

A tensor is copied, folded into another (weight norm, LoRA) or named as unused with the reason. Anything
else is an error that names it: a missing tensor, one that nobody asked for, a wrong shape, a NaN. What
went where is in the `TransferReport`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from helpers.checkpoints import COUNTER, LORA_ENDINGS
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.support.tables import Table


def on_numpy(function: Callable[..., Tensor | tuple[Tensor, ...]]) -> Callable:
    """Wrap a PyTorch function so that arrays go in and come out, without gradients."""

    def run(*arrays: np.ndarray) -> np.ndarray | tuple[np.ndarray, ...]:
        with torch.inference_mode():
            made = function(*map(torch.from_numpy, arrays))
        return tuple(one.numpy() for one in made) if isinstance(made, tuple) else made.numpy()

    return run


CLOSE = 1e-6  # folding rounds once to float32: differences beyond this share of the largest weight are a bug
MOST_IN_FRONT = 3  # parts of a name that may have been put there by wrappers
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

    The methods take the name of a parameter or buffer of the module and the name (or prefix) of its source.
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
        self.targets = dict(self.module.named_parameters()) | dict(self.module.named_buffers())

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

    def batch_norm(self, target: str, prefix: str) -> None:
        """A batch norm: scale, shift, and the mean and variance it found in training."""
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.copy(f"{target}.{part}", f"{prefix}.{part}")
        variance = self.values.get(f"{target}.running_var")
        if variance is not None and (variance < 0).any():
            self.problems.append(f"'{prefix}.running_var' holds a negative variance")
        self.leave(f"{prefix}.{COUNTER}", "counts training steps")

    def linear(self, target: str, prefix: str, alpha: float | None = None) -> None:
        """A projection without bias; with LoRA matrices beside it, w + (alpha / r) B A (Hu et al. 2021).

        The rank r is the matrices' own. alpha is nowhere in the tensors: it is a setting of the training,
        and a wrong one changes the model without a word. None: no matrices are expected, any are left over.
        """
        rows, columns = self.targets[f"{target}.weight"].shape
        adapters = [f"{prefix}{ending}" for ending in LORA_ENDINGS]
        if alpha is None or not any(name in self.tensors for name in adapters):
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
            update = alpha / down.shape[0] * (up.double() @ down.double())
            self.put(
                f"{target}.weight", (f"{prefix}.weight", *adapters), "LoRA folded", weight.double() + update
            )

    def split(self, targets: Sequence[str], source: str) -> None:
        """One source that holds several parameters, one below the other."""
        shapes = [tuple(self.targets[target].shape) for target in targets]
        tensor = self.take(source, (sum(shape[0] for shape in shapes), *shapes[0][1:]))
        if tensor is None:
            return
        self.values |= zip(targets, (part.float() for part in tensor.split([shape[0] for shape in shapes])))
        whole = tuple(tensor.shape)
        self.rows.append(TransferRow((source,), " + ".join(targets), whole, f"split in {len(targets)}"))

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
            self.problems[:0] = self._in_front()
            more = f"; and {len(self.problems) - MOST_SHOWN} more" if len(self.problems) > MOST_SHOWN else ""
            raise InputError(f"{self.name}: {'; '.join(self.problems[:MOST_SHOWN])}{more}.")
        self.module.load_state_dict(self.values, assign=True)
        self.module.requires_grad_(False).eval()
        return TransferReport(self.name, tuple(self.rows))

    def _in_front(self) -> list[str]:
        """Names that are missing may be there with something in front, put there by what the model was in."""
        missing = self.seen - self.tensors.keys()
        fronts = Counter(
            front for name in self.tensors for front in _fronts(name) if name.removeprefix(front) in missing
        )
        left = self.tensors.keys() - self.seen
        return [
            f"{'every' if all(name.startswith(front) for name in left) else 'a'} name left over begins with "
            f"{shown(front)}, which a wrapper put there: leave it out"
            for front, _ in fronts.most_common(1)
        ]


def _fronts(name: str) -> Iterator[str]:
    """What a name begins with, up to each of its first dots."""
    parts = name.split(".")
    yield from (".".join(parts[:n]) + "." for n in range(1, min(len(parts), MOST_IN_FRONT + 1)))


class Move(Protocol):
    """Is told of each tensor of a model: its name in the module, its name (or prefix) in a checkpoint.

    `Transfer` fills a module on the way; what writes checkpoints walks the same names the other way.
    """

    def copy(self, target: str, source: str, shape: tuple[int, ...] | None = None) -> None: ...

    def weight_norm(self, target: str, prefix: str, shape: tuple[int, ...] | None = None) -> None: ...

    def conv(self, target: str, prefix: str) -> None: ...

    def linear(self, target: str, prefix: str, alpha: float | None = None) -> None: ...

    def split(self, targets: Sequence[str], source: str) -> None: ...


Built = TypeVar("Built", bound=nn.Module)


def check_depth(path: Path, n_parts: int, tensors: Mapping[str, Tensor]) -> None:
    """A part has at least one tensor: don't start to build what a hostile file only claims to hold."""
    if n_parts > len(tensors):
        raise InputError(
            f"{path}: the metadata describes {n_parts} layers, the file holds {len(tensors)} tensors."
        )


def built(path: Path, kind: Callable[[object], Built], config: object) -> Built:
    """The module, its parameters shapes without memory: the weights come from the file at `path`."""
    try:
        with torch.device("meta"):
            return kind(config)
    except (RuntimeError, TypeError, OverflowError) as error:  # PyTorch's ways to say: too large a shape
        raise InputError(f"{path}: no model can be as large as the metadata describes.") from error
