"""`python -m workshop bench vampnet`: time PyTorch and ONNX Runtime side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from helpers.support import commands, files
from helpers.support.commands import Parser, number, progress, whole
from helpers.support.errors import InputError, plain
from workshop.vampnet.bench import report
from workshop.vampnet.bench.benchmark import bench


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop bench vampnet", description="Time PyTorch and ONNX Runtime side by side."
    )
    command.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="holds the three files (default: the course's)"
    )
    command.add_argument(
        "--bundle",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="made from them, one a precision (default: fp32 and int8, exported for the occasion)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every round of every version")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the report")
    command.add_argument("--picture", type=Path, metavar="FILE.png", help="draw it")
    command.add_argument(
        "--seconds", type=number(0.1, 1000), default=10.0, metavar="S", help="of sound (default: %(default)s)"
    )
    command.add_argument("--rounds", type=whole(1, 1000), default=7, metavar="N", help="default: %(default)s")
    command.add_argument(
        "--threads", type=whole(1, 1000), metavar="N", help="for every version (default: one a core)"
    )
    command.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    command.set_defaults(run=run_bench)
    return command


def run_bench(arguments: argparse.Namespace) -> None:
    files.check_outputs([arguments.json, arguments.markdown, arguments.picture])
    if arguments.picture and arguments.picture.suffix.lower() != ".png":
        raise InputError(f"{arguments.picture} should end in .png.")
    with progress(unit="step") as bar:

        def on_progress(what: str) -> None:
            bar.set_description(plain(what))
            bar.update()

        found = bench(
            arguments.checkpoints,
            arguments.bundle,
            arguments.seconds,
            arguments.rounds,
            arguments.threads,
            not arguments.no_compile,
            on_progress,
        )
    text = report.markdown(found)
    print(text, end="")
    if arguments.json:
        files.write_json(arguments.json, found.to_json())
    if arguments.markdown:
        files.write_text(arguments.markdown, text)
    if arguments.picture:
        report.draw(found, arguments.picture)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
