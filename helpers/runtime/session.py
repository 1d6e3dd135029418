"""One ONNX graph as a function of arrays."""

import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.runtime.manifest import changed_files, described_files, load_manifest
from helpers.support.errors import InputError, Notice, first_line, is_about_memory
from helpers.support.files import check_name

CPU = "CPUExecutionProvider"
MOST_SHOWN = 6  # of what a graph failed on
Graph = Callable[[np.ndarray], np.ndarray]


class OnnxGraph:
    """One graph as a function of arrays; its session starts at the first call.

    Arrays go in in the order of the graph's inputs or by name, those that have a default only by name; one
    output comes back alone, several as a tuple. It may be called from several threads at once; each call
    then computes on `threads` (0: one a core).
    keeps_memory: what one call needed is kept for the next, which is faster; set it before the first call.
    sha256: what the files must have, by name, as a manifest says; they are read once, before the session.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        providers: Sequence[str] = (CPU,),
        threads: int = 0,
        sha256: Mapping[str, str] | None = None,
    ):
        self.keeps_memory = True
        self.path = Path(path)
        self.providers = list(providers)
        self.threads = threads
        self.sha256 = sha256
        self.starting = threading.Lock()

    def __call__(self, *arrays: np.ndarray, **more: np.ndarray) -> np.ndarray | tuple[np.ndarray, ...]:
        with self.starting:
            session, names = self.session, self.inputs
        try:
            outputs = session.run(None, dict(zip(names[: len(arrays)], arrays, strict=True)) | more)
        except Exception as error:  # onnxruntime raises many kinds; the input was checked before
            if is_about_memory(error):
                raise MemoryError from error
            given = [f"{array.dtype} {array.shape}" for array in (*arrays, *more.values())]
            given = ", ".join([*given[:MOST_SHOWN], *["..."] * (len(given) > MOST_SHOWN)])
            raise InputError(
                f"{self.path} failed on {given} ({first_line(error)}); export it again."
            ) from error
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    @cached_property
    def session(self):
        """The onnxruntime.InferenceSession."""
        import onnxruntime  # a third of a second: not before it is needed

        check_name(self.path)
        if self.sha256 is not None:
            check_files(self.path, self.sha256)
        options = onnxruntime.SessionOptions()
        # Threads that spin while they wait starve whatever else runs: another session, a notebook, a browser.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = self.threads
        options.enable_cpu_mem_arena = self.keeps_memory
        options.log_severity_level = 4  # errors reach the user as exceptions, warnings are not for them
        try:
            session = onnxruntime.InferenceSession(str(self.path), options, providers=self.providers)
        except Exception as error:  # onnxruntime raises many kinds, nearly all of them about this file
            if is_about_memory(error):
                raise MemoryError from error
            raise InputError(
                f"{self.path} cannot be opened by ONNX Runtime ({first_line(error)}); export it again."
            ) from error
        running = session.get_providers()
        for name in self.providers:
            if name not in running:  # it is present, and failed to start without an error
                warnings.warn(
                    f"{name} could not be started: {self.path.name} uses {running[0]}.", Notice, stacklevel=2
                )
        return session

    @cached_property
    def inputs(self) -> list[str]:
        """The names of what goes in, in order."""
        return [value.name for value in self.session.get_inputs()]

    def close(self) -> None:
        """Let go of the session and its memory; the next call starts another."""
        self.__dict__.pop("session", None)


def check_files(path: Path, described: Mapping[str, str]) -> None:
    """Raise InputError unless a graph, and the weights beside it, are the files that a manifest describes."""
    if not path.is_file():
        raise InputError(f"{path} is not there any more; if the bundle was moved, open it where it is now.")
    weights = f"{path.name}.data"
    names = [path.name, *([weights] if weights in described or path.with_name(weights).exists() else [])]
    for problem in changed_files(path.parent, {name: described.get(name, "") for name in names}):
        raise InputError(f"{path.parent}: {problem}; export the bundle again.")


def open_graphs(
    bundle: str | os.PathLike, threads: Mapping[str, int], providers: str | Sequence[str] | None = None
) -> dict[str, OnnxGraph]:
    """The graphs of a bundle, by name; their sessions start when first used.

    threads: for each graph that must be there, on how many a call computes. Raises InputError for a bundle
    that lacks one.
    """
    described = described_files(bundle, load_manifest(bundle))
    chosen = available_providers([providers] if isinstance(providers, str) else providers or [])
    paths = {name: Path(bundle) / f"{name}.onnx" for name in threads}
    for path in paths.values():
        if not path.is_file():
            raise InputError(f"{bundle} is not a complete bundle: {path.name} is missing; export it again.")
    return {name: OnnxGraph(path, chosen, threads[name], described) for name, path in paths.items()}


def available_providers(wanted: Sequence[str]) -> list[str]:
    """Those of the execution providers that are there, CPU last; a warning names those that are not."""
    if not wanted:
        return [CPU]
    import onnxruntime

    present = onnxruntime.get_available_providers()
    chosen = [name for name in wanted if name in present]
    chosen += [CPU] if CPU not in chosen else []
    for name in wanted:
        if name not in present:
            warnings.warn(
                f"{name} is not available here ({', '.join(present)} are): using {chosen[0]}.",
                Notice,
                stacklevel=3,
            )
    return chosen
