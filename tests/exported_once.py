"""Each graph is exported once a run: whoever exports the same one again gets the first one's file.

Much of a run's time would go into exports of a few models that many tests and notebooks need. The exporter
is deterministic (`test_the_same_model_gives_the_same_bytes`): all but the first would test nothing. What
bundles are made of goes through here; a test that calls `to_onnx` itself gets the exporter.
"""

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType, ModuleType

USERS = ("helpers.export.bundle", "helpers.classify.qdq")  # who exports what belongs to a bundle


def share(directory: str | os.PathLike) -> None:
    """Let the users, once imported, keep what they export in this directory, and look there first."""
    for user in USERS:
        if user in sys.modules:
            _change(sys.modules[user], Path(directory))
    sys.meta_path.insert(0, _AtImport(Path(directory)))


def _change(module: ModuleType, directory: Path) -> None:
    module.to_onnx = once(module.to_onnx, directory)


class _AtImport:
    """Finds the users' modules like anybody, and changes them when they are loaded."""

    def __init__(self, directory: Path):
        self.directory = directory

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name not in USERS:
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            _change(module, self.directory)

        spec.loader.exec_module = exec_module
        return spec


def once(to_onnx: Callable, directory: Path) -> Callable:
    """`to_onnx` that exports nothing for the second time; two that begin at once both export."""

    @functools.wraps(to_onnx)
    def looked_up(graph, *opset):
        import onnx_ir as ir

        graph.module.eval()
        try:
            path = directory / f"{fingerprint(graph, opset)}.onnx"
        except (TypeError, RecursionError):  # nobody can tell what it depends on
            return to_onnx(graph, *opset)
        if not path.exists():
            from helpers.support.files import written_whole

            model = to_onnx(graph, *opset)
            directory.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as temporary:
                ir.save(model, temporary)
            return model
        return ir.load(path)

    return looked_up


def fingerprint(graph, opset: tuple) -> str:
    """A hash of all that the export depends on. Raises TypeError where that can't be told."""
    digest = hashlib.sha256()
    _add(digest, [graph.module, graph.inputs, graph.outputs, graph.axes, graph.defaults, opset])
    return digest.hexdigest()


def _add(digest, thing: object) -> None:
    import torch

    kind = type(thing)
    digest.update(f"{kind.__module__}.{kind.__qualname__}:".encode())
    if isinstance(thing, torch.Tensor):
        digest.update(repr((thing.dtype, tuple(thing.shape))).encode())
        digest.update(thing.detach().contiguous().flatten().view(torch.uint8).numpy())
    elif thing is None or isinstance(thing, (str, int, float, bytes, torch.dtype, os.PathLike)):
        digest.update(repr(thing).encode())
    elif isinstance(thing, Mapping):
        _add(digest, [part for pair in thing.items() for part in pair])
    elif isinstance(thing, (list, tuple, set)):
        _all(digest, sorted(thing) if isinstance(thing, set) else thing)
    elif isinstance(thing, (type, FunctionType)) and thing.__module__.startswith(("helpers.", "torch.")):
        digest.update(f"{thing.__module__}.{thing.__qualname__}".encode())
        _all(digest, [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()])
    elif kind.__module__.startswith(("helpers.", "torch.")) and hasattr(thing, "__dict__"):
        _add(digest, vars(thing))
    else:  # made by a test or a reader: another of its name may compute something else
        raise TypeError(kind)


def _all(digest, things: Iterable[object]) -> None:
    for thing in things:
        _add(digest, thing)
    digest.update(b";")
