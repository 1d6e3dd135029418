"""Score trained classifiers on clips they have not heard: `python -m workshop evaluate classify`.

Accuracy, macro precision, recall and F1, mean average precision, calibration, and what is taken for what; the
seeds of one recipe (folders `seed_0`, `seed_1` ...) as a mean with its spread. The night chorus's test is
composed by a program that is frozen: where that has changed, nothing is scored.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from data.chorus import compose, frozen
from helpers.classify.files import CONFIG, WEIGHTS, is_own
from helpers.classify.weights import Models, load_models
from helpers.support import commands
from helpers.support.commands import Parser, progress
from helpers.support.errors import InputError
from helpers.support.files import check_outputs, write_json, write_text
from helpers.support.tables import markdown_table
from workshop.classify.command import add_classifiers, add_data, task_of
from workshop.classify.evaluation.metrics import Metrics, metrics
from workshop.classify.features import SPLITS, Clips, Task, clips
from workshop.classify.training import predicted
from workshop.scoring.statistics import score

SEED = re.compile(r"seed_(\d+)$")
WORST = 4  # pairs of labels that are said


@dataclass(frozen=True)
class Result:
    """One checkpoint on one split.

    group: whose seeds belong together. hits: (clips,) whether each is right.
    """

    group: str
    seed: int | None
    n_numbers: int
    n_bytes: int
    labels: tuple[str, ...]
    metrics: Metrics
    hits: np.ndarray

    @cached_property
    def confused(self) -> list[tuple[str, str, int]]:
        """What is most often taken for what: true, said, how many clips."""
        table = self.metrics.confusion * (1 - np.eye(len(self.labels), dtype=int))
        order = np.argsort(-table, axis=None, kind="stable")[:WORST]
        places = [divmod(int(i), len(self.labels)) for i in order]
        return [(self.labels[i], self.labels[j], int(table[i, j])) for i, j in places if table[i, j]]


def checkpoints(places: Sequence[Path]) -> list[tuple[str, int | None, Path]]:
    """Every classifier of the course's format in and below directories: its group, its seed, where."""
    found = []
    for place in places:
        inside = sorted(one.parent for one in place.rglob(CONFIG) if is_own(one.parent))
        if not inside:
            raise InputError(f"{place} holds no classifier of the course's; train one with `train classify`.")
        for path in inside:
            seed = SEED.search(path.name)
            group = (path.parent if seed else path).resolve().name
            found.append((group, int(seed[1]) if seed else None, path))
    return found


def heard(models: Models, task: Task, split: str, cache: Path | None) -> Clips:
    """A split as a classifier's own ear hears it. Raises InputError for labels that are not its."""
    if models.labels != tuple(task.labels):
        raise InputError(f"the model knows the labels {', '.join(models.labels)}, the clips others.")
    config = models.config
    ear = models.classifier.front
    return clips(task, split, ear, config.front.sample_rate, config.window_seconds, cache)


@torch.no_grad()
def scores(models: Models, known: Clips) -> np.ndarray:
    """(n, labels) float32, as the model in use gives them."""
    network = models.classifier.network
    return network.scores(predicted(network, known.pictures)).numpy()


def results(
    found: Sequence[tuple[str, int | None, Path]], task: Task, split: str, cache: Path | None
) -> Iterator[Result]:
    """One for each checkpoint."""
    for group, seed, path in found:
        models = load_models(path)
        known = heard(models, task, split, cache)
        labels, given = known.labels.numpy(), scores(models, known)
        n_numbers = sum(one.numel() for one in models.classifier.network.parameters())
        yield Result(
            group, seed, n_numbers, (path / WEIGHTS).stat().st_size, models.labels, metrics(given, labels),
            given.argmax(1) == labels,
        )  # fmt: skip


