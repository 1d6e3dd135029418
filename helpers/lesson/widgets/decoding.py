"""Masked decoding, recorded and played back step by step."""

from dataclasses import dataclass
from functools import partial

import ipywidgets
import numpy as np
from matplotlib.axes import Axes

from helpers.lesson import plots
from helpers.lesson.widgets import still
from helpers.lesson.widgets.grid import CodeGrid
from helpers.vampnet.decoding import Step
from helpers.vampnet.pipeline import Pipeline

INTERVAL = 500  # milliseconds a step when it plays by itself
SHOWN = 5  # moments in the still picture


@dataclass(frozen=True)
class Moment:
    """What the grid shows at one time, each (C, T): tokens, places still hidden, confidence 0 to 1."""

    caption: str
    codes: np.ndarray
    hidden: np.ndarray
    confidence: np.ndarray


class Recording:
    """Collects the steps of one item: pass it as `on_step`, then give it to a `DecodingView`.

    codes, mask: int (1, C, T), as given to `Pipeline.vamp`, `coarse` or `fine`.
    """

    def __init__(self, codes: np.ndarray, mask: np.ndarray):
        self._codes, self._hidden = np.array(codes[0]), np.array(mask[0])
        self._confidence = np.ones(self._codes.shape, np.float32)
        self.moments = [self._moment("before the first step")]

    def __call__(self, step: Step) -> None:
        place = np.s_[: step.codes.shape[1], step.start : step.start + step.codes.shape[-1]]
        self._codes[place], self._hidden[place] = step.codes[0], step.masked[0]
        self._confidence[place] = ranks(step.confidence[0])
        chunk = f", chunk {step.chunk + 1} of {step.n_chunks}" if step.n_chunks > 1 else ""
        left = f"{step.masked[0].mean():.0%} of it to be generated again"
        self.moments.append(
            self._moment(f"{step.stage}{chunk}, step {step.step + 1} of {step.n_steps}: {left}")
        )

    def _moment(self, caption: str) -> Moment:
        return Moment(caption, self._codes.copy(), self._hidden.copy(), self._confidence.copy())


def ranks(confidence: np.ndarray) -> np.ndarray:
    """Confidences as places in their order, 0 the least and 1 the most sure; given tokens (infinite) are 1.

    Only the order decides what is generated again.
    """
    places = np.ones(confidence.shape, np.float32)
    generated = np.isfinite(confidence)
    order = confidence[generated].argsort().argsort()
    places[generated] = order / max(1, len(order) - 1)
    return places


class DecodingView(ipywidgets.VBox):
    """Plays a `Recording` back: a step slider, a play button, tokens or confidence as the colour."""

    def __init__(self, recording: Recording, pipeline: Pipeline):
        self.moments = recording.moments
        last = len(self.moments) - 1
        self.play = ipywidgets.Play(value=0, min=0, max=last, interval=INTERVAL)
        self.slider = ipywidgets.IntSlider(value=0, min=0, max=last, description="step")
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.colour = ipywidgets.Dropdown(options=["tokens", "confidence"], description="colour")
        first = self.moments[0]
        frame_rate = pipeline.sample_rate / pipeline.hop
        self.grid = CodeGrid(first.codes, frame_rate, first.hidden, vocab_size=pipeline.mask_token)
        self.caption = ipywidgets.Label()
        for control in (self.slider, self.colour):
            control.observe(self._show, "value")
        self._show()
        super().__init__([ipywidgets.HBox([self.play, self.slider, self.colour]), self.grid, self.caption])

    def _show(self, _: object = None) -> None:
        moment = self.moments[self.slider.value]
        confidence = moment.confidence if self.colour.value == "confidence" else None
        self.grid.show(moment.codes, moment.hidden, confidence)
        self.caption.value = moment.caption

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        return still.beside(super()._repr_mimebundle_(**kwargs), self.picture())

    def picture(self) -> bytes:
        """Moments from the first to the last, one below the other, as PNG."""
        some = np.unique(np.linspace(0, len(self.moments) - 1, SHOWN).round().astype(int))
        return still.column([partial(self._draw, self.moments[i]) for i in some], 1.7)

    def _draw(self, moment: Moment, ax: Axes) -> Axes:
        ax.set_title(moment.caption, loc="left", fontsize="medium")
        return plots.codes(moment.codes, self.grid.frame_rate, moment.hidden, ax=ax)
