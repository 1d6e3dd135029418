"""A benchmark of MusicGen as Markdown, and what the course asks of it beside what was reached."""

from collections.abc import Iterator, Sequence

from helpers.support.tables import markdown_table
from workshop.bench import machine
from workshop.bench.goals import Goal, goals_table, or_dash
from workshop.musicgen.bench.benchmark import EAGER, HUGGING_FACE, PRECISIONS, Benchmark, Timing, onnx_name
from workshop.musicgen.bench.worker import CONTINUATION, OPERATIONS, READ, STEPS

FLOAT, EIGHT_BIT = onnx_name("fp32"), onnx_name("int8")
MIDDLE = "step at 15 s"
CAVEAT = (
    "Times are processor time of all threads, medians; what another program takes is not in them. Ratios "
    "differ between processors: a time says nothing without the machine above it."
)
LIMIT = (
    "*Of the limit*: how long it takes to read the weights and the cache once, at the rate at which this "
    "machine adds up an array in the same run, beside how long a float32 step took."
)


def goals(found: Benchmark) -> list[Goal]:
    """The issue's figures beside this run."""
    return [
        Goal("float32 step at 15 s, beside Hugging Face", 2.0, "x", found.ratio(MIDDLE, FLOAT, HUGGING_FACE)),
        Goal("the same, of the limit", 45, "%", _of_limit(found, MIDDLE)),
        Goal("8-bit step at 15 s, beside float32", 2.2, "x", found.ratio(MIDDLE, EIGHT_BIT, FLOAT)),
        Goal("decode, beside PyTorch", 1.0, "x", found.ratio("decode 4 s", FLOAT, EAGER)),
        Goal("float32's files, of its peak memory", 100 / 1.8, "%", _of_memory(found)),
        Goal("8-bit bundle, smaller by", 62, "%", _smaller(found, "")),
        Goal("8-bit language model, smaller by", 70, "%", _smaller(found, "lm")),
    ]


def _of_limit(found: Benchmark, operation: str) -> float | None:
    timing = found.find(operation, FLOAT)
    return None if timing is None else 100 * found.least_seconds(operation) / timing.median


def _of_memory(found: Benchmark) -> float | None:
    timing = found.find(CONTINUATION, FLOAT)
    if timing is None or timing.memory is None:
        return None
    return 100 * sum(found.sizes["fp32"].values()) / timing.memory


def _smaller(found: Benchmark, beginning: str) -> float:
    whole, small = (
        sum(size for name, size in found.sizes[precision].items() if name.startswith(beginning))
        for precision in ("fp32", "int8")
    )
    return 100 * (1 - small / whole)


def markdown(found: Benchmark) -> str:
    """The whole report."""
    headings = (
        "operation",
        "version",
        "processor (ms)",
        "clock (ms)",
        "times eager",
        "of the limit",
        "peak MB",
    )
    parts = [
        _heading(found),
        markdown_table(headings, [row for name in OPERATIONS if name != READ for row in _rows(found, name)]),
        f"{LIMIT} It reads {found.read_rate / 1e9:.1f} GB a second.",
        "## Size (MB)",
        markdown_table(("precision", "language model", "all"), list(_sizes(found))),
        "## Goals",
        goals_table(goals(found)),
    ]
    if found.failed:
        parts += ["## Not timed", markdown_table(("what", "why"), list(found.failed.items()))]
    return "\n\n".join(parts) + "\n"


def _heading(found: Benchmark) -> str:
    versions = machine.listed(found.versions)
    load = or_dash(found.load_before, "{:.1f}")
    return (
        f"# Benchmark of {found.checkpoint}, {found.date}\n\n"
        f"{found.processor}, {found.system}; {found.threads} thread(s) for every version; load before the "
        f"run {load}; {versions}. Two rows a step, for guidance; each version in a process of its own, in "
        "turn.\n\n"
        f"{CAVEAT}"
    )


def _rows(found: Benchmark, operation: str) -> Iterator[Sequence[str]]:
    for one in (one for one in found.timings if one.operation == operation):
        limit = _of_limit(found, operation) if operation in STEPS and one.version == FLOAT else None
        yield (
            operation, one.version, _milliseconds(one.median), _milliseconds(one.elapsed),
            or_dash(found.ratio(operation, one.version, EAGER), "{:.2f}"), or_dash(limit, "{:.0f} %"),
            _megabytes(one),
        )  # fmt: skip


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


def _megabytes(one: Timing) -> str:
    return or_dash(None if one.memory is None else one.memory / 1e6, "{:.0f}")


def _sizes(found: Benchmark) -> Iterator[Sequence[str]]:
    for precision in PRECISIONS:
        files = found.sizes[precision]
        language = sum(size for name, size in files.items() if name.startswith("lm"))
        yield precision, f"{language / 1e6:.0f}", f"{sum(files.values()) / 1e6:.0f}"
