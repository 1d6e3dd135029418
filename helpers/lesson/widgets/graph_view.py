"""An ONNX graph in netron, inside the notebook."""

import os
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import traitlets
from matplotlib.axes import Axes

from helpers.lesson import plots
from helpers.lesson.widgets import graph_server, still
from helpers.support.errors import InputError

HERE = Path(__file__).parent
MISSING = "netron, which draws the graph, is not installed: run `python course.py setup`."
UNREACHABLE = (
    "netron runs beside this notebook's Python, and this browser does not reach it there: the two are on "
    "different computers, or the notebook was closed. Here is what the graph consists of."
)


class GraphView(anywidget.AnyWidget):
    """An ONNX file in netron: nodes to click on, drawn by a server that only this computer can ask.

    path: an ONNX file; it must stay where it is for as long as it is looked at. Where netron is missing or
    out of reach, a sentence says so, above the picture that also stands where widgets don't run: how often
    each operator occurs. Raises InputError if there is no such file.
    """

    _esm = HERE / "graph_view.js"
    _css = HERE / "graph_view.css"
    address = traitlets.Unicode().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)

    def __init__(self, path: str | os.PathLike):
        self._path, netron = Path(path), graph_server.netron_folder()
        if not self._path.is_file():
            raise InputError(f"{self._path} does not exist.")
        there = netron is not None
        super().__init__(
            address=graph_server.server(netron).add(self._path) if there else "",
            message=UNREACHABLE if there else MISSING,
        )
        self.on_msg(lambda *_: self.send({"have": "picture"}, [self.picture()]))

    def picture(self) -> bytes:
        """How often each operator occurs, as PNG."""
        from helpers.export.inspection import operators  # it needs PyTorch, and the other widgets don't

        counts = operators(self._path)
        return still.png(lambda ax: _bars(dict(counts.most_common()), ax), 0.6 + 0.24 * len(counts))[0]

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        """The widget, and a still picture for places where widgets don't run."""
        return still.beside(super()._repr_mimebundle_(**kwargs), self.picture())


def _bars(counts: dict[str, int], ax: Axes) -> Axes:
    with plt.rc_context(plots.STYLE):
        ax.bar_label(ax.barh(list(counts), list(counts.values()), color=plots.BLUE), padding=3)
        ax.invert_yaxis()
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="nodes")
    return ax
