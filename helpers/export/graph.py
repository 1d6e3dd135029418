"""Modules into ONNX graphs.

The exporter is PyTorch's dynamo exporter. What is added here: dynamic batch and time under readable
names, weights under the names that the modules give them, nodes named after the module they come from,
and opset 17 for runtimes that know nothing newer.
"""

import contextlib
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from helpers.export.rewrites import (
    lower_to_opset_17,
    make_optional,
    merge_heads,
    name_nodes,
    transpose_weights,
)
from helpers.quantize import Method
from helpers.support.errors import InputError

DEFAULT_OPSET = 23  # the first with Attention and RMSNormalization
LOWEST_OPSET, HIGHEST_OPSET = 17, 23
EXPORTER_LOWEST_OPSET = 18  # what the dynamo exporter itself can write


@dataclass(frozen=True)
class GraphToExport:
    """A module, an example of each input in the order it takes them, and the names.

    axes: of inputs and outputs, the axes whose size may change, each with a name, as in
    `{"audio": {0: "batch"}}`. There the example needs at least 2 places: the exporter takes a 1 for fixed.
    keep_in_float: beginnings of the names of nodes that are not quantized; keep_exact: of weights that are
    not rounded. defaults: what inputs are that whoever runs the graph leaves out; 1 along the batch, which
    then is the first input's. methods: by precision, how this graph gets there, instead of as in
    `quantize.METHODS`.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    axes: Mapping[str, Mapping[int, str]]
    keep_in_float: tuple[str, ...] = ()
    defaults: Mapping[str, Tensor] = field(default_factory=dict)
    keep_exact: tuple[str, ...] = ()
    methods: Mapping[str, Method] = field(default_factory=dict)


def check_opset(opset: int) -> None:
    """Raise InputError for an opset that can't be written."""
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise InputError(
            f"opset {opset} is not supported; choose one from {LOWEST_OPSET} to {HIGHEST_OPSET}."
        )


def _check_axes(graph: GraphToExport) -> None:
    if len(set(map(id, graph.inputs.values()))) < len(graph.inputs):
        raise InputError("two inputs share one example, and would become one input; give each its own.")
    for name, example in graph.inputs.items():
        for axis, called in graph.axes.get(name, {}).items():
            if example.shape[axis] < 2:
                raise InputError(
                    f"the example of {name!r} has size {example.shape[axis]} along {called!r}, which would "
                    "be taken for fixed; give one of at least 2."
                )


def _dynamic_shapes(graph: GraphToExport) -> tuple:
    """The axes as the exporter wants them: one entry a parameter, a tuple for those behind a `*`."""
    axes = [dict(graph.axes.get(name, {})) for name in graph.inputs]
    parameters = inspect.signature(graph.module.forward).parameters.values()
    if not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return tuple(axes)
    n_named = len(parameters) - 1
    return (*axes[:n_named], tuple(axes[n_named:]))


def to_onnx(graph: GraphToExport, opset: int = DEFAULT_OPSET) -> ir.Model:
    """Export one module. The named axes stay dynamic; the weights are shared, not copied."""
    check_opset(opset)
    _check_axes(graph)
    with quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=max(opset, EXPORTER_LOWEST_OPSET),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=_dynamic_shapes(graph),
            optimize=False,
            verbose=False,
        )
        transpose_weights(program.model)
        program.optimize()
    model = program.model
    merge_heads(model)
    make_optional(model, {name: value.numpy() for name, value in graph.defaults.items()}, graph.axes)
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
            warnings.filterwarnings("ignore", "# The axis name")  # two inputs may share a batch
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg|torch")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch|onnxscript")
            yield
    finally:
        logger.setLevel(level)


def name_dimensions(model: ir.Model, graph: GraphToExport) -> None:
    """Give the outputs' dynamic axes the names that the graph has for them."""
    for output in model.graph.outputs:
        names = graph.axes.get(output.name, {})
        output.shape = ir.Shape([names.get(axis, size) for axis, size in enumerate(output.shape)])
