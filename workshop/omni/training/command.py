"""Train parts of the course's own omni.

    python -m workshop train omni all --out DIR
    python -m workshop train omni thinker --out DIR --minutes 20
    python -m workshop train omni ear --out DIR --manifest sounds.jsonl

The world is drawn and spoken while the program runs, from nothing but numbers: there is nothing to
download. Each stage writes its part of the checkpoint, the metrics as CSV and a state from which the same
command goes on. `all` trains one stage after the other, each as long as its recipe says.

--manifest takes one's own lines, JSON, one object a line, files beside it; every tenth is held out. The
model's words are those of the first manifest that has any.
    thinker  {"question": "is it late", "answer": "yes it is"}; "scene": a picture in words, if there is one
    ear      {"sound": "a.wav", "text": "is it late"}
    eye      {"picture": "a.png", "caption": "a red house"} or {"picture": "b.png", "number": "407"}
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from helpers.omni.configs import Config
from helpers.omni.files import CONFIG as FILE
from helpers.omni.files import read_config
from helpers.support import commands
from helpers.support.commands import Parser, number, whole
from helpers.support.errors import InputError
from workshop.omni.training.codec import CodecStage
from workshop.omni.training.ear import EarStage
from workshop.omni.training.eye import EyeStage
from workshop.omni.training.own import OWN, Manifest, read_manifest
from workshop.omni.training.stage import CONFIG, Recipe, Stage, trained_parts
from workshop.omni.training.talker import TalkerStage
from workshop.omni.training.thinker import ThinkerStage
from workshop.omni.training.together import TogetherStage
from workshop.omni.training.voice import VoiceStage
from workshop.training.loop import Budget, run


class Plan(NamedTuple):
    """A stage, how it is trained, and for how long."""

    kind: type[Stage]
    recipe: Recipe
    steps: int


ALL = "all"
PLANS = {  # in the order in which one needs the other
    "thinker": Plan(ThinkerStage, Recipe(batch=48, rate=1.5e-3), 1500),
    "eye": Plan(EyeStage, Recipe(batch=48, rate=1.5e-3), 1800),
    "ear": Plan(EarStage, Recipe(batch=24, rate=2e-3), 1560),
    "codec": Plan(CodecStage, Recipe(batch=16, rate=2e-3, decay=0.0, check_items=60), 900),
    "voice": Plan(
        VoiceStage, Recipe(batch=16, rate=2e-3, decay=0.0, largest_gradient=5.0, check_items=24), 2600
    ),
    "together": Plan(TogetherStage, Recipe(batch=40, rate=1e-3, check_items=120), 2700),
    "talker": Plan(TalkerStage, Recipe(batch=16, rate=1.5e-3, check_items=48), 2000),
}


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop train omni",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("stage", choices=(*PLANS, ALL))
    command.add_argument("--out", type=Path, required=True, help="for checkpoints, metrics and states")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=number(1e-3, 1e6), help="of training, pauses not counted")
    length.add_argument("--steps", type=whole(1, 10**9), help="of training; the recipe's unless given")
    command.add_argument("--manifest", type=Path, help="one's own lines, for thinker, ear or eye")
    command.add_argument("--batch", type=whole(1, 4096), help="items a step")
    command.add_argument("--bfloat16", action="store_true", help="faster where the processor has it")
    command.set_defaults(run=carry_out)
    return command


def carry_out(arguments: argparse.Namespace) -> None:
    """Train what was asked for."""
    if arguments.stage == ALL and (arguments.steps or arguments.minutes or arguments.batch):
        raise InputError(f"'{ALL}' trains by the recipes; give --steps, --minutes and --batch for one stage.")
    manifest = None if arguments.manifest is None else _lines(arguments.manifest, arguments.stage)
    config = _config(arguments.out, manifest)
    for name in PLANS if arguments.stage == ALL else (arguments.stage,):
        kind, recipe, steps = PLANS[name]
        if arguments.batch is not None:
            recipe = replace(recipe, batch=arguments.batch)
        trained = trained_parts(arguments.out, kind.needs, config)
        kind = kind if manifest is None else partial(OWN[name], manifest)
        stage = kind(recipe, config, arguments.bfloat16, trained)
        budget = Budget(None if arguments.minutes else arguments.steps or steps, arguments.minutes)
        run(stage, arguments.out / f"{name}.safetensors", budget)
        print(f"wrote {arguments.out}: {name}", flush=True)


def _lines(path: Path, stage: str) -> Manifest:
    if stage not in OWN:
        raise InputError(f"one's own lines train {', '.join(OWN)}, not '{stage}'.")
    return read_manifest(path, stage)


def _config(directory: Path, manifest: Manifest | None) -> Config:
    """The shape of what is in the directory; in a new one the course's, with the manifest's words."""
    if (directory / FILE).is_file():
        return read_config(directory)
    return replace(CONFIG, words=manifest.words) if manifest is not None and manifest.words else CONFIG


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments, stopped="stopped; the same command continues.")
