"""How long an omni lets one wait: `python -m workshop bench omni --checkpoints DIR`.

From the end of a spoken question about a picture to the first sound and to the whole answer, and what each
part takes, in PyTorch and in ONNX Runtime: each version in a process of its own, in turn, medians.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from helpers.omni.weights import load_models
from helpers.support import commands
from helpers.support.commands import Parser, progress, whole
from helpers.support.errors import plain
from helpers.support.files import check_outputs, write_json, write_text
from helpers.support.tables import markdown_table
from workshop.bench import machine
from workshop.bench.worker import Measured, in_turn
from workshop.omni.bench.worker import (
    FIRST,
    OPERATIONS,
    STEPS,
    STREAM,
    TALKER,
    THINKER,
    WHOLE,
    Version,
    prepare,
)  # fmt: skip
from workshop.omni.evaluation.bundles import exported, kept_or_not

TORCH, FLOAT, EIGHT_BIT = "PyTorch", "ONNX Runtime fp32", "ONNX Runtime int8"
ROUNDS = 9
MOST_MS = {FIRST: 80.0, WHOLE: 120.0}
LEAST_TIMES = 3.0  # a step, beside PyTorch's


@dataclass(frozen=True)
class Benchmark:
    """Every round: operation -> version -> what was measured. failed: who did not run, and why."""

    checkpoint: str
    threads: int
    runs: dict[str, dict[str, list[Measured]]]
    failed: dict[str, str]
    load_before: float | None
    processor: str = field(default_factory=machine.processor)
    versions: dict[str, str] = field(default_factory=machine.versions)
    date: str = field(default_factory=lambda: date.today().isoformat())

    def clock(self, operation: str, version: str) -> float | None:
        """Median milliseconds on the clock; of a step, one of its row."""
        return self._median(operation, version, lambda one: one.seconds)

    def processor_time(self, operation: str, version: str) -> float | None:
        """Median milliseconds of all threads."""
        return self._median(operation, version, lambda one: one.cpu_seconds)

    def first_sound(self, version: str) -> float | None:
        """Median milliseconds until it sounds."""
        return self._median(STREAM, version, lambda one: one.stages[FIRST])

    def _median(self, operation: str, version: str, what) -> float | None:
        runs = self.runs.get(operation, {}).get(version)
        if not runs:
            return None
        n = STEPS if operation in (THINKER, TALKER) else 1
        return 1000 * float(np.median([what(one) for one in runs])) / n

    def times(self, operation: str, version: str) -> float | None:
        """How many times as fast as PyTorch, by processor time."""
        one, other = (self.processor_time(operation, name) for name in (version, TORCH))
        return None if one is None or other is None else other / one


def bench(home: Path, folder: Path, rounds: int, threads: int, on_progress=lambda what: None) -> Benchmark:
    """Time a checkpoint, and bundles that are made from it in `folder`. Raises InputError."""
    before = machine.load()
    bundles = exported(load_models(home), folder, on_progress)
    versions = [Version(TORCH, True, home), Version(FLOAT, False, bundles["fp32"])]
    versions.append(Version(EIGHT_BIT, False, bundles["int8"]))
    runs, failed = {}, {}
    for operation in OPERATIONS:
        on_progress(operation)
        why: dict[str, str] = {}
        ready = {one.name: partial(prepare, one, operation, threads) for one in versions}
        runs[operation] = in_turn(ready, rounds, why)
        failed |= {f"{name}, {operation}": reason for name, reason in why.items()}
    return Benchmark(home.resolve().name, threads, runs, failed, before)


def goals(found: Benchmark) -> Iterator[tuple[str, str, str, str]]:
    """What is asked, beside this run: what, asked, measured, verdict."""
    waits = {
        "spoken question to first sound (ms)": (found.first_sound(FLOAT), MOST_MS[FIRST]),
        "spoken question to the whole answer (ms)": (found.clock(WHOLE, FLOAT), MOST_MS[WHOLE]),
    }
    for name, (value, most) in waits.items():
        yield _goal(name, f"<= {most:g}", value, value is not None and value <= most)
    for operation in (THINKER, TALKER):
        value = found.times(operation, FLOAT)
        met = value is not None and value >= LEAST_TIMES
        yield _goal(f"{operation}, times PyTorch's speed", f">= {LEAST_TIMES:g}", value, met)


def _goal(name: str, asked: str, value: float | None, met: bool) -> tuple[str, str, str, str]:
    if value is None:
        return name, asked, "-", "not measured"
    return name, asked, f"{value:.1f}", "met" if met else "NOT MET"


def markdown(found: Benchmark) -> str:
    """The whole as text."""
    rows = []
    for operation, by_version in found.runs.items():
        for version in by_version:
            times = found.times(operation, version)
            rows.append((
                operation, version, _number(found.clock(operation, version)),
                _number(found.processor_time(operation, version)), _number(times, 1),
            ))  # fmt: skip
        if operation == STREAM:
            rows += [("its first sound", version, _number(found.first_sound(version)), "", "")
                     for version in by_version]  # fmt: skip
    load = "-" if found.load_before is None else f"{found.load_before:.1f}"
    parts = [
        f"# Benchmark of {found.checkpoint}, {found.date}",
        f"{found.processor}; {found.threads} thread(s) for every version; load before the run {load}; "
        f"{machine.listed(found.versions)}. Each version in a process of its own, in turn; medians.",
        markdown_table(("what", "version", "clock (ms)", "processor (ms)", "times PyTorch"), rows),
        "## Goals",
        markdown_table(("goal", "asked", "measured", "verdict"), list(goals(found))),
    ]
    if found.failed:
        parts += ["## Not timed", markdown_table(("what", "why"), list(found.failed.items()))]
    return "\n\n".join(parts) + "\n"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop bench omni",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--checkpoints", type=Path, required=True, metavar="DIR")
    command.add_argument("--bundles", type=Path, metavar="DIR", help="keep the bundles, for the next time")
    command.add_argument("--rounds", type=whole(1, 1000), default=ROUNDS, metavar="N", help="%(default)s")
    command.add_argument(
        "--threads", type=whole(1, 1000), default=2, metavar="N", help="for every version (%(default)s)"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the report")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every round of every version")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown, arguments.json])
    with kept_or_not(arguments.bundles) as folder, progress(unit="step") as bar:

        def on_progress(what: str) -> None:
            bar.set_description(plain(what))
            bar.update()

        found = bench(arguments.checkpoints, folder, arguments.rounds, arguments.threads, on_progress)
    text = markdown(found)
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)
    if arguments.json:
        write_json(arguments.json, asdict(found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
