"""What a file holds, in words: a checkpoint before it is transferred, a graph after it was exported."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from helpers.checkpoints import LORA_ENDINGS, Checkpoint, read
from helpers.codec import CodecConfig
from helpers.errors import InputError
from helpers.transfer import WEIGHT_NORM_SPELLINGS
from helpers.vampnet import VampNetConfig

MOST_SHOWN = 8


def describe(path: str | os.PathLike) -> str:
    """Several lines about a `.pth` or `.onnx` file, told apart by the name. Raises InputError."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; name one .pth or .onnx file in it.")
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    lines = describe_graph(path) if path.suffix.lower() == ".onnx" else describe_checkpoint(read(path))
    return "\n".join(lines)


def describe_checkpoint(checkpoint: Checkpoint) -> Iterator[str]:
    """Architecture, tensors, sizes, and what is unusual."""
    yield f"{checkpoint.path}: {architecture(checkpoint)}"
    tensors = checkpoint.tensors
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    kinds = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    yield f"  {len(tensors)} tensors, {n_numbers:,} numbers, {_megabytes(n_bytes)}, {kinds}"
    for part, size in _largest(sizes_by_part(checkpoint)):
        yield f"    {_megabytes(size):>10}  {part}"
    for name, value in checkpoint.kwargs.items():
        yield f"  {name} = {value!r:.100}"
    for line in unusual(checkpoint):
        yield f"  note: {line}"


def architecture(checkpoint: Checkpoint) -> str:
    """One line: what kind of model, and its shape."""
    if checkpoint.is_lora:
        pairs = sum(name.endswith(LORA_ENDINGS[0]) for name in checkpoint.tensors)
        return f"a LoRA overlay of {pairs} pairs, to be laid over a VampNet transformer"
    kwargs = checkpoint.kwargs
    if "encoder_rates" in kwargs:
        config = CodecConfig.from_kwargs(kwargs)
        return (
            f"a neural codec, {config.sample_rate} Hz, hop {config.hop} "
            f"({config.sample_rate / config.hop:.1f} frames/s), "
            f"{config.n_codebooks} codebooks of {config.codebook_size}"
        )
    if "n_heads" in kwargs:
        config = VampNetConfig.from_kwargs(kwargs)
        return (
            f"a VampNet transformer, {config.n_layers} layers, width {config.embedding_dim}, "
            f"{config.n_heads} heads, {config.n_codebooks} codebooks of {config.vocab_size}, "
            f"{config.n_conditioning_codebooks} of them given"
        )
    return "a checkpoint of a model this course does not know"


def sizes_by_part(checkpoint: Checkpoint) -> dict[str, int]:
    """Bytes by the first two parts of the tensors' names."""
    sizes: dict[str, int] = defaultdict(int)
    for name, tensor in checkpoint.tensors.items():
        sizes[".".join(name.split(".")[:2])] += tensor.nbytes
    return sizes


def unusual(checkpoint: Checkpoint) -> Iterator[str]:
    """What a reader of the file should know beyond its shape."""
    tensors = checkpoint.tensors
    for (gain, direction), words in zip(WEIGHT_NORM_SPELLINGS, ("as trained", "re-saved by a newer PyTorch")):
        count = sum(name.endswith(f".{gain}") for name in tensors)
        if count:
            yield f"{count} weight-normed layer{'s' * (count > 1)}, spelled {gain} and {direction} ({words})"
    lora = sum(name.endswith(LORA_ENDINGS) for name in tensors)
    if lora and not checkpoint.is_lora:
        yield f"{lora} LoRA matrices inside, folded into the weights on transfer"
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        yield f"NaN or infinite values in {_some(broken)}"
    others = sorted(set(checkpoint.metadata) - {"kwargs"})
    if others:
        yield f"metadata besides kwargs: {_some(others)}"


