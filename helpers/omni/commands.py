"""What the commands do with an omni: `export`, `verify` and `ask`."""

import argparse
import sys
from pathlib import Path

import numpy as np

from helpers.batch import Work
from helpers.support import files
from helpers.support.commands import Parser, add_models, from_bundle, graph_progress, progress, wrote_bundle
from helpers.support.errors import InputError, plain


def export(arguments: argparse.Namespace) -> None:
    """A checkpoint to a bundle of five graphs."""
    from helpers.omni.graphs import GRAPHS, export_bundle
    from helpers.omni.weights import load_models

    models = load_models(arguments.checkpoints)
    for report in models.reports.values():
        print(plain(report.summary()))
    with graph_progress(len(GRAPHS)) as on_graph:
        bundle = export_bundle(
            models, arguments.out, arguments.opset, arguments.external_data, on_graph, arguments.precision
        )
    print(wrote_bundle(bundle, arguments.opset, arguments.precision))


def verify(arguments: argparse.Namespace):
    """The certificate of a bundle."""
    from helpers.omni.proof import verify_bundle

    with progress(unit="comparison") as bar:
        return verify_bundle(arguments.checkpoints, arguments.bundle, lambda row: bar.update())


def page(arguments: argparse.Namespace) -> None:
    """There is no page for it yet. Raises InputError."""
    raise InputError("a page plays a vampnet or a musicgen, and this bundle is an omni; use it with ask.")


def add_options(command: argparse.ArgumentParser) -> None:
    """An omni's checkpoint says everything itself."""


add_export_options = add_options  # `export` takes no more


def add_commands(choices: argparse._SubParsersAction) -> None:
    """`ask`."""
    command: Parser = choices.add_parser(
        "ask", help="omni: a question about a picture; the answer, aloud too"
    )
    command.set_defaults(run=ask)
    command.add_argument(
        "output", type=Path, nargs="?", metavar="OUT.wav", help="write the spoken answer; without, print it"
    )
    add_models(command)
    asked = command.add_argument_group("what to ask (one of --text and --speech)")
    asked.add_argument("--text", metavar="T", help="a typed question")
    asked.add_argument("--speech", type=Path, metavar="IN.wav", help="a spoken question")
    asked.add_argument("--picture", type=Path, metavar="P", help="an image, or a .npy: what it is about")


def ask(arguments: argparse.Namespace) -> None:
    """Answer a question, typed or spoken, about a picture or none: print it, and write it as sound."""
    from helpers import audio as sound

    if (arguments.text is None) == (arguments.speech is None):
        raise InputError("ask with words or with speech: one of --text T and --speech IN.wav.")
    if arguments.output:
        sound.check_suffix(arguments.output)
    files.check_outputs([arguments.output], [arguments.speech, arguments.picture])
    pipeline = open_pipeline(arguments)
    picture = None if arguments.picture is None else seen(arguments.picture, pipeline.spec.picture_size)
    speech, rate = (None, None) if arguments.speech is None else sound.load(arguments.speech)
    answer = pipeline.ask(arguments.text, picture, speech, rate)
    if answer.heard is not None:
        print(f"heard: {answer.heard or '(nothing)'}")
    print(f"answer: {answer.text or '(none)'}")
    if answer.doubts:
        print(f"too little sure of what was {' and '.join(answer.doubts)}")
    if arguments.output:
        sound.save(arguments.output, answer.audio, pipeline.sample_rate)
        seconds = len(answer.audio) / pipeline.sample_rate
        print(plain(f"wrote {arguments.output}: {seconds:.2f} s"))


def seen(path: Path, size: int) -> np.ndarray:
    """The picture in a file, (size, size, 3); what had to be done to it is a note on stderr."""
    from helpers.omni.pictures import load_picture

    picture, (width, height) = load_picture(path, size)
    if (width, height) != (size, size):
        side = min(width, height)
        middle = "" if width == height else f", of which the middle, {side} x {side},"
        note = f"{path} is {width} x {height}{middle or ' and'} was made {size} x {size}."
        print("note:", plain(note), file=sys.stderr)
    return picture


def open_pipeline(arguments: argparse.Namespace):
    """The pipeline that --bundle or --checkpoints names."""
    if from_bundle(arguments, ()):
        from helpers.omni.pipeline import Pipeline

        return Pipeline.open(arguments.bundle, arguments.provider)
    from helpers.omni.reference import TorchPipeline

    return TorchPipeline.open(arguments.checkpoints)


WORKS: dict[str, Work] = {}  # nothing that `batch` could do with a folder yet
