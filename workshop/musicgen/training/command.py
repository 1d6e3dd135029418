"""Train the course's own MusicGen, or one of its parts.

    python -m workshop train musicgen all --out DIR --minutes 180

The music is composed while the program starts, from nothing but numbers: there is nothing to download. Each
part writes its best checkpoint, the metrics as CSV and a state from which the same command goes on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from helpers.musicgen.codec import Codec
from helpers.support import commands
from helpers.support.commands import Parser, number, whole
from helpers.support.errors import InputError
from workshop.musicgen.training import codec, language
from workshop.training.loop import Budget, run

SHARES = {"codec": 0.45, "language": 0.55}  # of the time that `all` is given
CODEC = "codec.pth"


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop train musicgen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("part", choices=("all", *SHARES), help="language needs codec.pth in --out")
    command.add_argument("--out", type=Path, required=True, help="for checkpoints, metrics and states")
    length = command.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=number(1e-3, 1e6), help="of training, pauses not counted")
    length.add_argument("--steps", type=whole(1, 10**9), help="of each part")
    command.add_argument("--pieces", type=whole(2, 10**6), help="of composed music")
    command.add_argument(
        "--bfloat16", action="store_true", help="language: faster where the processor has bfloat16"
    )
    command.set_defaults(run=carry_out)
    return command


def carry_out(arguments: argparse.Namespace) -> None:
    """Train what was asked for."""
    size = {} if arguments.pieces is None else {"pieces": arguments.pieces}
    for part in SHARES if arguments.part == "all" else (arguments.part,):
        share = SHARES[part] if arguments.part == "all" else 1.0
        budget = Budget(arguments.steps, arguments.minutes and share * arguments.minutes)
        if part == "codec":
            run(codec.CodecTraining(codec.Recipe(**size)), arguments.out / CODEC, budget)
        else:
            recipe, known = language.Recipe(**size), trained(arguments.out / CODEC)
            training = language.LanguageTraining(recipe, known, arguments.out / "tokens", arguments.bfloat16)
            run(training, arguments.out / "language.pth", budget)
    print(f"wrote {arguments.out}")


def trained(path: Path) -> Codec:
    """The codec that the first part made, brought to the level of what it hears. Raises InputError."""
    model = Codec(codec.CONFIG).eval()
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a file that is absent or damaged can fail in any way
        raise InputError(f"{path} is no codec of this recipe; train it first, with `codec`.") from error
    codec.level(model)
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments, stopped="stopped; the same command continues.")
