"""What is wrong with a codec's sound, clip by clip: `python -m workshop hearing vampnet`.

Beside the log-mel distance stand the measures of `workshop.scoring.hearing`, each next to what the original
has, and an opinion score. The clips go through the codec whole, at the level it was trained at; below them
stand the means of Opus on the same clips, where it is installed.
"""

import math
from collections.abc import Mapping, Sequence
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
from workshop.scoring import opus
from workshop.scoring.hearing import (
    buzz_db,
    log_spectral_distance,
    noise_over_reference_db,
    onset_sharpness,
)
from workshop.scoring.perception import opinion

HEADINGS = (
    "clip", "log-mel", "log spectrum (dB)", "SI-SDR (dB)", "noise between partials (dB over the original's)",
    "buzz (dB)", "of the original", "onsets (dB / 10 ms)", "of the original", "opinion (1 to 5)",
)  # fmt: skip
FORMATS = (".3f", ".2f", ".1f", ".1f", ".1f", ".1f", ".1f", ".1f", ".2f")


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
    return Heard(clip.name, figures(rebuilt, original, pipeline.sample_rate / pipeline.hop))


def figures(rebuilt: np.ndarray, original: np.ndarray, frame_rate: float) -> tuple[float, ...]:
    """Of (1, 1, N) beside its original at 44.1 kHz; NaN for what cannot be told of this sound or here."""
    levelled, _ = sound.match_level(rebuilt, original, RATE)
    one, other = levelled[0, 0], original[0, 0]
    return (
        log_mel(rebuilt, original), log_spectral_distance(one, other, RATE), si_sdr_db(rebuilt, original),
        noise_over_reference_db(one, other, RATE),
        buzz_db(one, RATE, frame_rate), buzz_db(other, RATE, frame_rate),
        onset_sharpness(one, RATE), onset_sharpness(other, RATE),
        opinion(one, other, RATE),
    )  # fmt: skip


def hear_opus(clips: Sequence[Clip], kbps: int, frame_rate: float) -> list[Heard]:
    """The same clips through Opus; its buzz is sought where that of the codec would be."""
    found = []
    for clip in clips:
        original = clip.conditioned(RATE)
        found.append(Heard(clip.name, figures(opus.decoded(original, kbps)[0], original, frame_rate)))
    return found


def report(rows: Sequence[Heard], checkpoints: Path, beside: Mapping[str, Sequence[Heard]]) -> str:
    """A dated table; the means in the last lines, those of other codecs (`beside`, by name) too."""
    table = [[row.clip, *map(_cell, row.figures, FORMATS)] for row in rows]
    for name, heard in {"mean": rows, **beside}.items():
        table.append([name, *map(_cell, _means(heard), FORMATS)])
    when = f"Measured on {date.today()}: `{checkpoints.name}`, {len(rows)} clips."
    return f"# The codec, as it sounds\n\n{when}\n\n{markdown_table(HEADINGS, table)}\n"


def _means(rows: Sequence[Heard]) -> list[float]:
    """Of each figure over the clips that have it."""
    columns = (np.array(column) for column in zip(*(row.figures for row in rows)))
    known = (column[~np.isnan(column)] for column in columns)
    return [float(column.mean()) if len(column) else math.nan for column in known]


def _cell(figure: float, how: str) -> str:
    return "-" if math.isnan(figure) else format(figure, how)


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
    rows, beside = [], {}
    with progress(total=len(clips), unit="clip") as bar:
        for clip in clips:
            rows.append(hear(pipeline, clip))
            bar.update()
        for kbps in opus.RATES if opus.is_installed() else ():
            bar.set_description(f"Opus at {kbps}")
            beside[f"Opus at {kbps}, mean"] = hear_opus(clips, kbps, pipeline.sample_rate / pipeline.hop)
    text = report(rows, Path(home), beside)
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