def check_frozen() -> str:
    """What the test is, in words. Raises InputError where it is no longer what was scored before."""
    if frozen.source_hash() != frozen.SOURCE:
        raise InputError(
            "data/chorus has changed since its test was frozen; put it back, or freeze it anew (data/chorus/"
            "frozen.py) and score every checkpoint anew."
        )
    audio = frozen.audio_hash(compose.clips("test")[0])
    same = "the same samples" if audio == frozen.AUDIO else "here a few samples are rounded otherwise"
    return f"frozen on {frozen.WHEN}, program {frozen.SOURCE[:12]}, audio {frozen.AUDIO[:12]} ({same})"


def report(found: dict[str, list[Result]], what: str, chosen: str) -> str:
    """A dated table of every split that was asked for; the last one in detail."""
    by_group: dict[str, dict[str, list[Result]]] = {}
    for split, rows in found.items():
        for row in rows:
            by_group.setdefault(row.group, {}).setdefault(split, []).append(row)
    first = [
        [name, *_size(rows[chosen])]
        + [_spread([100 * one.metrics.accuracy for one in rows[split]]) for split in found]
        + [_interval(rows[chosen])]
        for name, rows in by_group.items()
    ]
    headings = ("model", "numbers", "file", "seeds", *(f"{split} (%)" for split in found), "95 % interval")
    names = ("precision", "recall", "f1", "average_precision", "calibration")
    second = [
        [name, *(_spread([100 * getattr(one.metrics, what) for one in rows[chosen]]) for what in names)]
        for name, rows in by_group.items()
    ]
    more = ("model", "precision", "recall", "F1", "mAP", "calibration error")
    third = [
        [name, "; ".join(f"{true} as {said} ({n})" for true, said, n in rows[chosen][0].confused)]
        for name, rows in by_group.items()
    ]
    return "\n\n".join(
        [
            "# Classifiers, as they are",
            f"Measured on {date.today()}: {what}. Where there are several seeds: mean ± standard deviation. "
            f"The interval is of the first seed on `{chosen}`, over clips.",
            markdown_table(headings, first),
            f"On `{chosen}`, in per cent, means over labels:",
            markdown_table(more, second),
            f"What is most often taken for what (first seed, clips of `{chosen}`):",
            markdown_table(("model", "true as said"), third),
        ]
    ) + "\n"  # fmt: skip


def _size(rows: Sequence[Result]) -> tuple[str, str, str]:
    return f"{rows[0].n_numbers:,}", f"{rows[0].n_bytes / 1000:.0f} kB", str(len(rows))


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.1f}"
    return f"{mean} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else mean


def _interval(rows: Sequence[Result]) -> str:
    found = score(100.0 * rows[0].hits)
    return f"{found.low:.1f} to {found.high:.1f}"


def as_json(found: dict[str, list[Result]]) -> list[dict]:
    """Every number, and every confusion."""
    return [
        {
            "split": split, "model": one.group, "seed": one.seed, "labels": one.labels,
            **{name: value for name, value in asdict(one.metrics).items() if name != "confusion"},
            "confusion": one.metrics.confusion.tolist(),
        }
        for split, rows in found.items()
        for one in rows
    ]  # fmt: skip


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop evaluate classify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_classifiers(command)
    add_data(command)
    command.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=["valid", "shifted", "test"], metavar="SPLIT",
        help=f"of {', '.join(SPLITS)}; the last one in detail (default: valid shifted test)",
    )  # fmt: skip
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown, arguments.json])
    task, found = task_of(arguments), checkpoints(arguments.checkpoints)
    splits = [one for one in arguments.splits if task.has(one)]
    if not splits:
        raise InputError(f"{arguments.data} holds none of {', '.join(arguments.splits)}.")
    what = f"recordings in {arguments.data}"
    if arguments.data is None:
        what = "the night chorus" + (f", {check_frozen()}" if "test" in splits else "")
    made: dict[str, list[Result]] = {}
    with progress(total=len(splits) * len(found), unit="score") as bar:
        for split in splits:
            for one in results(found, task, split, arguments.cache):
                made.setdefault(split, []).append(one)
                bar.update()
    text = report(made, what, splits[-1])
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)
    if arguments.json:
        write_json(arguments.json, as_json(made))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
