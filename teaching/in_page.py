"""How sound and widgets look in a page that has no kernel behind it.

`show_in_pages` runs in the kernel that executes a notebook for `teaching.pages`. The player goes into the
page with its sound, as lossless FLAC, and runs there by its own front end (see `page.js`); other widgets
become what they show.
"""

import base64
import html
import io
import json
from collections.abc import Callable

import ipywidgets
import soundfile
from IPython import get_ipython

from helpers.lesson.widgets.graph_view import GraphView
from helpers.lesson.widgets.live import Live
from helpers.lesson.widgets.player import Player

LONGEST_MAKING = 300  # seconds that a slider's first result may take


def show_in_pages() -> None:
    """From now on, the running kernel shows widgets as HTML."""
    formatter = get_ipython().display_formatter.mimebundle_formatter
    formatter.for_type(ipywidgets.Widget, lambda widget: {"text/html": as_html(widget)})


def as_html(widget: ipywidgets.Widget) -> str:
    """What a page shows of a widget."""
    kinds: list[tuple[type, Callable[[ipywidgets.Widget], str]]] = [
        (Player, player),
        (Live, live),
        (GraphView, graph),
        (ipywidgets.HTML, lambda shown: shown.value),
        (ipywidgets.Label, lambda shown: f"<p>{html.escape(shown.value)}</p>"),
        (ipywidgets.Widget, still_or_parts),
    ]
    return next(show for kind, show in kinds if isinstance(widget, kind))(widget)


def player(widget: Player) -> str:
    """All versions, their pictures and what the front end asks for, as data for `page.js`."""
    pictures = [widget.picture(index) for index in range(len(widget.names))]
    content = {
        "state": {
            name: getattr(widget, name) for name in ("labels", "sample_rate", "gain_db", "message", "asks")
        },
        "names": widget.names,
        "sounds": [flac(widget.sounds[name], widget.sample_rate) for name in widget.names],
        "pictures": [{"png": text(png), "left": left, "right": right} for png, left, right in pictures],
    }
    data = json.dumps(content).replace("<", "\\u003c")  # a label can't end the script element
    return f'<div class="page-player"><script type="application/json">{data}</script></div>'


def live(widget: Live) -> str:
    """What the sliders' first setting gave, with the setting."""
    widget.wait(LONGEST_MAKING)
    settings = ", ".join(f"{control.description} {control.value}" for control in widget.controls.values())
    note = f"In the notebook a slider changes this; here it is: {settings}."
    if widget.error is not None:
        raise widget.error
    return f'<p class="page-note">{html.escape(note)}</p>{as_html(widget.result)}'


def graph(widget: GraphView) -> str:
    """What stands in for netron, which is no part of a page."""
    return image("In the notebook netron draws this graph; here are its operators.", widget.picture())


def still_or_parts(widget: ipywidgets.Widget) -> str:
    """The widget's still picture; else its parts; else nothing, because a lone control has no use here."""
    shown = widget._repr_mimebundle_() or {}
    picture = (shown[0] if isinstance(shown, tuple) else shown).get("image/png")
    if picture:
        return image("In the notebook this can be moved and painted on; here is its picture.", picture)
    return "".join(as_html(child) for child in getattr(widget, "children", ()))


def image(note: str, png: bytes) -> str:
    """A picture with a sentence above it."""
    return f'<p class="page-note">{note}</p><img alt="" src="data:image/png;base64,{text(png)}">'


def flac(sound, sample_rate: int) -> str:
    """Audio (N,) as base64 of a FLAC file of 16 bits, the same samples that the player sends."""
    file = io.BytesIO()
    soundfile.write(file, sound, sample_rate, format="FLAC", subtype="PCM_16")
    return text(file.getvalue())


def text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
