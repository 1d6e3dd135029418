"""What is wrong with a codec's sound, clip by clip: `python -m workshop hearing vampnet`.

Beside the log-mel distance stand the measures of `workshop.scoring.hearing`, each next to what the original
has. The clips go through the codec whole, at the level it was trained at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from helpers import audio as sound
from helpers.audio.clips import Clip, load_clips
from helpers.audio.distance import RATE, at_44100, log_mel, si_sdr_db
from helpers.support import commands
from helpers.support.commands import Parser, progress
from helpers.support.files import check_outputs, write_text
from helpers.support.tables import markdown_table
from helpers.vampnet.files import course_checkpoints
from helpers.vampnet.reference import TorchPipeline
from workshop.scoring.hearing import buzz_db, log_spectral_distance, onset_sharpness

HEADINGS = ("clip", "log-mel", "log spectrum (dB)", "SI-SDR (dB)", "buzz (dB)", "of the original",
            "onsets (dB / 10 ms)", "of the original")  # fmt: skip
FORMATS = (".3f", ".2f", ".1f", ".1f", ".1f", ".1f", ".1f")


@dataclass(frozen=True)
class Heard:
    """One clip: its name, and the figures in the order of HEADINGS."""

    clip: str
    figures: tuple[float, ...]


def hear(pipeline: TorchPipeline, clip: Clip) -> Heard:
    """One clip through the codec."""
    original = clip.conditioned(RATE)
    decoded = pipeline.decode(pipeline.encode(clip.audio, clip.sample_rate))
    rebuilt = at_44100(decoded, pipeline.sample_rate, original.shape[-1])
    levelled, _ = sound.match_level(rebuilt, original, RATE)
    one, other, frame_rate = levelled[0, 0], original[0, 0], pipeline.sample_rate / pipeline.hop
    figures = (
        log_mel(rebuilt, original), log_spectral_distance(one, other, RATE), si_sdr_db(rebuilt, original),
        buzz_db(one, RATE, frame_rate), buzz_db(other, RATE, frame_rate),
        onset_sharpness(one, RATE), onset_sharpness(other, RATE),
    )  # fmt: skip
    return Heard(clip.name, figures)


def report(rows: Sequence[Heard], checkpoints: Path) -> str:
    """A dated table, with the means in its last line."""
    means = np.mean([row.figures for row in rows], axis=0)
    table = [[row.clip, *map(format, row.figures, FORMATS)] for row in rows]
    table.append(["mean", *map(format, means, FORMATS)])
    when = f"Measured on {date.today()}: `{checkpoints.name}`, {len(rows)} clips."
    return f"# The codec, as it sounds\n\n{when}\n\n{markdown_table(HEADINGS, table)}\n"


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop hearing vampnet", description=__doc__)
    command.add_argument("--checkpoints", type=Path, metavar="DIR", help="default: the course's own")
    command.add_argument("--clips", type=Path, metavar="DIR", help="default: those of the course")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    command.set_defaults(run=run)
    return command


def run(arguments) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown])
    home = arguments.checkpoints or course_checkpoints()
    clips = load_clips(arguments.clips) if arguments.clips else load_clips()
    pipeline = TorchPipeline.open(home)
    with progress(total=len(clips), unit="clip") as bar:
        rows = []
        for clip in clips:
            rows.append(hear(pipeline, clip))
            bar.update()
    text = report(rows, Path(home))
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
