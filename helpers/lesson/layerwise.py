"""One layer at a time: into ONNX, through ONNX Runtime, and compared with PyTorch.

What the notebooks use while they build a model; whole models are exported by `export` and proven by
`verify`.
"""

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from helpers.export.graph import DEFAULT_OPSET, quiet
from helpers.runtime.session import OnnxGraph
from helpers.support.errors import InputError
from helpers.support.files import written_whole
from helpers.support.tables import Table
from helpers.verify import relative_difference, several

LONGEST_REASON = 400  # letters
CLOSE = 1e-5  # largest difference, relative to the largest output, that rounding alone may cause


def export_layer(
    layer: nn.Module,
    inputs: Sequence[Tensor],
    path: str | os.PathLike,
    dynamic: Sequence[dict[int, str]] | None = None,
) -> Path:
    """Export a layer called with `inputs` to an ONNX file.

    dynamic: for each input, the axes whose size may change, with a name each ({0: "batch", 1: "frames"});
    None freezes every size at the example's.
    """
    path = Path(path)
    with quiet(), torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name")  # two inputs may share a batch
        warnings.filterwarnings("ignore", "The tensor attributes")  # of PyTorch's own recurrent layers
        warnings.simplefilter("ignore", FutureWarning)  # about code that the exporter wrote
        program = torch.onnx.export(
            layer.eval(),
            tuple(inputs),
            dynamo=True,
            opset_version=DEFAULT_OPSET,
            dynamic_shapes=tuple(dynamic) if dynamic else None,
            verbose=False,
        )
    with written_whole(path) as temporary:
        program.save(temporary)
    return path


def trace_layer(
    layer: nn.Module, inputs: Sequence[Tensor], path: str | os.PathLike, dynamic: Sequence[dict[int, str]]
) -> Path:
    """The same with the older exporter, which runs the layer once and writes down what it saw."""
    path, names = Path(path), [f"input_{i}" for i in range(len(inputs))]
    with quiet(), warnings.catch_warnings(), written_whole(path) as temporary:
        # What these two say, the notebook says in its own words.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            layer.eval(),
            tuple(inputs),
            temporary,
            dynamo=False,
            opset_version=20,  # the newest it knows
            input_names=names,
            dynamic_axes=dict(zip(names, dynamic)),
        )
    return path


def refusal(
    layer: nn.Module, inputs: Sequence[Tensor], dynamic: Sequence[dict[int, str]] | None = None
) -> str | None:
    """Why the newer exporter can't express a layer, in its own words; None if it can. As `export_layer`."""
    logging.disable(logging.CRITICAL)  # it says the same in hundreds of lines
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
            shapes = tuple(dynamic) if dynamic else None
            torch.onnx.export(
                layer.eval(),
                tuple(inputs),
                dynamo=True,
                opset_version=DEFAULT_OPSET,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = re.search(r"<class '[^']+'>: (.+?)(?:\n\n|\n.{0,3}<class|$)", str(error), re.DOTALL)
        return " ".join(reason[1].split()) if reason else type(error).__name__
    finally:
        logging.disable(logging.NOTSET)
    return None


def run_layer(path: str | os.PathLike, *inputs: Tensor) -> np.ndarray | tuple[np.ndarray, ...]:
    """What an ONNX file gives for these inputs, several outputs as a tuple.

    Raises InputError with ONNX Runtime's reason.
    """
    session = OnnxGraph(path).session
    feed = {wanted.name: given.numpy() for wanted, given in zip(session.get_inputs(), inputs, strict=True)}
    try:
        outputs = session.run(None, feed)
    except Exception as error:  # onnxruntime raises many kinds
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise InputError(f"{Path(path).name} refuses {_shapes(inputs)}: {reason}") from error
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


@dataclass(frozen=True)
class Row:
    """One layer on one input: what came out of ONNX Runtime beside what PyTorch gives."""

    layer: str
    shapes: str
    equal: float
    largest: float  # difference, relative to the largest output

    @property
    def verdict(self) -> str:
        if self.largest == 0:
            return "exact"
        return "close" if self.largest <= CLOSE else "DIFFERENT"


@dataclass(frozen=True, repr=False)
class LayerReport(Table):
    """Layers in PyTorch and in ONNX Runtime, side by side."""

    headings = ("layer", "input", "equal numbers", "largest difference", "verdict")
    rows: tuple[Row, ...]

    def cells(self) -> list[tuple[str, ...]]:
        return [
            (row.layer, row.shapes, f"{row.equal:.1%}", f"{row.largest:.1e}", row.verdict)
            for row in self.rows
        ]

    def summary(self) -> str:
        counts = {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in ("exact", "close")}
        different = len(self.rows) - sum(counts.values())
        return f"{counts['exact']} exact, {counts['close']} close, {different} different."


def compare_layer(
    name: str, layer: nn.Module, path: str | os.PathLike, *inputs: Tensor, reference: nn.Module | None = None
) -> LayerReport:
    """An exported layer beside `reference` (None: the layer itself) on the same inputs; a row an output."""
    with torch.no_grad():
        expected = several((reference or layer)(*inputs))
    rows = []
    for i, (one, found) in enumerate(zip(expected, several(run_layer(path, *inputs)), strict=True)):
        equal = float((found == one.numpy()).mean()) if found.shape == one.shape else 0.0
        called = name if len(expected) == 1 else f"{name}, output {i}"
        rows.append(Row(called, _shapes(inputs), equal, relative_difference(one.numpy(), found)))
    return LayerReport(tuple(rows))


def together(*reports: LayerReport) -> LayerReport:
    """Several reports as one table."""
    return LayerReport(tuple(row for report in reports for row in report.rows))


def _shapes(inputs: Sequence[Tensor]) -> str:
    return ", ".join(str(tuple(given.shape)) for given in inputs)
