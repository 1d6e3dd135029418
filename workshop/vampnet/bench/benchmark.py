"""PyTorch and ONNX Runtime side by side: graphs and whole vamps, in turn, on the same inputs and threads."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from helpers import checkpoints
from helpers.lesson.timing import operators
from helpers.runtime.manifest import load_manifest
from helpers.support.cores import n_cores
from helpers.support.errors import InputError
from helpers.vampnet.files import course_checkpoints, find
from helpers.vampnet.pipeline import STAGES
from helpers.vampnet.spec import Spec, read_spec
from helpers.vampnet.transformer import VampNetConfig
from workshop.bench import machine
from workshop.bench.worker import Measured, in_turn
from workshop.vampnet.bench.gate import precisions_of, refusals
from workshop.vampnet.bench.worker import NEEDS, PRODUCT, STAGE_NAMES, Job, Version, prepare

EAGER, HALF, COMPILED = "PyTorch eager fp32", "PyTorch eager bf16", "PyTorch compiled fp32"
DEFAULT_PRECISIONS = ("fp32", "int8")  # exported where no bundle is given
ROUNDS, VAMP_ROUNDS = 7, 3
OnProgress = Callable[[str], object]


@dataclass(frozen=True)
class Timing:
    """One version at one operation. seconds and stages: of each round; memory: the peak in bytes."""

    operation: str
    version: str
    library: str
    precision: str
    seconds: list[float]
    stages: list[dict[str, float]]
    memory: int | None

    @property
    def median(self) -> float:
        """Seconds."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """The middle half of the rounds lies between these seconds."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(low), float(high)

    @property
    def stage_medians(self) -> dict[str, float]:
        """Seconds of each stage of a vamp."""
        return {name: float(np.median([one[name] for one in self.stages])) for name in STAGE_NAMES}

    @property
    def tokens_to_tokens(self) -> float:
        """Seconds of a vamp without the codec, median."""
        return float(np.median([s["coarse"] + s["c2f"] + s["sampling"] for s in self.stages]))


@dataclass(frozen=True)
class NotTimed:
    """A version that was refused, or did not run, and why."""

    operation: str
    version: str
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """All that was measured in one run. flops: floating-point operations of one run of an operation."""

    checkpoints: str
    audio_seconds: float
    threads: int
    timings: list[Timing]
    not_timed: list[NotTimed]
    flops: dict[str, int]
    sizes: dict[str, dict[str, int]]  # bundle's precision -> graph -> bytes
    operators: dict[str, dict[str, float]] = field(default_factory=dict)  # version -> share of coarse's time
    processor: str = field(default_factory=machine.processor)
    cores: int = field(default_factory=n_cores)
    system: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    versions: dict[str, str] = field(default_factory=machine.versions)
    load_before: float | None = None
    date: str = field(default_factory=lambda: date.today().isoformat())

    def find(self, operation: str, version: str) -> Timing | None:
        """The timing of a version at an operation; None where there is none."""
        same = (one for one in self.timings if (one.operation, one.version) == (operation, version))
        return next(same, None)

    def of(self, operation: str) -> list[Timing]:
        """All timings of an operation."""
        return [one for one in self.timings if one.operation == operation]

    def ratio(self, timing: Timing) -> float | None:
        """How many times as fast as PyTorch eager float32, which may take the codec in windows or whole."""
        ways = {timing.operation, timing.operation.partition(",")[0], f"{timing.operation}, one piece"}
        eager = [found.median for way in ways if (found := self.find(way, EAGER))]
        return min(eager) / timing.median if eager else None

    def ceiling(self, timing: Timing) -> float | None:
        """Operations a second of a product of matrices in the same library and precision."""
        precision = "fp32" if timing.precision == "fp16" else timing.precision  # fp16 is only stored so
        for one in self.of("product"):
            if (one.library, one.precision) == (timing.library, precision):
                return self.flops["product"] / one.median
        return None

    def bound(self, timing: Timing) -> float | None:
        """How many times as fast as eager it would be if all of it ran at the ceiling."""
        ratio, share = self.ratio(timing), self.share(timing)
        return None if ratio is None or share is None else ratio / share

    def share(self, timing: Timing) -> float | None:
        """The share of the ceiling that an operation reaches."""
        ceiling, flops = self.ceiling(timing), self.flops.get(timing.operation)
        return None if ceiling is None or flops is None else flops / timing.median / ceiling

    def to_json(self) -> dict:
        """What `--json` writes: every round, and what is read off them."""
        rows = []
        for one in self.timings:
            low, high = one.spread
            row = asdict(one) | {"median": one.median, "middle_half": [low, high]}
            row |= {"times_eager": self.ratio(one), "share_of_ceiling": self.share(one)}
            if one.stages:
                row |= {"stage_medians": one.stage_medians, "tokens_to_tokens": one.tokens_to_tokens}
            rows.append(row)
        return asdict(self) | {"timings": rows}


