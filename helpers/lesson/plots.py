"""What a reader looks at: one quiet style, seconds and hertz on the axes, colours for every eye.

Every function draws on the matplotlib axes `ax` it is given, or on a new figure, and returns the axes.
Audio is (N,), (1, N) or (1, 1, N) float; codes are (C, T) or (1, C, T) whole numbers.
"""

import contextlib
import itertools
import textwrap
import threading
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from helpers.audio.signal import mono
from helpers.support.errors import InputError

BLUE, GREY, PALE = "#0072B2", "#4d4d4d", "#dfe3e6"  # the blue of Okabe and Ito's colour-blind safe palette
SERIES = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#D55E00")  # more of it, for lines that are told apart
COLOURS = "cividis"  # looks nearly alike to readers with and without colour blindness
STYLE = {
    "font.size": 10, "text.color": GREY, "axes.edgecolor": GREY, "axes.labelcolor": GREY,
    "xtick.color": GREY, "ytick.color": GREY, "axes.spines.top": False, "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=SERIES),
}  # fmt: skip
WINDOW, HOP = 4096, 1024  # samples to a spectrum and from one to the next: 93 and 23 ms at 44.1 kHz
LOWEST_FREQUENCY = 30  # hertz; near the lowest note of a piano
_STYLING = threading.RLock()  # matplotlib has one style for all threads, and widgets draw in theirs
DYNAMIC_RANGE = 80  # decibels below the loudest point that a spectrogram still shows


def new_axes(width: float = 9, height: float = 2.4) -> Axes:
    """Axes of a new figure, in inches and the course's style: for what a notebook draws itself."""
    # First the figure: a notebook's first one sets pyplot up, and rc_context would undo that at its end.
    figure = plt.figure(figsize=(width, height), layout="constrained")
    with _STYLING, plt.rc_context(STYLE):
        return figure.add_subplot()


@contextlib.contextmanager
def _axes(ax: Axes | None, height: float = 2.4) -> Iterator[Axes]:
    """`ax`, or the axes of a new figure, and the course's style while it is drawn on."""
    ax = new_axes(height=height) if ax is None else ax
    with _STYLING, plt.rc_context(STYLE):
        yield ax


def _signal(audio: np.ndarray) -> np.ndarray:
    """One item of audio as (N,)."""
    batch = mono(audio)
    if len(batch) > 1:
        raise InputError(f"audio is a batch of {len(batch)}; plot one item at a time.")
    return batch[0, 0]


def flow(rows: Sequence[Sequence[str]], here: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """A plan: boxes in rows, an arrow from each to the next in its row; those in `here` are filled."""
    with _axes(ax, height=0.75 * len(rows)) as ax:
        for y, row in enumerate(rows):
            boxes = []
            for x, label in enumerate(row):
                fill = (BLUE, "white") if label in here else (PALE, "black")
                box = {"boxstyle": "round,pad=0.5", "facecolor": fill[0], "edgecolor": "none"}
                text = ax.text(x, -y, label, ha="center", va="center", color=fill[1], bbox=box, fontsize=9)
                boxes.append(text.get_bbox_patch())
            for x, (tail, head) in enumerate(itertools.pairwise(boxes), 1):  # from edge to edge
                arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 4, "shrinkB": 4}
                ax.annotate("", (x, -y), (x - 1, -y), arrowprops=arrow | {"patchA": tail, "patchB": head})
        ax.set(xlim=(-0.6, max(map(len, rows)) - 0.4), ylim=(0.6 - len(rows), 0.5))
        ax.axis("off")
    return ax


def waveform(audio: np.ndarray, sample_rate: int, ax: Axes | None = None) -> Axes:
    """The signal over time, on the full scale from -1 to 1. Several channels are averaged."""
    signal = _signal(audio)
    time = np.arange(len(signal)) / sample_rate
    with _axes(ax, height=1.7) as ax:
        ax.plot(time, signal, color=BLUE, linewidth=0.4)
        ax.set(xlim=(0, len(signal) / sample_rate), ylim=(-1, 1), xlabel="time (s)", ylabel="amplitude")
    return ax


def spectrogram(audio: np.ndarray, sample_rate: int, ax: Axes | None = None) -> Axes:
    """The level of each frequency over time, in decibels below the loudest point. Channels are averaged."""
    signal = _signal(audio)
    level = _levels(signal)
    time = (np.arange(len(level) + 1) - 0.5) * HOP / sample_rate
    frequency = (np.arange(level.shape[1] + 1) - 0.5) * sample_rate / WINDOW
    with _axes(ax) as ax:
        image = ax.pcolormesh(time, frequency[1:], level[:, 1:].T, cmap=COLOURS, vmin=-DYNAMIC_RANGE, vmax=0)
        ax.set(xlim=(0, len(signal) / sample_rate), ylim=(LOWEST_FREQUENCY, sample_rate / 2), yscale="log")
        ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.figure.colorbar(image, ax=ax, label="level (dB)", pad=0.01)
    return ax


def _levels(signal: np.ndarray) -> np.ndarray:
    """Signal (N,) -> decibels below the loudest point, (spectra, WINDOW // 2 + 1), one every HOP samples."""
    padded = np.pad(signal, (WINDOW // 2, WINDOW // 2 + HOP))  # so that each spectrum lies round its time
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW))) ** 2
    return 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 10 ** (-DYNAMIC_RANGE / 10)))


