"""The training's metrics as a picture: python -m workshop curves vampnet models/vampnet

Reads codec.csv, coarse.csv and c2f.csv of a directory and writes training.png there.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from helpers.lesson import plots
from helpers.support import commands
from helpers.support.commands import Parser
from helpers.support.errors import InputError
from helpers.support.files import written_whole

PANELS = (  # file, columns with their labels, what the vertical axis says
    ("codec.csv", {"log_mel": "log-mel distance"}, "distance"),
    ("codec.csv", {"snr": "SNR", "si_sdr": "SI-SDR"}, "dB"),
    ("coarse.csv", {f"nll_{share}": f"{share} % masked" for share in (25, 50, 75)}, "nats a token"),
    ("c2f.csv", {f"nll_{share}": f"{share} % masked" for share in (25, 50, 75)}, "nats a token"),
)


def read_metrics(path: Path, needed: Iterable[str]) -> dict[str, list[float]]:
    """All columns of a metrics file; NaN where a row has no value. InputError if it lacks a needed one."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        metrics = {name: [float(row[name] or math.nan) for row in rows] for name in rows[0]}
    except (OSError, ValueError, IndexError, TypeError, csv.Error) as error:
        raise InputError(f"{path} holds no metrics; train first.") from error
    lacking = [name for name in ("minutes", *needed) if name not in metrics]
    if lacking:
        raise InputError(f"{path} has no column {lacking[0]!r}; train that part again.")
    return metrics


def panel(metrics: dict[str, list[float]], columns: dict[str, str], title: str, unit: str, ax: Axes) -> Axes:
    """One or more columns over the minutes of training."""
    for colour, (name, label) in zip(plots.SERIES, columns.items()):
        ax.plot(metrics["minutes"], metrics[name], color=colour, label=label)
    if "score" in metrics and any(math.isnan(value) for value in metrics["score"]):
        start = next((m for m, value in zip(metrics["minutes"], metrics["score"]) if value == value), None)
        if start is not None:
            ax.axvline(start, color=plots.GREY, linewidth=0.8, linestyle=":", label="quantizer on")
    ax.set(title=title, xlabel="minutes of training", ylabel=unit)
    ax.legend(frameon=False, fontsize=8)
    return ax


def draw(directory: Path) -> Path:
    """Write training.png; return its path."""
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
        for ax, (name, columns, unit) in zip(axes.flat, PANELS):
            panel(read_metrics(directory / name, columns), columns, name.removesuffix(".csv"), unit, ax)
        path = directory / "training.png"
        with written_whole(path) as temporary:
            figure.savefig(temporary, dpi=100, format="png")
    plt.close(figure)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the curves of a directory; returns the exit status."""
    parser = Parser(prog="python -m workshop curves", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="holds the CSV files of a training")
    parser.set_defaults(run=lambda options: print(f"wrote {draw(options.directory)}"))
    return commands.main(parser, arguments)
