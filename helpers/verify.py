"""Proof that a graph computes what its module computes: PyTorch and ONNX Runtime side by side.

Numbers must agree to 1e-4 of the largest, and every token must be equal. Where two tokens differ, the
model is asked again in float64: if the two candidates are less than 1e-5 apart there, rounding decides
between equals (a tie); anything else is a failure.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from helpers.runtime.session import Graph
from helpers.support.errors import InputError
from helpers.support.tables import Table
from helpers.transfer import on_numpy

TOLERANCE = 1e-4  # of the largest value
TIE = 1e-5  # float64 margin below which two candidates are equals


@dataclass(frozen=True)
class Comparison:
    """One row of the certificate.

    difference: the largest, relative to the largest value. margin: the largest float64 distance between two
    candidates of which one runtime took one and one the other. rounding: set where the difference is from
    float64 instead of from PyTorch, which is then itself that far from it.
    """

    what: str  # begins with the name of the graph
    batch: int
    frames: int
    tokens: int
    different: int
    ties: int
    difference: float | None = None
    margin: float | None = None
    rounding: float | None = None

    @property
    def graph(self) -> str:
        """The graph that was compared."""
        return self.what.partition(",")[0]

    @property
    def passed(self) -> bool:
        """Every token equal but for ties, every number close."""
        close = self.difference is None or self.difference <= max(TOLERANCE, 2 * (self.rounding or 0))
        return self.different == self.ties and close


@dataclass(frozen=True)
class Finding:
    """One measure of one graph beside its limit."""

    graph: str
    precision: str
    measure: str
    value: float
    limit: float
    at_least: bool = False  # whether the limit is the least; else it is the most

    @property
    def passed(self) -> bool:
        """Whether it is within the limit; a NaN never is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True, repr=False)
class Findings(Table):
    """What the graphs of a bundle lost."""

    headings = ("graph", "precision", "measure", "measured", "limit", "verdict")
    rows: tuple[Finding, ...]

    def cells(self) -> list[tuple[str, ...]]:
        return [
            (row.graph, row.precision, row.measure, f"{row.value:.3g}",
             f"{'>=' if row.at_least else '<='} {row.limit:g}", "ok" if row.passed else "FAILED")
            for row in self.rows
        ]  # fmt: skip

    def summary(self) -> str:
        return f"{sum(row.passed for row in self.rows)} of {len(self.rows)} within their limits"


@dataclass(frozen=True, repr=False)
class Certificate(Table):
    """All comparisons of one bundle, as a table and as JSON. `problems` are about files, not numbers."""

    headings = (
        "what",
        "batch",
        "frames",
        "tokens",
        "different",
        "ties",
        "margin",
        "difference",
        "rounding",
        "verdict",
    )

    rows: tuple[Comparison, ...]
    problems: tuple[str, ...]
    source_sha256: dict[str, str]
    bundle_sha256: dict[str, str]
    tools: dict[str, str]
    findings: tuple[Finding, ...] = ()  # about graphs below float32

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return not self.problems and all(row.passed for row in (*self.rows, *self.findings))

    def summary(self) -> str:
        """One line: the verdict and the count of tokens."""
        tokens, different, ties = (
            sum(getattr(row, name) for row in self.rows) for name in ("tokens", "different", "ties")
        )
        share = f"{tokens - different} of {tokens} tokens equal, {ties} ties"
        n_failed = sum(not row.passed for row in (*self.rows, *self.findings))
        verdict = "passed" if self.passed else f"FAILED ({n_failed} rows)"
        return "\n".join([*self.problems, f"{verdict}: {share}"])

    def cells(self) -> list[tuple[str, ...]]:
        return [_cells(row) for row in self.rows]

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self._found()), super().__str__()])

    def _repr_html_(self) -> str:
        return "".join([*(table._repr_html_() for table in self._found()), super()._repr_html_()])

    def _found(self) -> list[Findings]:
        return [Findings(self.findings)] if self.findings else []

    def to_json(self) -> dict:
        """What `--json` writes."""
        return {
            "passed": self.passed,
            "tolerance": TOLERANCE,
            "tie_margin": TIE,
            "problems": list(self.problems),
            "rows": [{**asdict(row), "passed": row.passed} for row in self.rows],
            "findings": [{**asdict(row), "passed": row.passed} for row in self.findings],
            "source_sha256": self.source_sha256,
            "bundle_sha256": self.bundle_sha256,
            "tools": self.tools,
        }


def _cells(row: Comparison) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.1e}"

    counts = (str(value) for value in (row.batch, row.frames, row.tokens, row.different, row.ties))
    return (
        row.what,
        *counts,
        number(row.margin),
        number(row.difference),
        number(row.rounding),
        "ok" if row.passed else "FAILED",
    )


class Exact:
    """A model in float64, one layer at a time: all of it at once is twice the size of its file."""

    def __init__(self, model: Callable[[], nn.Module]):
        self.model = model

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Logits in float64."""
        hooks, model = [], self.model()
        for layer in model.modules():
            weights = dict(layer.named_parameters(recurse=False))
            hooks.append(layer.register_forward_pre_hook(partial(_to_float64, weights)))
            hooks.append(layer.register_forward_hook(partial(_back, weights), always_call=True))
        try:
            return on_numpy(model)(*inputs)
        finally:
            for hook in hooks:
                hook.remove()


def _to_float64(weights: dict[str, nn.Parameter], layer: nn.Module, inputs: object) -> None:
    layer._parameters.update({name: weight.double() for name, weight in weights.items()})


def _back(weights: dict[str, nn.Parameter], layer: nn.Module, inputs: object, output: object) -> None:
    layer._parameters.update(weights)


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference as a share of the largest value; infinite where shapes differ or NaNs are."""
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return float("inf")
    apart = np.abs(ours - theirs).max()
    return float(apart / np.abs(ours).max()) if apart else 0.0


def compare(what: str, module: nn.Module, graph: Graph, *inputs: Tensor) -> list[Comparison]:
    """A module and its graph on the same inputs: a row for each output, whose first two sizes it has.

    Whole numbers and booleans are compared as tokens, one by one; others by their largest difference.
    Raises InputError where one gives more outputs than the other.
    """
    with torch.inference_mode():
        expected = several(module(*inputs))
    found = several(graph(*(given.numpy() for given in inputs)))
    if len(expected) != len(found):
        raise InputError(f"{what}: the module gives {len(expected)} outputs, the graph {len(found)}.")
    pairs = zip(expected, found)
    return [_compared(f"{what}, output {i}", one.numpy(), other) for i, (one, other) in enumerate(pairs)]


def several(outputs: object) -> tuple:
    """What a module or a graph gave as a tuple, also where it is one output alone."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _compared(what: str, ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    batch, length = (*ours.shape, 1, 1)[:2]
    if not np.issubdtype(ours.dtype, np.floating):
        different = int((ours != theirs).sum()) if ours.shape == theirs.shape else ours.size
        return Comparison(what, batch, length, ours.size, different, 0)
    return Comparison(what, batch, length, 0, 0, 0, relative_difference(ours, theirs))
