"""Tokens and masks as a grid of codebooks by frames, to look at and to paint on."""

from pathlib import Path

import anywidget
import ipywidgets
import matplotlib
import numpy as np
import traitlets

from helpers.lesson import plots
from helpers.lesson.widgets import still
from helpers.support.errors import InputError
from helpers.vampnet import masks
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.vamp import PRESETS, Prompt

HERE = Path(__file__).parent


class CodeGrid(anywidget.AnyWidget):
    """One small rectangle a token, its colour the token's number; pale where the mask says "generate".

    codes: int (C, T) or (1, C, T). mask: the same shape, 1 = generate. confidence: the same shape, 0 to 1;
    if given, the colour is the confidence instead. frame_rate: frames a second. vocab_size: codes of a
    codebook. If `editable`, dragging over the grid (or arrow keys and space) sets the mask.
    """

    _esm = HERE / "grid.js"
    _css = HERE / "grid.css"
    n_codebooks = traitlets.Int().tag(sync=True)
    n_frames = traitlets.Int().tag(sync=True)
    frame_rate = traitlets.Float().tag(sync=True)
    vocab_size = traitlets.Int().tag(sync=True)
    tokens = traitlets.Bytes().tag(sync=True)  # int32, book by book
    hidden = traitlets.CBytes().tag(sync=True)  # uint8; what a browser sends is not bytes yet
    confidences = traitlets.Bytes(b"").tag(sync=True)  # float32, or nothing
    palette = traitlets.Bytes().tag(sync=True)  # 256 colours, red green blue
    editable = traitlets.Bool(False).tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        codes: np.ndarray,
        frame_rate: float,
        mask: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
        vocab_size: int = 1024,
        editable: bool = False,
        message: str = "",
    ):
        grid = plots.as_grid("codes", codes)
        colours = matplotlib.colormaps[plots.COLOURS](np.linspace(0, 1, 256))[:, :3]
        super().__init__(
            n_codebooks=grid.shape[0],
            n_frames=grid.shape[1],
            frame_rate=float(frame_rate),
            vocab_size=int(vocab_size),
            palette=np.round(255 * colours).astype(np.uint8).tobytes(),
            editable=editable,
            message=message,
        )
        self.show(grid, np.zeros_like(grid) if mask is None else mask, confidence)

    def show(self, codes: np.ndarray, mask: np.ndarray, confidence: np.ndarray | None = None) -> None:
        """Other tokens, mask and confidence of the same shape."""
        with self.hold_sync():
            self.tokens = self._checked("codes", codes).astype("<i4").tobytes()
            self.mask = mask
            given = confidence is not None
            self.confidences = (
                self._checked("confidences", confidence).astype("<f4").tobytes() if given else b""
            )

    @property
    def codes(self) -> np.ndarray:
        """The tokens, int64 (1, C, T)."""
        return self._array(self.tokens, "<i4")

    @property
    def mask(self) -> np.ndarray:
        """The mask, int64 (1, C, T), as it is on the screen now."""
        return self._array(self.hidden, np.uint8)

    @mask.setter
    def mask(self, mask: np.ndarray) -> None:
        grid = self._checked("mask", mask)
        self.hidden = masks.check(grid, grid.shape).astype(np.uint8).tobytes()

    def _array(self, content: bytes, kind: str | type) -> np.ndarray:
        return np.frombuffer(content, kind).reshape(1, self.n_codebooks, self.n_frames).astype(np.int64)

    def _checked(self, name: str, array: np.ndarray) -> np.ndarray:
        grid = plots.as_grid(name, array)
        if grid.shape != (self.n_codebooks, self.n_frames):
            raise InputError(
                f"{name} are {grid.shape}; the grid is {(self.n_codebooks, self.n_frames)}: use a new one."
            )
        return grid

    @traitlets.validate("hidden")
    def _whole_mask(self, proposal: dict) -> bytes:
        """A mask that the front end painted has one 0 or 1 a place."""
        content = bytes(proposal["value"])
        if len(content) != self.n_codebooks * self.n_frames or set(content) - {0, 1}:
            raise traitlets.TraitError("the painted mask does not fit the grid.")
        return content

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        """The widget, and a still picture for places where widgets don't run."""
        return still.beside(super()._repr_mimebundle_(**kwargs), self.picture())

    def picture(self) -> bytes:
        """What is shown now, as PNG."""
        return still.png(lambda ax: plots.codes(self.codes, self.frame_rate, self.mask, ax=ax), 2.4)[0]


