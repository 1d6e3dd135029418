"""What a smaller bundle costs where it is heard: the course's clips vamped by it and by the float32 one.

    python -m workshop quality vampnet [--checkpoints DIR] [--precision int8] [--markdown FILE]

On the same noise both would give the same tokens if nothing were rounded. Where rounding turns one token,
all that follows may differ, so the question is not whether the sounds differ but how far: as far as two
seeds of the float32 bundle do would be noticed by nobody.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers.audio.clips import Clip, load_clips
from helpers.audio.distance import RATE, at_44100, log_mel
from helpers.quantize import METHODS
from helpers.support import commands
from helpers.support.commands import Parser, whole
from helpers.support.files import check_outputs, write_text
from helpers.support.tables import markdown_table
from helpers.vampnet import masks
from helpers.vampnet.fidelity import Finding, findings
from helpers.vampnet.files import course_checkpoints
from helpers.vampnet.graphs import export_bundle
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.vamp import whole_frames
from helpers.vampnet.weights import load_models
from workshop.bench import machine

N_CLIPS, SEEDS = 12, (0, 1, 2)
PERIOD, BOOKS = 7, 3  # the vamp: every seventh frame of three codebooks is kept


@dataclass(frozen=True)
class Distances:
    """Log-mel distances of vamps of one clip: from float32 on the same noise, and between float32's seeds."""

    clip: str
    rounding: list[float]
    seeds: list[float]


@dataclass(frozen=True)
class Quality:
    """What one precision cost."""

    checkpoints: str
    precision: str
    findings: list[Finding]
    distances: list[Distances]
    processor: str = field(default_factory=machine.processor)
    date: str = field(default_factory=lambda: date.today().isoformat())

    @property
    def rounding(self) -> float:
        """Median over clips and seeds."""
        return float(np.median([one for row in self.distances for one in row.rounding]))

    @property
    def seeds(self) -> float:
        """Median over clips and pairs of seeds."""
        return float(np.median([one for row in self.distances for one in row.seeds]))

    def markdown(self) -> str:
        """The whole as text."""
        rows = [(row.graph, row.measure, f"{row.value:.3g}", f"{row.limit:g}", _verdict(row.passed))
                for row in self.findings]  # fmt: skip
        rows.append(
            ("vamp", f"log-mel distance to float32, {len(self.distances)} clips, {len(SEEDS)} seeds, median",
             f"{self.rounding:.3f}", f"{self.seeds:.3f}, of two seeds", _verdict(self.rounding <= self.seeds))
        )  # fmt: skip
        table = markdown_table(("graph", "measure", "measured", "limit", "verdict"), rows)
        clips = "; ".join(
            f"{row.clip} {np.median(row.rounding):.2f} / {np.median(row.seeds):.2f}" for row in self.distances
        )
        return (
            f"# What {self.precision} costs, {self.date}\n\n"
            f"Checkpoints in `{self.checkpoints}`, on {self.processor}. "
            f"A vamp keeps every {PERIOD}th frame of the first {BOOKS} codebooks.\n\n{table}\n\n"
            f"By clip, {self.precision} to float32 / seed to seed: {clips}.\n"
        )


def _verdict(passed: bool) -> str:
    return "ok" if passed else "FAILED"


def vamps(pipeline: Pipeline, codes: np.ndarray, n_samples: int) -> list[np.ndarray]:
    """The clip's vamp for each of SEEDS, (1, 1, N) float32 at 44.1 kHz."""
    mask = masks.codebook_mask(masks.periodic(codes.shape, PERIOD), BOOKS)
    sounds = (pipeline.decode(pipeline.vamp(codes, mask, seed=seed)) for seed in SEEDS)
    return [at_44100(sound, pipeline.sample_rate, n_samples) for sound in sounds]


def distances(whole: Pipeline, small: Pipeline, clip: Clip) -> Distances:
    """Both pipelines on the same tokens, mask and noise."""
    codes = whole.encode(whole_frames(whole, clip.audio, clip.sample_rate), clip.sample_rate)
    n_samples = round(clip.seconds * RATE)
    in_float, rounded = vamps(whole, codes, n_samples), vamps(small, codes, n_samples)
    return Distances(
        clip.name,
        [log_mel(heard, reference) for heard, reference in zip(rounded, in_float)],
        [log_mel(heard, reference) for heard, reference in combinations(in_float, 2)],
    )


def measure(
    directory: Path,
    precision: str,
    clips: Sequence[Clip],
    watch: Callable[[Sequence[Clip]], Iterator[Clip]] = iter,
) -> Quality:
    """Export a float32 bundle and a smaller one for the occasion and compare them. Raises InputError."""
    models = load_models(directory)
    with tempfile.TemporaryDirectory() as folder:
        whole, small = (
            Pipeline.open(export_bundle(models, Path(folder) / name, precision=name))
            for name in ("fp32", precision)
        )
        precisions = dict.fromkeys(("coarse", "c2f"), precision)
        in_torch = TorchPipeline(models.codec, models.coarse, models.c2f)
        found = list(findings(precisions, in_torch, small))
        rows = [distances(whole, small, clip) for clip in watch(clips)]
        for graph in (*whole.graphs.values(), *small.graphs.values()):
            graph.close()  # an open file can't be removed on Windows
    return Quality(directory.resolve().name, precision, found, rows)


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop quality vampnet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--checkpoints", type=Path, default=None, metavar="DIR", help="the course's own")
    command.add_argument("--precision", choices=list(METHODS), default="int8")
    command.add_argument("--clips", type=whole(1), default=N_CLIPS, metavar="N", help=f"how many ({N_CLIPS})")
    command.add_argument("--markdown", type=Path, metavar="FILE")
    command.set_defaults(run=run_quality)
    return command


def run_quality(options: argparse.Namespace) -> None:
    check_outputs([options.markdown])
    found = measure(
        options.checkpoints or course_checkpoints(), options.precision, load_clips()[: options.clips],
        lambda clips: tqdm(clips, unit="clip", disable=None),
    )  # fmt: skip
    print(found.markdown(), end="")
    if options.markdown:
        write_text(options.markdown, found.markdown())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
