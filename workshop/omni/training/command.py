"""Train parts of the course's own omni.

    python -m workshop train omni thinker --out DIR --minutes 20

The world is drawn and spoken while the program runs, from nothing but numbers: there is nothing to
download. Each stage writes its part of the checkpoint, the metrics as CSV and a state from which the same
command goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from helpers.support import commands
from helpers.support.commands import Parser, number, whole
from workshop.omni.training.codec import CodecStage
from workshop.omni.training.ear import EarStage
from workshop.omni.training.eye import EyeStage
from workshop.omni.training.stage import Recipe, Stage
from workshop.omni.training.thinker import ThinkerStage
from workshop.training.loop import Budget, run

STAGES: dict[str, tuple[type[Stage], Recipe]] = {
    "thinker": (ThinkerStage, Recipe(batch=48, rate=1.5e-3)),
    "ear": (EarStage, Recipe(batch=24, rate=2e-3)),
    "eye": (EyeStage, Recipe(batch=48, rate=1.5e-3)),
    "codec": (CodecStage, Recipe(batch=16, rate=2e-3, decay=0.0, check_items=60)),
}


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop train omni",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("stage", choices=tuple(STAGES))
    command.add_argument("--out", type=Path, required=True, help="for checkpoints, metrics and states")
    length = command.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=number(1e-3, 1e6), help="of training, pauses not counted")
    length.add_argument("--steps", type=whole(1, 10**9), help="of training")
    command.add_argument("--batch", type=whole(1, 4096), help="items a step")
    command.add_argument("--bfloat16", action="store_true", help="faster where the processor has it")
    command.set_defaults(run=carry_out)
    return command


def carry_out(arguments: argparse.Namespace) -> None:
    """Train what was asked for."""
    kind, recipe = STAGES[arguments.stage]
    if arguments.batch is not None:
        recipe = replace(recipe, batch=arguments.batch)
    stage = kind(recipe, bfloat16=arguments.bfloat16)
    budget = Budget(arguments.steps, arguments.minutes)
    run(stage, arguments.out / f"{arguments.stage}.safetensors", budget)
    print(f"wrote {arguments.out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments, stopped="stopped; the same command continues.")
