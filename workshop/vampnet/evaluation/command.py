"""`python -m workshop evaluate vampnet`: score a checkpoint on music it has not heard."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from helpers.audio.clips import COURSE_CLIPS, load_clips
from helpers.support import commands, files
from helpers.support.commands import Parser, add_checkpoints, progress
from helpers.support.errors import InputError
from helpers.vampnet.commands import add_options
from helpers.vampnet.files import course_checkpoints
from workshop.scoring import opus
from workshop.vampnet.evaluation.evaluation import evaluate


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop evaluate vampnet",
        description="Score a checkpoint on music it has not heard.",
    )
    add_checkpoints(command, required=False)
    add_options(command)
    command.add_argument(
        "--clips", type=Path, metavar="DIR", help="held-out clips (default: those that come with the course)"
    )
    command.add_argument(
        "--style-clips", type=Path, metavar="DIR", help="clips of the style that the overlays were trained on"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every score of every clip")
    command.add_argument("--quick", action="store_true", help="a rough look: few clips, cut short")
    command.add_argument(
        "--strict", action="store_true", help="exit with status 1 if a requirement is not met"
    )
    command.add_argument(
        "--record-opus",
        type=Path,
        metavar="FILE",
        help="only measure Opus on the clips and write its figures",
    )
    command.set_defaults(run=run_evaluate)
    return command


def run_evaluate(arguments: argparse.Namespace) -> int:
    files.check_outputs([arguments.json, arguments.record_opus])
    if arguments.style_clips and not arguments.lora:
        raise InputError("--style-clips goes with --lora; name the overlays to score on them.")
    with progress(unit="clip") as bar:

        def on_progress(what: str) -> None:
            bar.set_description(what)
            bar.update()

        if arguments.record_opus:
            clips = load_clips(arguments.clips or COURSE_CLIPS)
            opus.record(arguments.record_opus, clips, lambda: on_progress("Opus"))
            print(f"wrote {arguments.record_opus}: Opus on {len(clips)} clips")
            return 0
        evaluation = evaluate(
            arguments.checkpoints or course_checkpoints(),
            arguments.clips,
            arguments.lora,
            arguments.style_clips,
            arguments.quick,
            on_progress,
        )
    print(evaluation)
    if arguments.json:
        files.write_json(arguments.json, evaluation.to_json())
    return 1 if arguments.strict and not evaluation.passed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
