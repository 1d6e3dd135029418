"""Whether decoding to a file keeps its memory and its pace: one minute of tokens beside ten.

    python -m workshop streaming vampnet --bundle DIR [--rounds N] [--markdown FILE]

Each length is decoded in a process of its own, piece by piece, as `Pipeline.decode_stream` yields it.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from helpers import audio as sound
from helpers.support import commands
from helpers.support.commands import Parser, whole
from helpers.support.cores import n_cores
from helpers.support.files import check_outputs, write_text
from helpers.support.tables import markdown_table
from helpers.vampnet.pipeline import Pipeline
from workshop.bench import machine
from workshop.bench.worker import peak_memory

MINUTES = (1, 10)
MOST_GROWTH = 50e6  # bytes that the long one may need more
ROUNDS = 3


@dataclass(frozen=True)
class Run:
    """One decoding to a file. memory: the process's peak in bytes; None where nobody tells."""

    seconds: float
    memory: int | None
    written: int  # samples


def decode_to_file(bundle: Path, minutes: float) -> Run:
    """Random tokens for so many minutes into a WAV file, sixteen bits, which is then thrown away."""
    pipeline = Pipeline.open(bundle)
    n_frames = sound.seconds_to_frames(60 * minutes, pipeline.sample_rate, pipeline.hop)
    shape = (1, pipeline.n_codebooks, n_frames)
    codes = np.random.default_rng(0).integers(0, pipeline.codebook_size, shape)
    pipeline.decode(codes[..., :1])  # the session starts
    with tempfile.TemporaryDirectory() as folder:
        start, path = time.perf_counter(), Path(folder) / "long.wav"
        with soundfile.SoundFile(path, "w", pipeline.sample_rate, channels=1) as file:
            for piece in pipeline.decode_stream(codes):
                file.write(np.clip(piece[0, 0], -1, 1))
        taken, written = time.perf_counter() - start, soundfile.info(path).frames
    return Run(taken, peak_memory(), written)


@dataclass(frozen=True)
class Streaming:
    """Runs by minutes."""

    bundle: str
    runs: dict[float, list[Run]]
    processor: str = field(default_factory=machine.processor)
    cores: int = field(default_factory=n_cores)
    versions: dict[str, str] = field(default_factory=machine.versions)
    date: str = field(default_factory=lambda: date.today().isoformat())

    def seconds(self, minutes: float) -> float:
        """Median."""
        return float(np.median([run.seconds for run in self.runs[minutes]]))

    def memory(self, minutes: float) -> float | None:
        """The largest peak in bytes."""
        peaks = [run.memory for run in self.runs[minutes]]
        return None if None in peaks else max(peaks)

    @property
    def growth(self) -> float | None:
        """Bytes that the longest needs more than the shortest."""
        short, long = (self.memory(minutes) for minutes in (min(self.runs), max(self.runs)))
        return None if short is None or long is None else long - short

    def markdown(self) -> str:
        """The whole as text."""
        rows = []
        for minutes in self.runs:
            taken, memory = self.seconds(minutes), self.memory(minutes)
            shown = "-" if memory is None else f"{memory / 1e6:.0f}"
            rows.append((str(minutes), f"{taken:.1f}", f"{taken / minutes:.1f}", shown))
        table = markdown_table(("minutes", "seconds, median", "seconds a minute", "peak MB"), rows)
        versions = machine.listed(self.versions)
        rounds = len(next(iter(self.runs.values())))
        return (
            f"# Decoding to a file, {self.date}\n\n"
            f"The decoder of `{self.bundle}`, on {self.processor}, {self.cores} cores; {versions}. Rounds in "
            f"turn: {rounds}.\n\n{table}\n\n{self._verdict()}\n"
        )

    def _verdict(self) -> str:
        short, long = min(self.runs), max(self.runs)
        pace = self.seconds(long) / self.seconds(short) / (long / short)
        said = f"{long} minutes take {pace:.2f} times as long for each minute as {short} does"
        if self.growth is None:
            return f"{said}; nobody tells how much memory was used."
        verdict = "met" if self.growth <= MOST_GROWTH else "NOT MET"
        apart = f"{abs(self.growth) / 1e6:.0f} MB {'more' if self.growth >= 0 else 'less'}"
        return f"{said}, and {apart} (goal: at most {MOST_GROWTH / 1e6:.0f} MB more, {verdict})."


def measure(bundle: Path, minutes: Sequence[float] = MINUTES, rounds: int = ROUNDS) -> Streaming:
    """Decode every length in turn, so many times. Raises InputError for what is no bundle."""
    Pipeline.open(bundle)  # what is no bundle is refused here and not in another process
    runs: dict[float, list[Run]] = {one: [] for one in minutes}
    for _ in tqdm(range(rounds), unit="round", disable=None):
        for one in minutes:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                runs[one].append(pool.submit(decode_to_file, bundle, one).result())
    return Streaming(bundle.resolve().name, runs)


def parser() -> Parser:
    """The command line."""
    command = Parser(
        prog="python -m workshop streaming vampnet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--rounds", type=whole(1, 1000), default=ROUNDS, metavar="N", help=f"of each length ({ROUNDS})"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE")
    command.set_defaults(run=run_streaming)
    return command


def run_streaming(options: argparse.Namespace) -> None:
    check_outputs([options.markdown])
    found = measure(options.bundle, rounds=options.rounds)
    print(found.markdown(), end="")
    if options.markdown:
        write_text(options.markdown, found.markdown())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