def bench(
    directory: str | os.PathLike | None = None,
    bundles: Sequence[str | os.PathLike] = (),
    seconds: float = 10.0,
    rounds: int = ROUNDS,
    threads: int | None = None,
    compiled: bool = True,
    on_progress: OnProgress = lambda what: None,
) -> Benchmark:
    """Time the checkpoints of a directory (None: the course's) and bundles made from them.

    Without bundles a float32 and an 8-bit one are exported for the occasion. threads: None = one a core.
    compiled: with torch.compile, where there is a C++ compiler. Raises InputError.
    """
    home, threads = Path(directory or course_checkpoints()), threads or n_cores()
    before = machine.load()
    with tempfile.TemporaryDirectory() as folder:
        bundles = [Path(one) for one in bundles] or list(_exported(home, Path(folder), on_progress))
        spec = _spec(bundles)
        versions, refused = (
            [Version(EAGER, "PyTorch", "fp32", home), Version(HALF, "PyTorch", "bf16", home)],
            {},
        )
        if compiled and machine.has_compiler():
            versions.append(Version(COMPILED, "PyTorch", "fp32", home, compiled=True))
        for bundle in bundles:
            on_progress(f"checks {bundle.name}")
            precision = precisions_of(bundle)["coarse"]
            versions.append(Version(f"ONNX Runtime {precision}", "ONNX Runtime", precision, bundle))
            refused[bundle] = refusals(home, bundle)
        timings, not_timed = [], []
        for operation in NEEDS:
            on_progress(operation)
            job = Job(operation, spec, seconds, threads)
            n_rounds = min(rounds, VAMP_ROUNDS) if operation == "vamp" else rounds
            timings += interleaved(
                list(_allowed(versions, operation, refused, not_timed)), job, n_rounds, not_timed
            )
        sizes = {
            precisions_of(bundle)["coarse"]: {
                path.name: path.stat().st_size for path in sorted(bundle.glob("*.onnx*"))
            }
            for bundle in bundles
        }
        shares = {
            one.name: operators(
                one.home / "coarse.onnx",
                Job("coarse", spec, seconds, threads).codes("coarse"),
                threads=threads,
            ).shares
            for one in versions
            if one.library == "ONNX Runtime"
        }
    flops = {name: transformer_flops(home, name, Job(name, spec, seconds, threads)) for name in STAGES}
    flops["product"] = 2 * int(np.prod(PRODUCT))
    name = home.resolve().name  # not its path: the result travels
    return Benchmark(
        name, seconds, threads, timings, not_timed, flops, sizes, shares, load_before=before
    )  # fmt: skip


def _exported(home: Path, folder: Path, on_progress: OnProgress) -> Iterator[Path]:
    from helpers.vampnet.graphs import export_bundle
    from helpers.vampnet.weights import load_models

    models = load_models(home)
    for precision in DEFAULT_PRECISIONS:
        on_progress(f"exports {precision}")
        yield export_bundle(models, folder / precision, precision=precision)


def _spec(bundles: Sequence[Path]) -> Spec:
    """What the bundles say of the models. Raises InputError if they differ, or if two have one precision."""
    specs = [read_spec(bundle) for bundle in bundles]
    if any(spec != specs[0] for spec in specs):
        raise InputError("the bundles were made from models of different shapes; bench one model at a time.")
    precisions = [precisions_of(bundle)["coarse"] for bundle in bundles]
    if len(set(precisions)) < len(precisions):
        raise InputError(f"two bundles have the same precision ({', '.join(precisions)}); give one of each.")
    return specs[0]


def _allowed(
    versions: Sequence[Version],
    operation: str,
    refused: dict[Path, dict[str, str]],
    not_timed: list[NotTimed],
) -> Iterator[Version]:
    """The versions that take part in an operation; what a refusal keeps out is added to `not_timed`."""
    seen, graphs = set(), NEEDS[operation]
    for version in (one for one in versions if _differs(one, operation)):
        if version.library == "ONNX Runtime" and graphs:
            reasons = [f"{name}.onnx: {why}" for name, why in refused[version.home].items() if name in graphs]
            if reasons:
                not_timed.append(NotTimed(operation, version.name, "; ".join(reasons)))
                continue
            content = tuple(load_manifest(version.home)["sha256"][f"{name}.onnx"] for name in graphs)
            if content in seen:  # the same file as in an earlier bundle
                continue
            seen.add(content)
        yield version


def _differs(version: Version, operation: str) -> bool:
    """Whether a version computes an operation in a way of its own."""
    if operation == "product":
        return version.name != COMPILED and (
            version.library == "PyTorch" or version.precision in ("fp32", "int8")
        )
    return version.name != HALF or bool(set(NEEDS[operation]) & set(STAGES))


def interleaved(
    versions: Sequence[Version], job: Job, rounds: int, not_timed: list[NotTimed]
) -> list[Timing]:
    """Each version in its own process, in turn; those that did not run are added to `not_timed`."""
    failed: dict[str, str] = {}
    found = in_turn({one.name: partial(prepare, one, job) for one in versions}, rounds, failed)
    not_timed += [NotTimed(job.operation, name, why) for name, why in failed.items()]
    by_name = {one.name: one for one in versions}
    return [_timing(by_name[name], job.operation, runs) for name, runs in found.items()]


def _timing(version: Version, operation: str, runs: Sequence[Measured]) -> Timing:
    return Timing(
        operation, version.name, version.library, _precision(version, NEEDS[operation]),
        [one.seconds for one in runs], [one.stages for one in runs if one.stages], runs[-1].memory,
    )  # fmt: skip


def _precision(version: Version, graphs: tuple[str, ...]) -> str:
    """That of the one graph an operation needs; the codec's may be another than the transformers'."""
    if len(graphs) != 1 or graphs[0] in STAGES:
        return version.precision
    return "fp32" if version.library == "PyTorch" else precisions_of(version.home)[graphs[0]]


def transformer_flops(directory: Path, name: str, job: Job) -> int:
    """Floating-point operations of one run of a transformer: two for each weight and frame, and attention."""
    source = checkpoints.read(find(directory)[name])
    config, frames = VampNetConfig.from_kwargs(source.kwargs), job.codes(name).shape[-1]
    width = config.embedding_dim
    layer = 10 * width**2  # four projections, then d to 4 d and 2 d to d
    others = config.n_codebooks * config.latent_dim * width + width * config.vocab_size * config.n_predicted
    attention = 2 * frames * width  # scores, then their weighted sum
    return 2 * frames * (config.n_layers * (layer + attention) + others)
