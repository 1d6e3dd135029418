"""Events as Raven's selection table: a row an event, tabs between, which field workers' programs open."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.classify.events import Heard
from helpers.support.config import real, shown
from helpers.support.errors import InputError, plain
from helpers.support.files import read_json, write_text

HEADINGS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    "Species", "Score", "Begin Path", "File Offset (s)",
)  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """One file that was listened to: how long it is, and what was heard in it."""

    path: str
    seconds: float
    found: Sequence[Heard]


def table(recordings: Iterable[Recording], labels: Sequence[str], sample_rate: int) -> str:
    """The table as text. Of several recordings, times go on from one to the next, as Raven opens them.

    A classifier says when and not how high: every row reaches from 0 Hz to half of the sample rate.
    """
    rows, before = [HEADINGS], 0.0
    for one in recordings:
        for event in one.found:
            times = [f"{before + at:.3f}" for at in (event.start, min(event.end, one.seconds))]
            rows.append(
                (str(len(rows)), "Spectrogram 1", "1", *times, "0", f"{sample_rate / 2:g}",
                 _cell(labels[event.label]), f"{event.score:.3f}", _cell(one.path), f"{event.start:.3f}")
            )  # fmt: skip
        before += one.seconds
    return "".join("\t".join(row) + "\n" for row in rows)


def write(
    path: str | os.PathLike, recordings: Iterable[Recording], labels: Sequence[str], sample_rate: int
) -> None:
    """Write the table; its name should end in .txt for Raven to see it."""
    write_text(path, table(recordings, labels, sample_rate))


def _cell(text: str) -> str:
    """A text that can't begin another cell or row."""
    return plain(text)


def read_thresholds(path: Path | None, labels: Sequence[str], usual: float) -> np.ndarray:
    """A threshold for each label (labels,) of a JSON file, {label: number}; `usual` for one not in it.

    Raises InputError for a file that names other labels, or values that are no numbers.
    """
    given = {} if path is None else read_json(path)
    if not isinstance(given, dict) or not given.keys() <= set(labels):
        strange = sorted(given.keys() - set(labels))[:1] if isinstance(given, dict) else []
        raise InputError(
            f"{path} should hold an object, thresholds by label"
            + (f"; the bundle has no label {shown(strange[0])}." if strange else ".")
        )
    found = [real(given.get(label, usual)) for label in labels]
    if not np.isfinite(found).all():
        raise InputError(f"{path}: every threshold should be a number.")
    return np.array(found)
