"""A still picture for every widget: seen where widgets don't run, such as a notebook on a web site."""

import io
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Bundle = tuple[dict, dict] | dict | None


def png(draw: Callable[[Axes], Axes], height: float) -> tuple[bytes, Axes]:
    """What `draw` draws, as a PNG file nine inches wide, and the axes, for their place in the picture."""
    figure = plt.Figure(figsize=(9, height), layout="constrained")
    ax = draw(figure.add_subplot())
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue(), ax


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
