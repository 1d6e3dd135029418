"""`python -m workshop bench musicgen`: steps, codec, continuations in PyTorch and ONNX Runtime, in turn."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from helpers.musicgen.files import MODELS
from helpers.support import commands, files
from helpers.support.commands import Parser, progress, whole
from helpers.support.errors import plain
from workshop.musicgen.bench import report
from workshop.musicgen.bench.benchmark import ROUNDS, bench


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop bench musicgen", description=__doc__)
    command.add_argument(
        "--checkpoints", type=Path, default=MODELS, metavar="DIR", help="default: the course's"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every round of every version")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the report")
    command.add_argument("--rounds", type=whole(1, 1000), default=ROUNDS, metavar="N", help="%(default)s")
    command.add_argument(
        "--threads", type=whole(1, 1000), default=1, metavar="N", help="for every version (%(default)s)"
    )
    command.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    command.set_defaults(run=run_bench)
    return command


def run_bench(arguments: argparse.Namespace) -> None:
    files.check_outputs([arguments.json, arguments.markdown])
    with progress(unit="step") as bar:

        def on_progress(what: str) -> None:
            bar.set_description(plain(what))
            bar.update()

        found = bench(
            arguments.checkpoints, arguments.rounds, arguments.threads, not arguments.no_compile, on_progress
        )
    text = report.markdown(found)
    print(text, end="")
    if arguments.json:
        files.write_json(arguments.json, found.to_json())
    if arguments.markdown:
        files.write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
