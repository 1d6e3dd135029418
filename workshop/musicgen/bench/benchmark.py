"""MusicGen's steps, its codec and whole continuations: PyTorch, Hugging Face and ONNX Runtime in turn."""

import importlib.util
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from helpers.musicgen.spec import Spec, read_spec
from workshop.bench import machine
from workshop.bench.worker import Measured, in_turn
from workshop.musicgen.bench.worker import (
    CONTINUATION,
    OPERATIONS,
    READ,
    READ_BYTES,
    STACKED,
    STEPS,
    Job,
    Version,
    prepare,
)

EAGER, HALF, COMPILED = "PyTorch eager fp32", "PyTorch eager bf16", "PyTorch compiled fp32"
HUGGING_FACE, TEACHING = "Hugging Face generate", "ONNX Runtime fp32, stacked cache"
PRECISIONS = ("fp32", "int8", "int4")
ROUNDS, LONG_ROUNDS = 9, 1
OnProgress = Callable[[str], object]


def onnx_name(precision: str) -> str:
    """What a bundle's version is called."""
    return f"ONNX Runtime {precision}"


@dataclass(frozen=True)
class Timing:
    """One version at one operation, every round of it."""

    operation: str
    version: str
    runs: list[Measured]

    @property
    def median(self) -> float:
        """Seconds of processor time."""
        return float(np.median([one.cpu_seconds for one in self.runs]))

    @property
    def elapsed(self) -> float:
        """Seconds on the clock, median."""
        return float(np.median([one.seconds for one in self.runs]))

    @property
    def memory(self) -> int | None:
        """The peak in bytes."""
        return self.runs[-1].memory


@dataclass(frozen=True)
class Benchmark:
    """All that was measured in one run. sizes: precision -> file -> bytes. failed: who did not run, why."""

    checkpoint: str
    spec: Spec
    threads: int
    timings: list[Timing]
    sizes: dict[str, dict[str, int]]
    failed: dict[str, str]
    load_before: float | None
    processor: str = field(default_factory=machine.processor)
    system: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    versions: dict[str, str] = field(default_factory=machine.versions)
    date: str = field(default_factory=lambda: date.today().isoformat())

    def find(self, operation: str, version: str) -> Timing | None:
        """The timing of a version at an operation; None where there is none."""
        same = (one for one in self.timings if (one.operation, one.version) == (operation, version))
        return next(same, None)

    def ratio(self, operation: str, version: str, beside: str) -> float | None:
        """How many times as fast as another version, by processor time."""
        one, other = self.find(operation, version), self.find(operation, beside)
        return None if one is None or other is None else other.median / one.median

    @property
    def read_rate(self) -> float:
        """Bytes a second that this machine reads on so many threads."""
        return READ_BYTES / self.find(READ, onnx_name("fp32")).median

    def least_seconds(self, operation: str) -> float:
        """What a float32 step takes if weights and cache are read once, and nothing else costs anything.

        Of the embeddings a step reads one row a codebook.
        """
        spec = self.spec
        embeddings = 4 * spec.n_codebooks * (spec.codebook_size + 1) * spec.width
        weights = sum(size for name, size in self.sizes["fp32"].items() if name.startswith("lm.onnx"))
        columns = STEPS[operation] * spec.frame_rate
        cache = 2 * 2 * 4 * spec.n_layers * spec.width * columns  # rows, keys and values, bytes
        return (weights - embeddings + cache) / self.read_rate

    def to_json(self) -> dict:
        """What `--json` writes: every round."""
        return asdict(self)


def bench(
    directory: str | os.PathLike,
    rounds: int = ROUNDS,
    threads: int = 1,
    compiled: bool = True,
    on_progress: OnProgress = lambda what: None,
) -> Benchmark:
    """Time a checkpoint of Hugging Face's family, and bundles that are made from it for the occasion.

    compiled: with torch.compile, where there is a C++ compiler. Raises InputError.
    """
    home, before = Path(directory), machine.load()
    with tempfile.TemporaryDirectory() as folder:
        bundles = exported(home, Path(folder), on_progress)
        versions = versions_of(home, bundles, compiled and machine.has_compiler())
        timings, failed = [], {}
        for operation in OPERATIONS:
            on_progress(operation)
            timings += _timed(
                list(_taking_part(versions, operation)), Job(operation, threads), rounds, failed
            )
        sizes = {
            precision: {path.name: path.stat().st_size for path in sorted(bundle.glob("*.onnx*"))}
            for precision, bundle in bundles.items()
        }
        spec = read_spec(bundles["fp32"])
    return Benchmark(home.resolve().name, spec, threads, timings, sizes, failed, before)


def exported(home: Path, folder: Path, on_progress: OnProgress) -> dict[str, Path]:
    """Bundles of each precision, and beside them the language model in the form that teaches."""
    from helpers.export.bundle import save_graph
    from helpers.export.graph import to_onnx
    from helpers.musicgen.graphs import export_bundle, stacked_graph
    from helpers.musicgen.weights import load_models

    models, found = load_models(home), {}
    for precision in PRECISIONS:
        on_progress(f"exports {precision}")
        found[precision] = export_bundle(models, folder / precision, precision=precision)
    save_graph(to_onnx(stacked_graph(models.language)), folder / STACKED)
    return found


def versions_of(home: Path, bundles: dict[str, Path], compiled: bool) -> list[Version]:
    """Everything that can run here."""
    found = [Version(EAGER, "torch", "fp32", home), Version(HALF, "torch", "bf16", home)]
    if compiled:
        found.append(Version(COMPILED, "torch", "fp32", home, compiled=True))
    if importlib.util.find_spec("transformers"):
        found.append(Version(HUGGING_FACE, "transformers", "fp32", home))
    found += [Version(onnx_name(name), "onnx", name, bundle) for name, bundle in bundles.items()]
    return [*found, Version(TEACHING, "stacked", "fp32", bundles["fp32"])]


def _taking_part(versions: Sequence[Version], operation: str) -> Iterator[Version]:
    """Those that compute this operation in a way of their own."""
    for one in versions:
        if operation == READ:
            belongs = one.name == onnx_name("fp32")
        elif operation in STEPS:
            belongs = True
        else:
            belongs = one.kind == "onnx" or one.name == EAGER
        if belongs:
            yield one


def _timed(versions: Sequence[Version], job: Job, rounds: int, failed: dict[str, str]) -> Iterator[Timing]:
    """Each in turn, a long operation fewer times."""
    why: dict[str, str] = {}
    if job.operation == CONTINUATION:
        rounds = min(rounds, LONG_ROUNDS)
    found = in_turn({one.name: partial(prepare, one, job) for one in versions}, rounds, why)
    failed |= {f"{name}, {job.operation}": reason for name, reason in why.items()}
    for name, runs in found.items():
        yield Timing(job.operation, name, runs)
