"""What was compared, as a table and as JSON, and what a bundle claims that must be so."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from helpers.runtime.manifest import changed_files, load_manifest, unusable
from helpers.support.tables import Table

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


def read_claims(
    bundle: str | os.PathLike, tables: Sequence[str], precisions: Collection[Mapping[str, str]]
) -> dict:
    """A bundle's manifest, with these tables in it and graphs of precisions that exports write."""
    manifest = load_manifest(bundle)
    for name in ("sha256", "source_sha256", "tools", *tables):
        if not isinstance(manifest.get(name), dict):
            raise unusable(bundle, name)
    if manifest.get("precision") not in precisions:
        raise unusable(bundle, "precision")
    return manifest


def file_problems(
    bundle: str | os.PathLike, manifest: Mapping, graphs: Iterable[str], sources: Iterable[tuple[str, str]]
) -> Iterator[str]:
    """A line for each file that was changed, or that the bundle was not made from: (name, SHA-256)."""
    described = dict.fromkeys((f"{name}.onnx" for name in graphs), "")
    yield from changed_files(bundle, described | manifest["sha256"])
    for name, value in sources:
        if manifest["source_sha256"].get(name) != value:
            yield f"the bundle was not made from this {name}"


def certified(
    manifest: Mapping,
    rows: Iterable[Comparison],
    findings: Iterable[Finding],
    problems: Iterable[str],
    on_row: Callable[[Comparison | Finding], object],
) -> Certificate:
    """Make all comparisons, one after the other; `on_row` sees each as it is made."""

    def told(rows: Iterable) -> Iterator:
        for row in rows:
            on_row(row)
            yield row

    rows, findings = tuple(told(rows)), tuple(told(findings))
    files = (manifest[name] for name in ("source_sha256", "sha256", "tools"))
    return Certificate(rows, tuple(problems), *files, findings)
