"""Score an omni on what it has not met: `python -m workshop evaluate omni --checkpoints DIR`.

Answers are the models' own, whatever they are in doubt about; how often it rightly and wrongly says that it
does not know stands by itself. The listener is PocketSphinx, which was made by others for other voices.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import torch

from data.world.sentences import UNKNOWN
from helpers.omni.pipeline import Pipeline
from helpers.omni.reference import TorchPipeline
from helpers.support import commands
from helpers.support.commands import Parser, progress, whole
from helpers.support.files import check_outputs, write_json, write_text
from workshop.omni.asked import STRANGE, aloud, considered, items, strange, typed
from workshop.omni.evaluation.bundles import eight_bit_rows, equality_rows, exported, kept_or_not
from workshop.omni.evaluation.rows import AT_LEAST, Row, shares, table
from workshop.omni.evaluation.speaking import sentences, talker_rows, voice_rows
from workshop.omni.evaluation.understanding import answer_rows, hearing_rows, sight_rows, sign_rows
from workshop.scoring.listener import Listener

HALF = 50.0  # of what is no question: honest more often than not


def doubt_rows(pipeline: Pipeline, count: int) -> Iterator[Row]:
    """How often it says that it does not know: of what is no question, of right answers and of wrong ones."""
    bounds = pipeline.spec.bounds
    for kind in STRANGE:
        found = [considered(pipeline, one) for one in strange(kind, "test", count)]
        refused = [bool(bounds.doubted(**one.sure)) or one.text == UNKNOWN for one in found]
        yield Row("says that it does not know (%)", kind, shares(refused), (AT_LEAST, HALF))
    for split in ("test", "unseen"):
        refused: dict[bool, list[bool]] = {True: [], False: []}
        for i, one in enumerate(items(split, count)):
            found = considered(pipeline, (typed, aloud)[i % 2](one))
            refused[found.text == one.answer].append(bool(bounds.doubted(**found.sure)))
        for is_right, some in refused.items():
            what = f"{'right' if is_right else 'wrong'} answers, {split}"
            yield Row("says that it does not know (%)", what, shares(some))


def rows(ours: TorchPipeline, folder: Path, count: int) -> Iterator[Row]:
    """Everything, in the order of the table."""
    bundles = exported(ours.models, folder)
    onnx, small = (Pipeline.open(bundles[name], threads=1) for name in ("fp32", "int8"))
    listener, some = Listener(), sentences(count)
    yield from hearing_rows(onnx, count)
    yield from sign_rows(onnx, count)
    yield from sight_rows(onnx, count)
    yield from answer_rows(onnx, count)
    with torch.inference_mode():
        yield from voice_rows(ours.models, onnx, listener, some)
    yield from talker_rows(onnx, listener, some)
    yield from equality_rows(ours, onnx, count)
    yield from eight_bit_rows(bundles, onnx, small, listener, some)
    yield from doubt_rows(onnx, count)


def report(found: Sequence[Row], name: str, count: int) -> str:
    """A dated table."""
    when = f"Measured on {date.today()}: `{name}`, {count} items a row, means with 95 % intervals over items."
    return f"# The omni, as it is\n\n{when}\n\n{table(found)}\n"


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop evaluate omni",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--checkpoints", type=Path, required=True, metavar="DIR")
    command.add_argument("--items", type=whole(2, 100_000), default=200, metavar="N", help="(%(default)s)")
    command.add_argument("--bundles", type=Path, metavar="DIR", help="keep the bundles, for the next time")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown, arguments.json])
    ours, found = TorchPipeline.open(arguments.checkpoints), []
    with kept_or_not(arguments.bundles) as folder, progress(unit="row") as bar:
        for row in rows(ours, folder, arguments.items):
            found.append(row)
            bar.update()
    text = report(found, Path(arguments.checkpoints).resolve().name, arguments.items)
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)
    if arguments.json:
        write_json(arguments.json, [row.to_json() for row in found])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
