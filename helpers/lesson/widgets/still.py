"""A still picture for every widget: seen where widgets don't run, such as a notebook on a web site."""

import io
from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Bundle = tuple[dict, dict] | dict | None


def png(draw: Callable[[Axes], Axes], height: float) -> tuple[bytes, Axes]:
    """What `draw` draws, as a PNG file nine inches wide, and the axes, for their place in the picture."""
    figure = plt.Figure(figsize=(9, height), layout="constrained")
    ax = draw(figure.add_subplot())
    return _saved(figure), ax


def column(draws: Sequence[Callable[[Axes], Axes]], height: float) -> bytes:
    """What each draws, one below the other, as a PNG file nine inches wide; `height` is that of each."""
    figure = plt.Figure(figsize=(9, height * len(draws)), layout="constrained")
    for draw, ax in zip(draws, figure.subplots(len(draws), squeeze=False).flat):
        draw(ax).label_outer()  # time is written once, below the last
    return _saved(figure)


def _saved(figure: plt.Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def beside(shown: Bundle, picture: bytes) -> Bundle:
    """The MIME bundle of a widget (None, data, or data and metadata) with a picture as its alternative."""
    data = shown[0] if isinstance(shown, tuple) else shown
    if data is not None:
        data["image/png"] = picture
    return shown


def of(widget: ipywidgets.Widget | None) -> bytes | None:
    """The still picture of a widget, or of the first of its parts that has one."""
    shown = widget._repr_mimebundle_() if widget is not None else None
    data = (shown[0] if isinstance(shown, tuple) else shown) or {}
    parts = (of(part) for part in getattr(widget, "children", ()))
    return data.get("image/png") or next(filter(None, parts), None)
