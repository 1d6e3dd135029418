"""Graphs into files, and files into a directory that appears whole or not at all."""

import contextlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import onnx
import onnx_ir as ir

from helpers.export import onnx_file
from helpers.export.graph import GraphToExport, to_onnx
from helpers.quantize import smaller
from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support import files, unfinished
from helpers.support.config import shown
from helpers.support.errors import InputError

PROTOBUF_LIMIT = 2_000_000_000  # bytes of weights beyond which one file can't hold them
TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def save_graph(
    model: ir.Model,
    path: str | os.PathLike,
    metadata: Mapping[str, str] | None = None,
    external_data: bool = False,
) -> None:
    """Write an ONNX file; its weights go to `NAME.onnx.data` when asked to, or when too big for one file."""
    path = Path(path)
    model.metadata_props.update(metadata or {})
    n_bytes = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    model.producer_name, model.producer_version = "audio-models-everywhere", ""
    if external_data or n_bytes > PROTOBUF_LIMIT:
        ir.save(model, path, external_data=f"{path.name}.data")
        onnx.checker.check_model(str(path))
    else:
        onnx_file.write(model, path)


def write_graph(
    graph: GraphToExport,
    path: Path,
    opset: int,
    metadata: dict[str, str],
    external_data: bool,
    precision: str,
) -> None:
    """Export one module to a file; below float32 by way of a float32 file that does not stay."""
    if precision == "fp32":
        save_graph(to_onnx(graph, opset), path, metadata, external_data)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        save_graph(to_onnx(graph, opset), whole, metadata, external_data)
        method = graph.methods.get(precision, precision)
        reduced = ir.from_proto(smaller(whole, method, graph.keep_in_float, exact=graph.keep_exact))
    save_graph(reduced, path, {"precision": precision}, external_data)


def write_bundle(
    out: str | os.PathLike,
    graphs: Mapping[str, GraphToExport],
    precisions: Mapping[str, str],
    manifest: Mapping[str, object],
    opset: int,
    external_data: bool,
    on_graph: Callable[[str], object],
    metadata: Callable[[str], Mapping[str, str]],
    beside: Iterable[Path] = (),
    composed: Mapping[str, Callable[[Path, Mapping[str, str]], object]] = MappingProxyType({}),
) -> Path:
    """Write graphs, copies of the files `beside` and `bundle.json` into `out`, whole or not at all.

    precisions: of each graph, one of `quantize.PRECISIONS`. manifest: what it says of the model; opset,
    precisions, the files' SHA-256 and the tools' versions are added. on_graph: gets each graph's name before
    it is exported. metadata: what a graph says of itself, by its name. composed: graphs made of these by
    functions that get the directory, to write NAME.onnx into, and the metadata. Raises InputError.
    """
    out = Path(out)
    check_out(out, manifest["model"])
    versions = {tool: importlib.metadata.version(tool) for tool in TOOLS}
    with bundle_directory(out) as directory:
        for name, graph in graphs.items():
            on_graph(name)
            says = {"graph": name, "precision": "fp32", "tools": json.dumps(versions), **metadata(name)}
            write_graph(graph, directory / f"{name}.onnx", opset, says, external_data, precisions[name])
        for name, compose in composed.items():
            on_graph(name)
            compose(directory, {"graph": name, "tools": json.dumps(versions), **metadata(name)})
        for path in beside:
            shutil.copyfile(path, directory / path.name)
        described = {path.name: files.sha256(path) for path in sorted(directory.iterdir())}
        made = {"opset": opset, "precision": dict(precisions), "sha256": described, "tools": versions}
        files.write_json(directory / MANIFEST, {"format": 1, **manifest, **made})
        check_out(out, manifest["model"])  # an export takes minutes, and there may be another
    return out


def check_out(out: Path, model: object) -> None:
    """Raise InputError where a bundle of another model would be replaced."""
    try:
        there = load_manifest(out).get("model")
    except (InputError, OSError):  # there is no bundle; what else is there, `bundle_directory` looks at
        return
    if there != model:
        raise InputError(f"{out} holds a bundle of the kind {shown(there)}; name another directory.")


@contextlib.contextmanager
def bundle_directory(out: Path) -> Iterator[Path]:
    """Yield a temporary directory; move what it holds to `out` when the block ends without an error.

    Files of an earlier bundle in `out` are replaced, anything else in it stays. After an error, Ctrl-C
    included, `out` is as it was. Of two that write at once the later one's files stay, all of them.
    """
    files.check_name(out)
    try:
        is_new = not _exists(out)
        if not is_new and not out.is_dir():
            raise InputError(f"{out} is no directory; name one for the bundle.")
        _check_replaceable(out)
        home = files.existing_parent(out) if is_new else out  # on the disk that the bundle is to lie on
        with unfinished.directory(home) as temporary:
            files.check_name(temporary)
            yield temporary
            if is_new and not _exists(out):
                temporary.chmod(files.usual_mode(0o777))  # until now it was for its owner alone
                out.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, out)
                return
            with unfinished.alone_in(out, wait=True):
                _check_replaceable(out)
                _replace_files(temporary, out)
    except OSError as error:
        raise InputError(f"cannot write the bundle {out}: {error.strerror or error}.") from error


def _check_replaceable(out: Path) -> None:
    """Raise InputError where something has the name of a graph or of the manifest, and is no bundle's."""
    earlier = _graph_files(out)
    for path in (*out.glob("*.onnx*"), *out.glob(MANIFEST)):
        if not path.is_file() or path.name not in earlier + [MANIFEST] * bool(earlier):
            raise InputError(f"{path} is no earlier bundle's; remove it or name another directory.")


def _exists(path: Path) -> bool:
    """Whether something is there. Raises OSError for a name that can't be."""
    try:
        os.lstat(path)
        return True
    except FileNotFoundError:
        return False


def _replace_files(new: Path, out: Path) -> None:
    """Move a bundle over another; put the old one back if that fails.

    The manifest goes first and comes last: without it there is no bundle.
    """
    arriving = [path.name for path in sorted(new.iterdir()) if path.name != MANIFEST]
    names = [MANIFEST, *sorted({*arriving, *_graph_files(out)})]
    old = Path(tempfile.mkdtemp(dir=new))
    leaving = [(out / name, old / name) for name in names if (out / name).is_file()]
    arriving = [(new / name, out / name) for name in reversed(names) if (new / name).is_file()]
    moved = []
    try:
        for source, target in leaving + arriving:
            os.replace(source, target)
            moved.append((source, target))
    except BaseException:
        for source, target in reversed(moved):
            os.replace(target, source)
        raise


def _graph_files(bundle: Path) -> list[str]:
    """The graphs and weights of an earlier bundle: what it says it holds, nothing that may be somebody's."""
    try:
        described = load_manifest(bundle).get("sha256")
    except InputError:
        return []
    names = described if isinstance(described, dict) else {}
    return [name for name in names if Path(name).name == name and name.endswith((".onnx", ".onnx.data"))]
