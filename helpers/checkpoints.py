"""Reading checkpoints without trusting them.

A `.pth` file is a pickle in a zip archive, and a pickle may run any code when it is loaded. PyTorch's
`weights_only` loader runs none: it builds tensors and plain containers and refuses every other name.
Public checkpoints mention a few more names (numpy scalars and training logs in the metadata, arrays of a
sampler's state); exactly those are let through, each mapped to a stand-in that only holds data.
"""

import os
import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers.support.config import LONGEST_NAME, shown
from helpers.support.errors import InputError
from helpers.support.files import check_name, read_json, sha256
from helpers.support.tables import megabytes

LORA_ENDINGS = (".lora_A", ".lora_B")
WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTER = "num_batches_tracked"  # the one whole number that layers keep: batch norms count training steps
STATES = ("state_dict", "model")  # what a file with more than tensors in it calls them
WRAPPERS = ("module.", "_orig_mod.", "ema_model.")
SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_SHARDS = 1000
MOST_SHARED = 8  # times a file: tensors may share numbers, but a small file must not become gigabytes
NUMERIC_KINDS = "biuf"  # the numpy kinds a scalar in the metadata may have


@dataclass(frozen=True)
class Checkpoint:
    """One file's content: tensors by name, as stored (float16 stays float16), and the metadata."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict
    prefix: str = ""  # what every name in the file begins with, left out here

    @property
    def called(self) -> str:
        """The file's name, and what was left out in front of every name in it."""
        return self.path.name + (f" (without {self.prefix!r}, which began every name)" if self.prefix else "")

    @property
    def kwargs(self) -> dict:
        """The constructor arguments that describe the model's shape; empty where the file has none."""
        return self.metadata.get("kwargs", {})

    @property
    def is_lora(self) -> bool:
        """Whether the file is an overlay: nothing but LoRA matrices."""
        return all(name.endswith(LORA_ENDINGS) for name in self.tensors)

    def sha256(self) -> str:
        """Of the file's bytes, as written into what is made from it."""
        return sha256(self.path)


def read(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint or a LoRA overlay, safely. Raises InputError with a line that says what is wrong.

    Tensors are mapped from the file, not copied: reading 1.3 GB takes no memory until they are used.
    """
    path = Path(path)
    content = read_dict(path)
    inside = next((name for name in STATES if name in content), None)
    tensors, metadata = (content[inside], content.get("metadata")) if inside else (content, {})
    tensors = named_tensors(path, tensors)
    prefix = _shared_prefix(tensors)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    metadata = _plain(metadata) if isinstance(metadata, dict) else {}
    if "kwargs" in metadata:
        metadata["kwargs"] = _plain(metadata["kwargs"]) if isinstance(metadata["kwargs"], dict) else {}
    return Checkpoint(path, tensors, metadata, prefix)


def read_dict(path: str | os.PathLike) -> dict:
    """What a `.pth` or `.bin` file holds, safely: tensors and plain values by name. Raises InputError."""
    content = _load(Path(path))
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds a {type(content).__name__}, not a checkpoint (a dict with 'state_dict')."
        )
    return _plain(content)


def named_tensors(path: Path, tensors: object) -> dict[str, Tensor]:
    """A dict from the file at `path` as weights by name. Raises InputError for what cannot be that."""
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"{path} is not a checkpoint: it has no named tensors.")
    n_bytes = path.stat().st_size
    checked = {name: _checked(path, name, tensor, n_bytes) for name, tensor in _plain(tensors).items()}
    claimed = sum(tensor.nbytes for tensor in checked.values())
    if claimed > MOST_SHARED * n_bytes:
        raise InputError(f"{path}: its tensors claim {claimed} bytes, the file has {n_bytes}.")
    return checked


def safetensors_files(directory: Path) -> list[Path]:
    """`model.safetensors`, or the shards that the index beside it names. Raises InputError."""
    index = directory / SAFETENSORS_INDEX
    if not index.is_file():
        return [directory / SAFETENSORS]
    content = read_json(index)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise InputError(f"{index} is damaged: it names no shards.")
    names = sorted(set(named.values()))
    for name in names:
        usable = Path(name).name == name and name.endswith(".safetensors") and len(name) <= LONGEST_NAME
        if not usable or len(names) > MOST_SHARDS:
            raise InputError(f"{index} names {shown(name)}, which is no shard beside it.")
    return [directory / name for name in names]


def read_safetensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """The tensors of one model in safetensors files, mapped and not copied. Raises InputError.

    The format (huggingface.co/docs/safetensors) is a table of names and the numbers behind it: nothing runs.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            if not path.is_file():
                raise InputError(
                    f"there is no file {path}; name a directory that holds it, or download it again."
                )
            check_name(path)
            found = load_file(path)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path} is damaged or not a safetensors file; download it again, or name another file."
            ) from error
        twice = sorted(tensors.keys() & found.keys())
        if twice:
            raise InputError(f"{path} holds {shown(twice[0])}, which another shard holds too.")
        tensors |= named_tensors(path, found)
    return tensors


def describe_tensors(tensors: Mapping[str, Tensor], n_parts: int = 8) -> Iterator[str]:
    """How many numbers of which kinds, and the largest parts by the first two words of their names."""
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    kinds = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    yield f"  {len(tensors)} tensors, {n_numbers:,} numbers, {megabytes(n_bytes)}, {kinds}"
    if not n_parts:
        return
    ordered = sorted(sizes_by_part(tensors).items(), key=lambda pair: -pair[1])
    rest = sum(size for _, size in ordered[n_parts:])
    others = [(f"{len(ordered) - n_parts} other parts", rest)] if rest else []
    for part, size in ordered[:n_parts] + others:
        yield f"    {megabytes(size):>10}  {part}"


