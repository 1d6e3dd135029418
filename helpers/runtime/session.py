"""One ONNX graph as a function from array to array."""

import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.support.errors import InputError, Notice, first_line

CPU = "CPUExecutionProvider"
Graph = Callable[[np.ndarray], np.ndarray]


class OnnxGraph:
    """One graph of a bundle as a function from array to array; its session starts at the first call.

    It may be called from several threads at once; each call then computes on `threads` (0: one a core).
    keeps_memory: what one call needed is kept for the next, which is faster; set it before the first call.
    """

    def __init__(self, path: Path, providers: Sequence[str] = (CPU,), threads: int = 0):
        self.keeps_memory = True
        self.path = path
        self.providers = list(providers)
        self.threads = threads
        self.starting = threading.Lock()

    def __call__(self, array: np.ndarray) -> np.ndarray:
        with self.starting:
            session, feed = self.session, {self.input_name: array}
        try:
            return session.run(None, feed)[0]
        except Exception as error:  # onnxruntime raises many kinds; the input was checked before
            raise InputError(
                f"{self.path} failed on {array.dtype} {array.shape} ({first_line(error)}); export it again."
            ) from error

    @cached_property
    def session(self):
        """The onnxruntime.InferenceSession."""
        import onnxruntime  # a third of a second: not before it is needed

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.enable_cpu_mem_arena = self.keeps_memory
        options.log_severity_level = 4  # errors reach the user as exceptions, warnings are not for them
        try:
            session = onnxruntime.InferenceSession(str(self.path), options, providers=self.providers)
        except Exception as error:  # onnxruntime raises many kinds, all of them about this file
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
    def input_name(self) -> str:
        return self.session.get_inputs()[0].name

    def close(self) -> None:
        """Let go of the session and its memory; the next call starts another."""
        self.__dict__.pop("session", None)


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
