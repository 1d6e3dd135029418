"""Choose how sure an omni must be to answer, and write that into its `config.json`.

    python -m workshop doubt omni --checkpoints DIR

Each of the three measures has a bound of its own, chosen on questions that are held out: it refuses as much
as it can of what is no question about the world, and hardly any that would be answered right.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from helpers.omni.doubt import NEVER, Bounds
from helpers.omni.pipeline import Pipeline
from helpers.omni.reference import TorchPipeline
from helpers.omni.weights import save_config
from helpers.support import commands
from helpers.support.commands import Parser, progress, whole
from helpers.support.tables import markdown_table
from workshop.omni.asked import STRANGE, aloud, considered, items, strange, typed

SHOWN_BY = {  # what each measure is to find out
    "heard": ("silence", "a song", "another language"), "seen": ("a photograph",),
    "answered": ("outside the world",),
}  # fmt: skip
MOST_LOST = 0.03  # share of good questions that a bound may refuse


def sureness(pipeline: Pipeline, count: int) -> tuple[list[dict], dict[str, list[dict]]]:
    """How sure it is of held-out questions that it answers right, and of each kind of what is none."""
    good, bad = [], {}
    with progress(total=count * (2 + len(STRANGE)), unit="question") as bar:
        for ask in (typed, aloud):
            for one in items("valid", count):
                found = considered(pipeline, ask(one))
                good += [found.sure] * (found.text == one.answer)
                bar.update()
        for kind in STRANGE:
            for one in strange(kind, "valid", count):
                bad.setdefault(kind, []).append(considered(pipeline, one).sure)
                bar.update()
    return good, bad


def bound(good: Sequence[float], bad: Sequence[float], most_lost: float = MOST_LOST) -> float | None:
    """The place between two values below which most bad ones lie beside what good ones do; None if none is.

    No more than `most_lost` of the good ones lie below it (Youden 1950, with that limit).
    """
    values = np.unique([*good, *bad])
    places = (values[1:] + values[:-1]) / 2
    lost, kept_out = (np.array([np.mean(np.asarray(some) < one) for one in places]) for some in (good, bad))
    gain = np.where(lost <= most_lost, kept_out - lost, 0.0)
    return float(np.clip(places[gain.argmax()], NEVER, 0)) if len(gain) and gain.max() > 0 else None


def chosen(good: Sequence[dict], bad: dict[str, list[dict]]) -> Bounds:
    """A bound for each measure."""
    found = {}
    for name, kinds in SHOWN_BY.items():
        of_good = [one[name] for one in good if name in one]
        found[name] = bound(of_good, [one[name] for kind in kinds for one in bad[kind]])
    return Bounds(**found)


def refused(bounds: Bounds, some: Sequence[dict]) -> list[bool]:
    """Whether each is too little sure."""
    return [bool(bounds.doubted(**one)) for one in some]


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop doubt omni",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--checkpoints", type=Path, required=True, metavar="DIR")
    command.add_argument("--items", type=whole(2, 100_000), default=200, help="of each kind (%(default)s)")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    pipeline = TorchPipeline.open(arguments.checkpoints)
    good, bad = sureness(pipeline, arguments.items)
    bounds = chosen(good, bad)
    save_config(arguments.checkpoints, replace(pipeline.models.config, bounds=bounds))
    rows = [[name, "-" if value is None else f"{value:.4f}"] for name, value in asdict(bounds).items()]
    print(markdown_table(("sure of", "at least (nats)"), rows))
    shares = {"answered right": good, **bad}
    rows = [[name, f"{np.mean(refused(bounds, some)):.3f}"] for name, some in shares.items() if some]
    print(markdown_table(("held-out questions", "refused"), rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
