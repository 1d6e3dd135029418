"""How long things take: several versions in turn, and one graph operator by operator.

A time alone says little: another program on the same machine changes it. Versions that take turns share what
disturbs them, so the ratio of their medians is what to read.
"""

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.lesson.widgets.progress import watched
from helpers.runtime.session import CPU
from helpers.support.tables import Table

ROUNDS = 7
REST = 0.1  # seconds before each run, in which the threads of the one before stop waiting for more work


@dataclass(frozen=True, repr=False)
class Race(Table):
    """Seconds of each round by version; ratios are to the first version."""

    headings = ("version", "median (ms)", "middle half (ms)", "times as fast")
    seconds: dict[str, np.ndarray]

    def ratio(self, name: str) -> float:
        """How many times as fast as the first version one is, by medians."""
        first = next(iter(self.seconds.values()))
        return float(np.median(first) / np.median(self.seconds[name]))

    def cells(self) -> list[tuple[str, ...]]:
        rows = []
        for name, seconds in self.seconds.items():
            low, middle, high = 1000 * np.quantile(seconds, [0.25, 0.5, 0.75])
            rows.append((name, f"{middle:.1f}", f"{low:.1f} to {high:.1f}", f"{self.ratio(name):.2f}"))
        return rows

    def summary(self) -> str:
        first, *_ = self.seconds
        return f"{len(self.seconds[first])} rounds in turn; the last column is beside {first}."


def race(versions: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> Race:
    """Run every version once to warm up, then all of them in turn, `rounds` times."""
    seconds = {name: np.zeros(rounds) for name in versions}
    for run in versions.values():
        run()
    for i in watched(range(rounds), "rounds"):
        for name, run in versions.items():
            time.sleep(REST)
            start = time.perf_counter()
            run()
            seconds[name][i] = time.perf_counter() - start
    return Race(seconds)


@dataclass(frozen=True, repr=False)
class Operators(Table):
    """Milliseconds of one run of a graph, and how many nodes, by operator, the longest first."""

    headings = ("operator", "nodes", "ms", "share")
    milliseconds: dict[str, float]
    nodes: dict[str, int]

    @property
    def shares(self) -> dict[str, float]:
        """Of the time in all operators."""
        total = sum(self.milliseconds.values())
        return {name: taken / total for name, taken in self.milliseconds.items()}

    def cells(self) -> list[tuple[str, ...]]:
        return [
            (name, str(self.nodes[name]), f"{taken:.1f}", f"{self.shares[name]:.0%}")
            for name, taken in self.milliseconds.items()
        ]

    def summary(self) -> str:
        return f"{sum(self.milliseconds.values()):.1f} ms in {sum(self.nodes.values())} nodes"


def operators(path: str | os.PathLike, array: np.ndarray, runs: int = 3, threads: int = 0) -> Operators:
    """ONNX Runtime's profile of a graph of one input, after its optimization: the mean of several runs.

    threads: 0 = one a core.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.enable_profiling = True
        options.intra_op_num_threads = threads
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=[CPU])
        feed = {session.get_inputs()[0].name: array}
        session.run(None, feed)  # the first run is slower
        for _ in range(runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    kernels = [event for event in events if event["name"].endswith("_kernel_time")]
    kernels = kernels[len(kernels) // (runs + 1) :]
    taken, count = Counter(), Counter()
    for event in kernels:
        taken[event["args"]["op_name"]] += event["dur"] / 1000 / runs
        count[event["args"]["op_name"]] += 1
    return Operators(dict(taken.most_common()), {name: n // runs for name, n in count.items()})
