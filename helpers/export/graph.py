"""Modules into ONNX graphs.

The exporter is PyTorch's dynamo exporter. What is added here: dynamic batch and time under readable
names, weights under the names that the modules give them, nodes named after the module they come from,
and opset 17 for runtimes that know nothing newer.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from helpers.export.rewrites import lower_to_opset_17, merge_heads, name_nodes, transpose_weights
from helpers.support.errors import InputError

DEFAULT_OPSET = 23  # the first with Attention and RMSNormalization
LOWEST_OPSET, HIGHEST_OPSET = 17, 23
EXPORTER_LOWEST_OPSET = 18  # what the dynamo exporter itself can write


@dataclass(frozen=True)
class GraphToExport:
    """A module, an example input (batch 2: an example of batch 1 would fix the batch), and the names."""

    module: nn.Module
    example: Tensor
    input_name: str
    output_name: str
    time_axis: str  # what the input's last axis counts
    keep_in_float: tuple[str, ...] = ()  # beginnings of the names of nodes that are not quantized


def check_opset(opset: int) -> None:
    """Raise InputError for an opset that can't be written."""
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise InputError(
            f"opset {opset} is not supported; choose one from {LOWEST_OPSET} to {HIGHEST_OPSET}."
        )


def to_onnx(graph: GraphToExport, opset: int = DEFAULT_OPSET) -> ir.Model:
    """Export one module. Batch and time stay dynamic; the weights are shared, not copied."""
    check_opset(opset)
    with quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            (graph.example,),
            dynamo=True,
            opset_version=max(opset, EXPORTER_LOWEST_OPSET),
            input_names=[graph.input_name],
            output_names=[graph.output_name],
            dynamic_shapes=({0: "batch", 2: graph.time_axis},),
            optimize=False,
            verbose=False,
        )
        transpose_weights(program.model)
        program.optimize()
    model = program.model
    merge_heads(model)
    if opset < EXPORTER_LOWEST_OPSET:
        lower_to_opset_17(model)
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    model.ir_version = min(model.ir_version, needed)  # else an old runtime can't read the file
    name_nodes(model)
    name_dimensions(model, graph)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's notes about packages that are not installed, and about itself, from the reader."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg|torch")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch|onnxscript")
            yield
    finally:
        logger.setLevel(level)


def name_dimensions(model: ir.Model, graph: GraphToExport) -> None:
    """Name the output's dynamic axes: the first is the batch, another without a fixed size is time."""
    (output,) = model.graph.outputs
    time = "samples" if graph.output_name == "audio" else "frames"
    sizes = [size if isinstance(size, int) else time for size in output.shape]
    output.shape = ir.Shape(["batch", *sizes[1:]])