class MaskEditor(ipywidgets.VBox):
    """A grid to paint a mask on, and the rules of `vamp.Prompt` to start from; `mask` is the result.

    codes: int (1, C, T), of `pipeline`. audio: their sound, (channels, N) at the pipeline's sample rate;
    only the rule for onsets needs it. A rule that is changed draws the mask anew; `presets` are buttons
    that change all of them at once.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        codes: np.ndarray,
        audio: np.ndarray | None = None,
        prompt: Prompt | None = None,
    ):
        frame_rate = pipeline.sample_rate / pipeline.hop
        hint = "drag over the grid to hide or to keep; or click on it, then arrow keys and space"
        self.grid = CodeGrid(codes, frame_rate, vocab_size=pipeline.mask_token, editable=True, message=hint)
        self._pipeline, self._audio = pipeline, audio
        prompt, seconds = prompt or Prompt(), round(self.grid.n_frames / frame_rate, 1)
        self.controls = {
            "periodic": _slider(prompt.periodic, 0, 32, "keep one frame in"),
            "width": _slider(prompt.width, 1, 9, "so many frames wide"),
            "prefix": _slider(prompt.prefix, 0.0, seconds, "keep the first (s)"),
            "suffix": _slider(prompt.suffix, 0.0, seconds, "keep the last (s)"),
            "codebooks": _slider(self._most_books(prompt), 0, self.grid.n_codebooks, "codebooks kept"),
            "onsets": _slider(prompt.onsets, 0, 8, "frames round onsets"),
            "random": _slider(prompt.random, 0.0, 1.0, "share to generate"),
        }
        if audio is None:
            self.controls.pop("onsets")
        for control in self.controls.values():
            control.observe(self._apply, "value")
        self.presets = {
            name: ipywidgets.Button(description=name, layout={"width": "auto"})
            for name, preset in PRESETS.items()
            if audio is not None or not preset.onsets
        }
        for name, button in self.presets.items():
            button.on_click(lambda _, preset=PRESETS[name]: self.begin_with(preset))
        self.summary = ipywidgets.Label()
        rules = ipywidgets.GridBox(
            list(self.controls.values()), layout={"grid_template_columns": "repeat(2, 400px)"}
        )
        super().__init__([ipywidgets.HBox(list(self.presets.values())), rules, self.grid, self.summary])
        self._apply()
        self._summarize()
        self.grid.observe(self._summarize, "hidden")

    @property
    def mask(self) -> np.ndarray:
        """The mask as it is on the screen now, int64 (1, C, T), 1 = generate."""
        return self.grid.mask

    @mask.setter
    def mask(self, mask: np.ndarray) -> None:
        self.grid.mask = mask

    def begin_with(self, prompt: Prompt) -> None:
        """Set the sliders as the prompt says, and draw its mask."""
        values = {**vars(prompt), "codebooks": self._most_books(prompt)}
        with self.grid.hold_sync():  # the masks in between are not worth sending
            for name, control in self.controls.items():
                control.value = min(values[name], control.max)
            self._apply()

    def _most_books(self, prompt: Prompt) -> int:
        return self.grid.n_codebooks if prompt.codebooks is None else prompt.codebooks

    def _apply(self, _: object = None) -> None:
        prompt = Prompt(**{name: control.value for name, control in self.controls.items()})
        shape = (1, self.grid.n_codebooks, self.grid.n_frames)
        self.grid.mask = prompt.mask(self._pipeline, shape, self._audio, self._pipeline.sample_rate)

    def _summarize(self, _: object = None) -> None:
        mask = self.mask
        frames = mask.min(axis=1).mean()  # frames of which nothing is kept
        self.summary.value = (
            f"{mask.mean():.1%} of the tokens to be generated; {frames:.1%} of the frames keep nothing"
        )

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        return still.beside(super()._repr_mimebundle_(**kwargs), self.grid.picture())


def _slider(value: float, least: float, most: float, label: str) -> ipywidgets.Widget:
    """A slider that tells its value when it is let go."""
    kind = ipywidgets.IntSlider if isinstance(value, int) else ipywidgets.FloatSlider
    step = {} if isinstance(value, int) else {"step": 0.05}
    look = {"style": {"description_width": "140px"}, "layout": {"width": "380px"}}
    settings = {"description": label, "continuous_update": False, **look, **step}
    return kind(value=min(value, most), min=least, max=most, **settings)