def describe_graph(path: Path) -> Iterator[str]:
    """Inputs, outputs, opset, operators, sizes, precision and provenance of an ONNX file."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own errors have no public name
        raise InputError(f"{path} is damaged or not an ONNX file ({type(error).__name__}).") from error
    graph = model.graph
    if not graph.node and not graph.output:
        raise InputError(f"{path} is damaged or not an ONNX file (it holds no graph).")
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    size = _megabytes(path.stat().st_size)
    yield f"{path}: ONNX, opset {opsets}, written by {model.producer_name or 'unknown'}, {size}"
    weights = {value.name for value in graph.initializer}
    for label, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            if value.name not in weights:
                yield f"  {label:6} {value.name}: {_type(value)}"
    yield f"  {len(graph.node)} nodes: " + ", ".join(
        f"{count} {name}" for name, count in _operators(graph).most_common()
    )
    by_kind: dict[str, list[int]] = defaultdict(list)
    for weight in graph.initializer:
        by_kind[onnx.TensorProto.DataType.Name(weight.data_type).lower()].append(_n_elements(weight))
    precision = ", ".join(
        f"{sum(counts):,} {kind}" for kind, counts in sorted(by_kind.items(), key=lambda pair: -sum(pair[1]))
    )
    yield f"  {len(graph.initializer)} weights: {precision or 'none'}"
    outside = {
        entry.value
        for weight in graph.initializer
        for entry in weight.external_data
        if entry.key == "location"
    }
    for name in sorted(outside):
        beside = path.parent / name
        state = (
            _megabytes(beside.stat().st_size) if Path(name).name == name and beside.is_file() else "MISSING"
        )
        yield f"  external data: {name!r:.100} ({state})"
    for entry in model.metadata_props:
        yield f"  {entry.key}: {_plain(entry.value)}"


def nodes(path: str | os.PathLike) -> list[str]:
    """One line a node of an ONNX file: the operation, and the sizes of its weights."""
    graph = onnx.load(path).graph
    constants = {weight.name: list(weight.dims) for weight in graph.initializer}
    lines = []
    for node in graph.node:
        given = [f"weight {constants[name]}" if name in constants else "." for name in node.input if name]
        lines.append(f"{node.op_type:28} ({', '.join(given)})")
    return lines


def operators(path: str | os.PathLike) -> Counter[str]:
    """How often each operator occurs in an ONNX file; one that is not ONNX's own has its domain in front."""
    return _operators(onnx.load(path, load_external_data=False).graph)


def _operators(graph: onnx.GraphProto) -> Counter[str]:
    return Counter(f"{node.domain + '.' if node.domain else ''}{node.op_type}" for node in graph.node)


def weights_by_part(path: str | os.PathLike) -> dict[str, int]:
    """Bytes of an ONNX file's weights by the first two parts of their names, whole bytes a number.

    What has no name in the model, such as a shape that the exporter stored, is counted as constants.
    """
    sizes: dict[str, int] = defaultdict(int)
    for weight in onnx.load(path, load_external_data=False).graph.initializer:
        part = ".".join(weight.name.split(".")[:2]) if "." in weight.name else "constants"
        n_bytes = onnx.helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize
        sizes[part] += _n_elements(weight) * n_bytes
    return sizes


def _type(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    shape = ", ".join(
        d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?") for d in tensor.shape.dim
    )
    return f"{onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} ({shape})"


def _n_elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _plain(text: str) -> str:
    """A metadata value, JSON of one level as `key value` pairs; cut, because a file may hold anything."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        text = ", ".join(f"{key} {str(item)[:20]}" for key, item in value.items())
    return " ".join(text.split())[:300]


def _largest(sizes: dict[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(sizes.items(), key=lambda pair: -pair[1])
    rest = sum(size for _, size in ordered[MOST_SHOWN:])
    return ordered[:MOST_SHOWN] + ([(f"{len(ordered) - MOST_SHOWN} other parts", rest)] if rest else [])


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(str(name)[:100] for name in names[:3]) + more


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.2f} MB"
