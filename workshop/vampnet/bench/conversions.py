"""The course's VampNet for runtimes other than ONNX Runtime: a function for each of them.

The course needs none of them, so each is imported where it is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from helpers.runtime.session import Graph
from helpers.transfer import on_numpy

TIME = 2  # the axis of samples and of frames, in everything that goes in
FRAMES, LONGEST = 287, 1024  # 5 s; the most that a runtime is told to expect, where it wants to know


@dataclass(frozen=True)
class Part:
    """One graph: the module it is made from, its ONNX file, and what goes into both, (1, channels, steps)."""

    name: str
    module: nn.Module
    onnx: Path
    given: np.ndarray

    @property
    def example(self) -> tuple[torch.Tensor]:
        return (torch.from_numpy(self.given),)

    @property
    def step(self) -> int:
        """What a frame takes along TIME: 1, or its samples."""
        return round(self.given.shape[TIME] / FRAMES)

    @property
    def shorter(self) -> np.ndarray:
        """Half of the input."""
        return np.ascontiguousarray(self.given[..., : FRAMES // 2 * self.step])

    def exported(self, longest: int | None = None) -> torch.export.ExportedProgram:
        """By torch.export, for every number of frames, or up to `longest`."""
        most = {} if longest is None else {"max": longest * self.step}
        axis = torch.export.Dim.AUTO(min=2 * self.step, **most)
        return torch.export.export(self.module, self.example, dynamic_shapes=({TIME: axis},))


Converted = Graph | None  # what runs the files that were written, where this can be done


def to_torchscript(part: Part, folder: Path) -> Converted:
    """Traced, as libtorch loads it in C++."""
    path = folder / f"{part.name}.ts"
    torch.jit.freeze(torch.jit.trace(part.module, part.example)).save(path)
    return on_numpy(torch.jit.load(path))


def to_aot_inductor(part: Part, folder: Path) -> Converted:
    """Compiled by torch.export and AOTInductor: a library for this processor, which libtorch loads in C++."""
    path = folder / f"{part.name}.pt2"
    torch._inductor.aoti_compile_and_package(part.exported(), package_path=str(path))
    return on_numpy(torch._inductor.aoti_load_package(str(path)))


def to_executorch(part: Part, folder: Path) -> Converted:
    """With XNNPACK, the delegate for processors; it plans its memory for the longest input."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    path = folder / f"{part.name}.pte"
    lowered = to_edge_transform_and_lower(part.exported(LONGEST), partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)
    _unsafe_reset_threadpool(1)  # it would take all cores
    method = Runtime.get().load_program(path).load_method("forward")
    return lambda array: method.execute([torch.from_numpy(array)])[0].numpy()


def to_litert(part: Part, folder: Path) -> Converted:
    """LiteRT, which was TensorFlow Lite: its converter takes PyTorch's modules.

    Its graphs have one length, and whole numbers of 32 bits.
    """
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    path = folder / f"{part.name}.tflite"
    litert_torch.convert(part.module, part.example).export(str(path))
    runner = Interpreter(str(path), num_threads=1).get_signature_runner()
    ((name, input),) = runner.get_input_details().items()
    return lambda array: next(iter(runner(**{name: array.astype(input["dtype"])}).values()))


def to_core_ml(part: Part, folder: Path) -> Converted:
    """Core ML in float32. Only Apple's systems can run it: elsewhere it is converted and no more."""
    import coremltools

    path = folder / f"{part.name}.mlpackage"
    model = coremltools.convert(
        part.exported(LONGEST).run_decompositions({}),
        minimum_deployment_target=coremltools.target.iOS17,
        compute_precision=coremltools.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(path))
    return None


def to_openvino(precision: str, part: Part, folder: Path) -> Converted:
    """OpenVINO reads the ONNX file. precision: "f32", or "bf16", which it chooses by itself where it can."""
    import openvino

    core, path = openvino.Core(), folder / f"{part.name}.xml"
    model = core.read_model(part.onnx)
    openvino.save_model(model, path, compress_to_fp16=False)
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(path, "CPU", hints)
    return lambda array: compiled(array)[0]


@dataclass(frozen=True)
class Runtime:
    """A runtime: the packages to install, the first of which gives its version, and how it gets a graph."""

    packages: tuple[str, ...]
    convert: Callable[[Part, Path], Converted]


RUNTIMES = {
    "TorchScript": Runtime(("torch",), to_torchscript),
    "ExecuTorch": Runtime(("executorch",), to_executorch),
    "LiteRT": Runtime(("ai-edge-litert", "litert-torch"), to_litert),
    "Core ML": Runtime(("coremltools",), to_core_ml),
    "OpenVINO": Runtime(("openvino",), partial(to_openvino, "f32")),
    "OpenVINO, bfloat16": Runtime(("openvino",), partial(to_openvino, "bf16")),
    "AOTInductor": Runtime(("torch",), to_aot_inductor),
}
