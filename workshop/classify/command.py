"""Train a classifier of sound on the course's night chorus, or on recordings of one's own.

    python -m workshop train classify --model ghost --epochs 30 --out my_ghost
    python -m workshop train classify --data recordings --start Cnn14_16k_mAP=0.438.pth --out mine

With --data, a folder a class (or train, valid, shifted and test, each with a folder a class: the checkpoint
is chosen by `shifted` where there is one). Writes the best checkpoint, the metrics as CSV, the settings as
JSON, and a state from which the same command goes on.
"""

import argparse
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, fields
from functools import partial
from pathlib import Path

from helpers.classify.files import MODELS, WEIGHTS
from helpers.support import commands
from helpers.support.commands import Parser, number, whole
from helpers.support.files import write_json
from workshop.classify.features import Chorus, Folder, Task
from workshop.classify.training import ClassifierTraining, Recipe
from workshop.training.loop import Budget, Row, run

SETTINGS = "settings.json"
PLACES = ("start", "teacher")  # settings that name a directory


def parser() -> Parser:
    """The command line: an option for each field of a recipe."""
    command = Parser(
        prog="python -m workshop train classify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--out", type=Path, required=True, help="for checkpoint, metrics, settings, state")
    add_data(command)
    command.add_argument(
        "--seeds", type=whole(1, 1000), default=1, help="so many, from --seed on, each in a folder of its own"
    )
    for one in fields(Recipe):
        add_setting(command, one)
    command.set_defaults(run=carry_out)
    return command


def add_classifiers(command: argparse.ArgumentParser) -> None:
    """Which classifiers are scored."""
    command.add_argument(
        "--checkpoints", type=Path, nargs="+", default=[MODELS], metavar="DIR",
        help="every classifier in and below (default: the course's)",
    )  # fmt: skip


def add_data(command: argparse.ArgumentParser) -> None:
    """What to learn from or to be scored on."""
    command.add_argument("--data", type=Path, metavar="DIR", help="one's own recordings, a folder a class")
    command.add_argument("--cache", type=Path, metavar="DIR", help="for pictures of sounds, kept for later")


def add_setting(command: argparse.ArgumentParser, one: Field) -> None:
    """A field of a recipe as an option."""
    option = "--" + one.name.replace("_", "-")
    says = f"{one.metadata['help']} ({one.default if one.default != '' else 'none'})"
    if one.type is bool:
        command.add_argument(option, action="store_true", help=says)
        return
    kinds = {
        int: partial(whole, int(one.metadata.get("least", 0)), 10**9),
        float: partial(number, one.metadata.get("least", 0.0), 1e6),
    }
    kind = kinds[one.type]() if one.type in kinds else str
    command.add_argument(
        option, type=kind, default=one.default, choices=one.metadata.get("choices"), help=says
    )


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """The settings that a command line has."""
    return Recipe(**{one.name: getattr(arguments, one.name) for one in fields(Recipe)})


def task_of(arguments: argparse.Namespace) -> Task:
    """What there is to learn."""
    return Chorus() if arguments.data is None else Folder(arguments.data)


def carry_out(arguments: argparse.Namespace) -> None:
    """Train each of the seeds."""
    task, recipe = task_of(arguments), recipe_of(arguments)
    for seed in range(recipe.seed, recipe.seed + arguments.seeds):
        out = arguments.out / f"seed_{seed}" if arguments.seeds > 1 else arguments.out
        one = Recipe(**asdict(recipe) | {"seed": seed})
        rows = train(one, task, out, arguments.cache or arguments.out / "pictures")
        best = min(rows, key=lambda row: row["score"])
        print(f"wrote {out}: {1 - best['score']:.3f} of the held-out clips right, at step {best['step']}")


def train(recipe: Recipe, task: Task, out: Path, cache: Path | None = None) -> list[Row]:
    """Train to the end, or go on with what was interrupted; return the rows of the metrics."""
    training = ClassifierTraining(recipe, task, cache)
    write_json(out / SETTINGS, portable(training.settings, out))
    return run(training, out / WEIGHTS, Budget(training.steps, patience=recipe.patience))


def portable(settings: Mapping, out: Path) -> dict:
    """The settings with directories as they lie from `out`: what is written says nothing of a computer."""
    found = dict(settings)
    for name in (one for one in PLACES if found[one]):
        with contextlib.suppress(ValueError):  # on another drive there is no way from here to there
            found[name] = Path(os.path.relpath(found[name], out)).as_posix()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments, stopped="stopped; the same command continues.")