def codes(
    codes: np.ndarray, frame_rate: float, mask: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Codebooks by frames, one small rectangle a token; the colour is the token's number.

    frame_rate: frames a second. mask: the shape of `codes`; places where it is 1 are left pale.
    """
    grid = as_grid("codes", codes)
    hidden = np.zeros_like(grid) if mask is None else as_grid("mask", mask)
    if hidden.shape != grid.shape:
        raise InputError(f"the mask is {hidden.shape} and the codes are {grid.shape}; make them equal.")
    n_books, n_frames = grid.shape
    with _axes(ax) as ax:
        ax.set_facecolor(PALE)
        ax.imshow(
            np.ma.masked_array(grid, hidden == 1), aspect="auto", cmap=COLOURS, interpolation="none",
            vmin=0, vmax=max(1, grid.max()), extent=(0, n_frames / frame_rate, n_books - 0.5, -0.5),
        )  # fmt: skip
        ax.set(xlabel="time (s)", ylabel="codebook", yticks=range(0, n_books, max(1, n_books // 7)))
        if hidden.any():
            ax.legend(handles=[Patch(color=PALE, label="to be generated")], loc="lower right",
                      bbox_to_anchor=(1, 1), frameon=False)  # fmt: skip
    return ax


def as_grid(name: str, array: np.ndarray) -> np.ndarray:
    """One item of codes or of a mask, (C, T) or (1, C, T), as (C, T). Raises InputError."""
    array = np.asarray(array)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} have the shape {array.shape}; plot one item, shaped (C, T) or (1, C, T).")
    return array


def pictures(
    pictures: Sequence[np.ndarray], titles: Sequence[str] = (), columns: int = 6, ax: Axes | None = None
) -> Axes:
    """Square pictures, (H, H, 3) or (H, H), side by side and in rows, each with a title above it."""
    wrapped = [textwrap.fill(title, 132 // columns) for title in titles]
    line = columns / 65  # of a picture's width
    step = 1.05 + line * max((title.count("\n") + 1 for title in wrapped), default=0)
    n_rows = -(-len(pictures) // columns)
    with _axes(ax, height=9 / columns * step * n_rows) as ax:
        for i, (picture, title) in enumerate(itertools.zip_longest(pictures, wrapped, fillvalue="")):
            x, y = i % columns, -(i // columns) * step
            place = (x, x + 0.94, y, y + 0.94)
            ax.imshow(picture, extent=place, interpolation="nearest", cmap=COLOURS)
            ax.text(x + 0.47, y + 0.96, title, ha="center", va="bottom", fontsize=8)
        ax.set(xlim=(-0.03, columns), ylim=(y - 0.03, step), aspect="equal")
        ax.axis("off")
    return ax


def sizes(megabytes: dict[str, float], ax: Axes | None = None) -> Axes:
    """What takes how much: one bar a name, the largest on top."""
    ordered = sorted(megabytes.items(), key=lambda pair: pair[1])
    with _axes(ax, height=0.6 + 0.28 * len(ordered)) as ax:
        bars = ax.barh([name for name, _ in ordered], [size for _, size in ordered], color=BLUE)
        ax.bar_label(bars, fmt=" %.2f", color=GREY)
        ax.set(xlabel="size (MB)")
        ax.margins(x=0.12)
    return ax


def residual_steps(
    target: np.ndarray, books: list[np.ndarray], chosen: list[int], ax: Axes | None = None
) -> Axes:
    """Residual quantization of a point (2,): each book's rows (n, 2) round the sum so far, and its choice."""
    here = np.zeros(2)
    with _axes(ax, height=4.2) as ax:
        for i, (book, row) in enumerate(zip(books, chosen)):
            colour = SERIES[i % len(SERIES)]
            ax.plot(*(here + book).T, ".", color=colour, alpha=0.45)
            ax.annotate("", here + book[row], here, arrowprops={"arrowstyle": "->", "color": colour, "lw": 2})
            here = here + book[row]
            distance = np.linalg.norm(target - here)
            ax.plot([], [], color=colour, label=f"codebook {i}: row {row}, {distance:.3f} left")
        ax.plot(*target, "x", color=GREY, markersize=10, label="what is to be said")
        ax.set(xlabel="first number of a frame", ylabel="second number", aspect="equal")
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def by_codebooks(values: dict[str, np.ndarray], label: str, ax: Axes | None = None) -> Axes:
    """One or more quantities after 1, 2, ... codebooks."""
    with _axes(ax) as ax:
        for (name, line), colour in zip(values.items(), SERIES):
            ax.plot(range(1, len(line) + 1), line, "o-", color=colour, markersize=4, label=name)
        ax.set(xlabel="codebooks used", ylabel=label)
        ax.legend(frameon=False)
    return ax


def by_layers(errors: dict[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Relative error after each layer, on a logarithmic scale; a mistake lifts its line from its layer on."""
    with _axes(ax, height=2.8) as ax:
        for (name, line), colour in zip(errors.items(), SERIES):
            ax.semilogy(range(1, len(line) + 1), line, "o-", color=colour, markersize=4, label=name)
        ax.set(xlabel="after layer", ylabel="largest error / largest number")
        ax.set_xticks(range(1, 1 + max(map(len, errors.values()))))
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def by_frames(
    lines: dict[str, np.ndarray],
    n_frames: Sequence[int],
    label: str,
    limit: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One or more quantities at several lengths, on logarithmic scales, and the limit that they should keep.

    A zero has no place on such a scale and is left out.
    """
    with _axes(ax, height=2.8) as ax:
        for (name, line), colour in zip(lines.items(), SERIES):
            ax.loglog(n_frames, line, "o-", color=colour, markersize=4, label=name)
        if limit is not None:
            ax.axhline(limit, color=GREY, linestyle="--", label="limit")
        ax.set(xlabel="frames", ylabel=label)
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
