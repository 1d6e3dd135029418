"""What an ONNX file holds, in words and in numbers."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import onnx

from helpers.runtime.manifest import load_manifest
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.support.files import parse_json
from helpers.support.tables import megabytes

LARGEST_GRAPH = 2**31  # bytes: protobuf counts them in 32 bits


def describe_bundle(bundle: Path) -> Iterator[str]:
    """What a bundle says of itself, and its files. Raises InputError."""
    manifest = load_manifest(bundle)
    yield f"{bundle}: a bundle of {shown(manifest.get('model'))}, opset {shown(manifest.get('opset'))}"
    for name, value in manifest.items():
        if isinstance(value, int | float | str) and name not in ("format", "model", "opset"):
            yield f"  {name} = {shown(value)}"
    precisions = manifest.get("precision")
    for path in sorted(bundle.glob("*.onnx")):
        precision = precisions.get(path.stem) if isinstance(precisions, dict) else None
        stored = f", {shown(precision)}" if precision else ""  # one made of the others has none of its own
        yield f"  {megabytes(path.stat().st_size):>10}  {path.name}{stored}"


def describe_graph(path: Path) -> Iterator[str]:
    """Inputs, outputs, opset, operators, sizes, precision and provenance of an ONNX file."""
    try:
        if not path.is_file():  # a pipe, or a link to a device, would be read for ever
            raise InputError(f"{path} is no file.")
        if path.stat().st_size > LARGEST_GRAPH:
            raise InputError(f"{path} is over 2 GB, more than an ONNX file can have without external data.")
        yield from _lines(path, onnx.load(path, load_external_data=False))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # protobuf's own errors have no public name, and names may be no text
        raise InputError(f"{path} is damaged or not an ONNX file ({type(error).__name__}).") from error


def _lines(path: Path, model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    if not graph.node and not graph.output:
        raise InputError(f"{path} is damaged or not an ONNX file (it holds no graph).")
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    size = megabytes(path.stat().st_size)
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
        by_kind[_kind(weight.data_type)].append(_n_elements(weight))
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
            megabytes(beside.stat().st_size) if Path(name).name == name and beside.is_file() else "MISSING"
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
    return f"{_kind(tensor.elem_type)} ({shape})"


def _kind(number: int) -> str:
    known = number in onnx.TensorProto.DataType.values()
    return onnx.TensorProto.DataType.Name(number).lower() if known else f"type {number}"


def _n_elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _plain(text: str) -> str:
    """A metadata value, JSON of one level as `key value` pairs; cut, because a file may hold anything."""
    try:
        value = parse_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        text = ", ".join(f"{key} {shown(item)[:20]}" for key, item in value.items())
    return " ".join(text.split())[:300]
