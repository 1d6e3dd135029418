"""What 8 bits cost a trained classifier, and what they save: `python -m workshop quality classify`.

Each checkpoint is exported twice, in float32 and in 8 bit calibrated with close clips; both bundles hear the
same far clips. Times are processor time of ONNX Runtime on one thread, the two in turn, so their ratio can be
read even where the computer has other work; on small networks 8 bit is often the slower one.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from helpers.classify.graphs import export_bundle
from helpers.classify.pipeline import Pipeline
from helpers.classify.weights import load_models
from helpers.support import commands
from helpers.support.commands import Parser, progress
from helpers.support.files import check_outputs, write_text
from helpers.support.tables import markdown_table
from workshop.classify.command import add_classifiers, add_data, task_of
from workshop.classify.evaluation.command import checkpoints
from workshop.classify.features import Task

PRECISIONS = ("fp32", "int8")
SETTLED = 48  # close clips, evenly from all, that fix the ranges
ROUNDS, TIMED = 15, 4  # rounds, and clips in each


@dataclass(frozen=True)
class Cost:
    """Of one checkpoint, float32 and 8 bit: bytes of the graph, the share of clips right of those heard.

    ear: bytes of the front end, which stays as it is. agree: the share of clips for which both name the same
    label first. ratio: how many times as fast 8 bit is.
    """

    name: str
    sizes: tuple[int, int]
    ear: int
    right: tuple[float, float]
    agree: float
    ratio: float


@cache
def heard(task: Task, split: str, rate: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """A split as sounds (n, N) and labels (n,)."""
    sounds, labels = zip(*task.sounds(split, rate, seconds))
    return np.stack(sounds).astype(np.float32), np.array(labels)


def cost(name: str, path: Path, task: Task, split: str, folder: Path) -> Cost:
    """Export twice, listen, take turns."""
    models = load_models(path)
    rate, seconds = models.config.front.sample_rate, models.config.window_seconds
    known, _ = heard(task, "train", rate, seconds)
    examples = [one[None] for one in known[:: max(1, len(known) // SETTLED)]]
    audio, labels = heard(task, split, rate, seconds)
    sizes, said, asked = [], [], {}
    for precision in PRECISIONS:
        bundle = export_bundle(models, folder / name / precision, precision=precision, examples=examples)
        pipeline = Pipeline.open(bundle, threads=1)
        parts = np.array_split(audio, -(-len(audio) // 50))
        said.append(np.concatenate([pipeline.scores(one[:, None], rate).argmax(1) for one in parts]))
        sizes.append((bundle / "classifier.onnx").stat().st_size)
        asked[precision] = lambda one=pipeline: one.scores(audio[:TIMED, None], rate)
    right = tuple(float((one == labels).mean()) for one in said)
    ratio = times_as_fast(asked["fp32"], asked["int8"])
    ear = sum(4 * one.numel() for one in models.classifier.front.state_dict().values())
    return Cost(name, tuple(sizes), ear, right, float((said[0] == said[1]).mean()), ratio)


def times_as_fast(first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS) -> float:
    """How many times less processor time the second takes, by medians of rounds in which both take turns."""
    seconds = np.zeros((rounds + 1, 2))
    for one in seconds:
        for i, run in enumerate((first, second)):
            begun = time.process_time()
            run()
            one[i] = time.process_time() - begun
    return float(np.divide(*np.median(seconds[1:], 0)))  # the first round warms up


def report(found: Sequence[Cost], split: str, what: str) -> str:
    """A dated page."""
    rows = [
        [one.name, *(f"{size / 1000:.0f} kB" for size in one.sizes), *(f"{100 * x:.1f}" for x in one.right),
         f"{100 * one.agree:.1f}", f"{one.ratio:.2f}"]
        for one in found
    ]  # fmt: skip
    columns = ("model", "graph, float32", "graph, 8 bit", "right (%)", "in 8 bit (%)", "same answer (%)",
               "times as fast")  # fmt: skip
    return (
        f"# What 8 bits cost\n\nMeasured on {date.today()}: {what}, split `{split}`. The graphs hold the "
        f"ear, which stays in float32 and is {found[0].ear / 1000:.0f} kB of each. Times: processor time of "
        "ONNX Runtime, one thread, both in turn, the ratio of medians; below 1, 8 bit is the slower one. The "
        f"computer had other work.\n\n{markdown_table(columns, rows)}\n"
    )


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop quality classify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_classifiers(command)
    add_data(command)
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the page")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown])
    task, found = task_of(arguments), checkpoints(arguments.checkpoints)
    split = "shifted" if task.has("shifted") else "valid"
    what = "the night chorus" if arguments.data is None else f"recordings in {arguments.data}"
    with tempfile.TemporaryDirectory() as folder, progress(total=len(found), unit="model") as bar:
        costs = []
        for name, seed, path in found:
            called = name if seed is None else f"{name}_{seed}"
            costs.append(cost(called, path, task, split, Path(folder)))
            bar.update()
    text = report(costs, split, what)
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
