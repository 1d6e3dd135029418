"""The commands: `python -m helpers inspect | download | export | verify | batch | page`, and those that play.

A mistake of the user's is one line on stderr and exit status 2, Ctrl-C is 130, a failed verification 1. What
a command does is the model's own: its room is found by what the files hold. Each imports what it needs when
it runs: playing a bundle never imports PyTorch.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from helpers import rooms
from helpers.batch import Work, add_batch, run_batch
from helpers.support import commands, files
from helpers.support.commands import Parser, add_checkpoints
from helpers.support.errors import InputError


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(
        prog="python -m helpers", description="Take audio models from PyTorch to ONNX, and play them."
    )
    choices = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    command = choices.add_parser("inspect", help="tell what a checkpoint, a graph or a bundle holds")
    command.add_argument("path", type=Path, metavar="FILE_OR_DIRECTORY")
    command.set_defaults(run=inspect)

    command = choices.add_parser("download", help="fetch public weights; without a name, list them")
    command.add_argument("name", nargs="?", metavar="NAME")
    command.add_argument("--to", type=Path, metavar="DIR", help="the directory to fetch into")
    command.set_defaults(run=download)

    command = choices.add_parser("export", help="checkpoints to a bundle of ONNX graphs")
    add_checkpoints(command, required=True)
    command.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the directory to write")
    command.add_argument(
        "--precision",
        default="fp32",
        metavar="NAME",
        help="fp32, fp16 (weights stored so), int8 (small and fast), int8-block, int4 (default: %(default)s)",
    )
    command.add_argument("--opset", type=int, default=23, metavar="N", help="17 to 23 (default: %(default)s)")
    command.add_argument(
        "--external-data", action="store_true", help="put the weights beside the graphs, in NAME.onnx.data"
    )
    command.set_defaults(run=export)

    command = choices.add_parser("verify", help="compare a bundle with its checkpoints")
    add_checkpoints(command, required=True)
    command.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as a certificate")
    command.set_defaults(run=verify)

    command = choices.add_parser("page", help="a bundle to one HTML file that plays it in a browser")
    command.add_argument("bundle", type=Path, metavar="BUNDLE")
    command.add_argument("--out", type=Path, required=True, metavar="PAGE.html", help="the file to write")
    command.set_defaults(run=page)

    command = choices.add_parser("batch", help="vamp, generate, encode or classify every sound of a folder")
    kinds = command.add_subparsers(required=True, metavar="WHAT", parser_class=Parser)
    for room in rooms.ROOMS:
        its = rooms.door(room, "commands")
        add_batches(kinds, its.WORKS)
        its.add_export_options(choices.choices["export"])
        its.add_options(choices.choices["verify"])
        its.add_commands(choices)
    return top


def inspect(arguments: argparse.Namespace) -> None:
    """Say what a file, a directory of checkpoints or a bundle holds."""
    print(rooms.describe(arguments.path))


def download(arguments: argparse.Namespace) -> None:
    """Fetch the checkpoints that a room knows, or list them."""
    from helpers.download import available
    from helpers.download import download as fetch

    sources = [source for room in rooms.ROOMS for source in rooms.door(room, "files").sources()]
    if arguments.name is None:
        print(available(sources))
    elif arguments.to is None:
        raise InputError("say where to put it: --to DIR.")
    else:
        fetch(sources, arguments.name, arguments.to)


def export(arguments: argparse.Namespace) -> None:
    """Checkpoints to a bundle."""
    from helpers.export.graph import check_opset
    from helpers.quantize import check_precision

    check_precision(arguments.precision)
    check_opset(arguments.opset)
    room = rooms.of_checkpoints(arguments.checkpoints)
    refuse_others_options(arguments, room, "add_export_options")
    rooms.door(room, "commands").export(arguments)


def verify(arguments: argparse.Namespace) -> int:
    """Compare a bundle with its checkpoints: 0 if it passes, else 1."""
    files.check_outputs([arguments.json])
    room = rooms.of_bundle(arguments.bundle)
    refuse_others_options(arguments, room, "add_options")
    certificate = rooms.door(room, "commands").verify(arguments)
    print(certificate)
    if arguments.json:
        files.write_json(arguments.json, certificate.to_json())
    return 0 if certificate.passed else 1


def add_batches(kinds: argparse._SubParsersAction, works: Mapping[str, Work]) -> None:
    """What a room does with folders; what another room does under the same name takes the same options."""
    for kind, work in works.items():
        if kind not in kinds.choices:
            command = kinds.add_parser(kind)
            add_batch(command)
            work.add_options(command)
            command.set_defaults(run=partial(batch, kind))


def batch(kind: str, arguments: argparse.Namespace) -> int:
    """Every sound of a folder: 0 if all went well, else 1."""
    room = rooms.of_bundle(arguments.bundle)
    works = rooms.door(room, "commands").WORKS
    if kind not in works:
        raise InputError(
            f"{arguments.bundle} is of the kind {room}, and {kind} is none of what it does with a folder: "
            f"{', '.join(works) or 'nothing'}."
        )
    return run_batch(kind, room, works[kind], arguments)


def page(arguments: argparse.Namespace) -> None:
    """A bundle to one file that plays it in a browser."""
    rooms.door(rooms.of_bundle(arguments.bundle), "commands").page(arguments)


def refuse_others_options(arguments: argparse.Namespace, room: str, adding: str) -> None:
    """Raise InputError for an option that goes with another room's checkpoints; `adding` adds a room's."""
    for other in rooms.ROOMS:
        if other != room:
            its = Parser()
            getattr(rooms.door(other, "commands"), adding)(its)
            for name, default in vars(its.parse_args([])).items():
                if getattr(arguments, name) != default:
                    raise InputError(f"--{name.replace('_', '-')} goes with a {other}, and this is a {room}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return commands.main(parser(), argv)


if __name__ == "__main__":
    commands.leave(main())