def sizes_by_part(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Bytes by the first two parts of the tensors' names."""
    sizes: dict[str, int] = defaultdict(int)
    for name, tensor in tensors.items():
        sizes[".".join(name.split(".")[:2])] += tensor.nbytes
    return sizes


def _shared_prefix(names: Iterable[str]) -> str:
    """What wrappers put before every name: parallel training, compilation, a running mean of the weights."""
    shared = ""
    while True:
        found = [one for one in WRAPPERS if all(name.startswith(shared + one) for name in names)]
        if not found:
            return shared
        shared += found[0]


def _load(path: Path) -> object:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; name one .pth file in it.")
        if not path.is_file():
            raise InputError(f"there is no file {path}; name a .pth file.")
        check_name(path)
        is_zip = zipfile.is_zipfile(path)  # PyTorch before 1.6 wrote another format, which can't be mapped
        if is_zip:
            _check_archive(path)
        with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # whatever it warns of is refused below, or is no concern of a reader
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # a damaged or hostile file can fail in any way; none of it was run
        raise InputError(f"{path} {_refusal(str(error))}") from error


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.filename.endswith("constants.pkl") for entry in entries):
        raise InputError(
            f"{path} is a TorchScript program, not a checkpoint; name the file that holds its weights."
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):  # can't be mapped
        raise InputError(f"{path} is a compressed archive, not a checkpoint; unpack it first.")


def _refusal(message: str) -> str:
    name = re.search(r"GLOBAL (\S+) (?:was not|whose module)", message)
    if name:
        return f"asks to load {shown(name[1])}, which is not data: refused, and nothing of it was run."
    if re.search(r"Unsupported operand (67|149)\b", message):  # instructions of pickle protocol 3 and later
        return (
            "is damaged or was saved with a pickle protocol other than 2; save it with torch.save's default."
        )
    return "is damaged or not a PyTorch checkpoint; download it again, or name another file."


def _plain(mapping: dict) -> dict:
    """A copy without the attributes that a pickle may give an OrderedDict: a `get` that is a number, say."""
    return dict(dict.items(mapping))


def _checked(path: Path, name: str, tensor: object, n_bytes: int) -> Tensor:
    """The tensor, if a file of `n_bytes` can hold it, without the gradient and attributes it may have."""
    if not isinstance(tensor, Tensor):
        raise InputError(f"{path}: {shown(name)} is of type {type(tensor).__name__}; weights are tensors.")
    is_dense = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_nested
    counts = name.endswith(COUNTER) and tensor.dtype == torch.int64 and tensor.dim() == 0
    if not is_dense or not (tensor.dtype in WEIGHT_TYPES or counts):
        kind = f"{tensor.dtype} {tensor.layout}".replace("torch.", "")
        raise InputError(f"{path}: {shown(name)} is {kind}; weights are dense floating-point tensors.")
    tensor = torch.detach(tensor)
    if tensor.nbytes > n_bytes:  # a stride of 0 makes a tensor of any size from one number
        raise InputError(f"{path}: {shown(name)} claims {tensor.nbytes} bytes, more than the whole file has.")
    return tensor


# The stand-ins. Each takes the arguments that the pickle has for the real thing and keeps only data.


def _plain_dict(factory: object = None) -> dict:
    """For `defaultdict`: torch's loader fills only exact dicts, and nobody asks a log for a missing key."""
    return {}


def _nothing() -> None:
    """For a defaultdict's factory: named in the file, never called."""


class _NumberType:
    """For `numpy.dtype`: remembers the type's code, and the byte order that its state carries."""

    def __init__(self, code: str, *flags: object):
        self.code = str(code)
        self.order = "="

    def __setstate__(self, state: tuple) -> None:
        self.order = str(state[1])


class _Array:
    """For `numpy.ndarray`: what it held is let go, no model is made of it."""

    def __setstate__(self, state: tuple) -> None:
        pass


def _array(kind: type, shape: tuple, code: object) -> _Array:
    """For how numpy begins an array that it reads."""
    return _Array()


def _number(kind: _NumberType, data: bytes | str) -> bool | int | float:
    """For a numpy scalar: the Python number it holds."""
    kind = np.dtype(kind.code).newbyteorder(kind.order)
    if kind.kind not in NUMERIC_KINDS:
        raise ValueError(f"a numpy scalar of type {kind} in the metadata")
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind, count=1)[0].item()


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """For `_codecs.encode`: how pickle protocol 2 spells bytes."""
    return text.encode("latin1")


_STAND_INS: list[tuple[Callable, str]] = [
    (_plain_dict, "collections.defaultdict"),
    (_nothing, "audiotools.ml.decorators.default_list"),
    (_nothing, "builtins.list"),
    (_nothing, "builtins.dict"),
    (_nothing, "__builtin__.list"),
    (_nothing, "__builtin__.dict"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    (_NumberType, "numpy.dtype"),
    (_array, "numpy.core.multiarray._reconstruct"),
    (_array, "numpy._core.multiarray._reconstruct"),
    (_Array, "numpy.ndarray"),
    (_latin1, "_codecs.encode"),
]
