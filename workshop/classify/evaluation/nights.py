"""What a classifier hears in hours of sound, event by event: `python -m workshop nights classify`.

Each species gets the threshold that was best on a night of its own (the harmonic mean of precision and recall
of events); with those, another night is listened to. Between songs there is nothing that training knew:
thresholds are what keeps a classifier that always names somebody from doing so.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from data.chorus.compose import Event, night
from data.chorus.species import LABELS, RATE
from helpers.classify.events import events, matched
from helpers.classify.files import MODELS
from helpers.classify.graphs import export_bundle
from helpers.classify.pipeline import Pipeline
from helpers.classify.weights import load_models
from helpers.support import commands
from helpers.support.commands import Parser, number, progress
from helpers.support.errors import InputError
from helpers.support.files import check_outputs, write_json, write_text
from helpers.support.tables import markdown_table

HOP = 0.5  # seconds
THRESHOLDS = np.concatenate([np.arange(0.1, 0.9, 0.05), [0.9, 0.95, 0.98, 0.99, 0.995]])
CHOSEN_ON, HEARD = 100, 200  # seeds of nights: that of the thresholds, that of the scores


@dataclass(frozen=True)
class Listening:
    """A night's window scores (windows, labels), when each begins, who sang, and the seconds that it took."""

    starts: np.ndarray
    scores: np.ndarray
    true: list[Event]
    seconds: float
    processor_seconds: float


def listen(pipeline: Pipeline, seconds: float, seed: int) -> Listening:
    """Stream a night through a classifier."""
    true, spent, found = [], 0.0, []

    def pieces() -> Iterator[np.ndarray]:
        nonlocal spent  # less what composing the night takes
        with progress(total=round(seconds / 60), unit="minute") as bar:
            composing = time.process_time()
            for audio, sang in night(seconds, seed):
                true.extend(sang)
                spent -= time.process_time() - composing
                yield audio
                composing = time.process_time()
                bar.update()

    began = time.process_time()
    for start, scores in pipeline.stream(pieces(), RATE, hop=HOP):
        found.append((start, scores))
    spent += time.process_time() - began
    starts, scores = zip(*found)
    return Listening(np.array(starts), np.stack(scores), true, seconds, spent)


def found_events(heard: Listening, window: float, thresholds: np.ndarray) -> np.ndarray:
    """Counts (labels, 4): events found, of them true; songs sung, of them heard."""
    made = events(zip(heard.starts, heard.scores), window, thresholds)
    hits, caught = matched(made, heard.true)
    counts = np.zeros((len(thresholds), 4), int)
    for one, hit in zip(made, hits):
        counts[one.label, :2] += (1, hit)
    for one, is_heard in zip(heard.true, caught):
        counts[one.label, 2:] += (1, is_heard)
    return counts


def rates(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 (..., 3) of counts (..., 4)."""
    precision = counts[..., 1] / np.maximum(counts[..., 0], 1)
    recall = counts[..., 3] / np.maximum(counts[..., 2], 1)
    return np.stack([precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-9)], -1)


def curve(heard: Listening, window: float) -> np.ndarray:
    """Counts (thresholds, labels, 4), every label with the same threshold."""
    n = heard.scores.shape[1]
    return np.stack([found_events(heard, window, np.full(n, one)) for one in THRESHOLDS])


def best_thresholds(counts: np.ndarray) -> np.ndarray:
    """(labels,): where each label's F1 is highest."""
    return THRESHOLDS[rates(counts)[..., 2].argmax(0)]


def report(name: str, heard: Listening, counts: np.ndarray, chosen: np.ndarray, alike: np.ndarray) -> str:
    """A dated page: by species with thresholds of their own, and the curve of one threshold for all."""
    rows = [
        [label, f"{limit:.3g}", *map(str, one), *_percent(rates(one))]
        for label, limit, one in zip(LABELS, chosen, counts)
    ]
    rows.append(["all", "", *map(str, counts.sum(0)), *_percent(rates(counts.sum(0)))])
    columns = ("species", "threshold", "found", "true", "sung", "heard", "precision", "recall", "F1")
    several = [
        [f"{limit:.3g}", *map(str, one), *_percent(rates(one))]
        for limit, one in zip(THRESHOLDS, alike.sum(1))
    ]
    cost = 1000 * heard.processor_seconds / heard.seconds
    return (
        f"# What `{name}` hears at night\n\n"
        f"Measured on {date.today()}: {heard.seconds / 3600:.2g} hours of night that nobody chose by, "
        f"windows of 2 s every {HOP:g} s, {cost:.2f} ms of processor time for a second of sound (ONNX "
        "Runtime, one thread). An event is true where it overlaps a song of its species, one for one; "
        "precision and recall in per cent of events.\n\n"
        "A threshold for each species, chosen on another night:\n\n"
        f"{markdown_table(columns, rows)}\n\nOne threshold for all:\n\n"
        f"{markdown_table(('threshold', *columns[2:]), several)}\n"
    )


def _percent(values: np.ndarray) -> list[str]:
    return [f"{100 * one:.1f}" for one in values]


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop nights classify", description=__doc__)
    command.add_argument("--checkpoints", type=Path, default=MODELS / "student", metavar="DIR")
    command.add_argument("--hours", type=number(0.01, 1000), default=3.0, help="to score on (%(default)s)")
    command.add_argument(
        "--choose", type=number(0.01, 1000), default=1.0, help="hours, to choose thresholds on (%(default)s)"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the page")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the thresholds")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown, arguments.json])
    models = load_models(arguments.checkpoints)
    if models.labels != LABELS:
        raise InputError(f"{arguments.checkpoints} knows other animals than sing in these nights.")
    window = models.config.window_seconds
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline.open(export_bundle(models, Path(folder) / "bundle"), threads=1)
        chosen = best_thresholds(curve(listen(pipeline, 3600 * arguments.choose, CHOSEN_ON), window))
        heard = listen(pipeline, 3600 * arguments.hours, HEARD)
    text = report(
        arguments.checkpoints.name, heard, found_events(heard, window, chosen), chosen, curve(heard, window)
    )
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)
    if arguments.json:
        write_json(arguments.json, dict(zip(LABELS, chosen.tolist())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
