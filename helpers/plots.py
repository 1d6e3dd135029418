"""What a reader looks at: one quiet style, seconds and hertz on the axes, colours that everybody can tell apart.

Every function draws on the matplotlib axes `ax` it is given, or on a new figure, and returns the axes.
Audio is (N,), (1, N) or (1, 1, N) float; codes are (C, T) or (1, C, T) whole numbers.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from helpers.audio import mono
from helpers.errors import InputError

BLUE, GREY, PALE = "#0072B2", "#4d4d4d", "#dfe3e6"  # the blue of Okabe and Ito's colour-blind safe palette
STYLE = {
    "figure.figsize": (9, 2.4), "figure.dpi": 100, "figure.constrained_layout.use": True, "font.size": 10,
    "axes.edgecolor": GREY, "axes.labelcolor": GREY, "axes.titlecolor": GREY, "axes.titlesize": 10,
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "xtick.color": GREY, "ytick.color": GREY, "text.color": GREY,
}  # fmt: skip
WINDOW = 2048  # samples to a spectrum: 46 ms at 44.1 kHz, in which two notes 22 Hz apart are two lines
DYNAMIC_RANGE = 80  # decibels below the loudest point that a spectrogram still shows


def _axes(ax: Axes | None, height: float = 2.4) -> Axes:
    """`ax`, or the axes of a new figure in the course's style."""
    if ax is not None:
        return ax
    with plt.rc_context(STYLE):
        return plt.figure(figsize=(9, height)).add_subplot()


def _signal(audio: np.ndarray) -> np.ndarray:
    """One item of audio as (N,)."""
    batch = mono(audio)
    if len(batch) > 1:
        raise InputError(f"audio is a batch of {len(batch)}; plot one item at a time.")
    return batch[0, 0]


def waveform(audio: np.ndarray, sample_rate: int, ax: Axes | None = None) -> Axes:
    """The signal over time, on the full scale from -1 to 1. Several channels are averaged."""
    signal, ax = _signal(audio), _axes(ax, 1.7)
    time = np.arange(len(signal)) / sample_rate
    ax.plot(time, signal, color=BLUE, linewidth=0.4)
    ax.set(xlim=(0, len(signal) / sample_rate), ylim=(-1, 1), xlabel="time (s)", ylabel="amplitude")
    return ax


def spectrogram(audio: np.ndarray, sample_rate: int, ax: Axes | None = None) -> Axes:
    """The level of each frequency over time, in decibels below the loudest point. Channels are averaged."""
    signal, ax = _signal(audio), _axes(ax)
    hop = WINDOW // 4
    signal = np.pad(signal, (WINDOW // 2, WINDOW // 2 + WINDOW))  # a spectrum is drawn round its middle
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::hop]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32))) ** 2
    level = 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 10 ** (-DYNAMIC_RANGE / 10)))
    edges = (np.arange(len(level) + 1) - 0.5) * hop / sample_rate
    image = ax.imshow(level.T, origin="lower", aspect="auto", cmap="cividis", vmin=-DYNAMIC_RANGE, vmax=0,
                      extent=(edges[0], edges[-1], 0, sample_rate / 2))  # fmt: skip
    ax.set(xlim=(0, np.shape(audio)[-1] / sample_rate), yscale="symlog", xlabel="time (s)", ylabel="frequency (Hz)")
    ax.figure.colorbar(image, ax=ax, label="level (dB)", pad=0.01)
    return ax
