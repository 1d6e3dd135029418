"""Sliders that run something slow without stopping the notebook; a newer setting cancels the older."""

import threading
from collections.abc import Callable

import ipywidgets

from helpers.lesson.widgets import still

FIRST_RESULT = 30.0  # seconds to wait for it where the widget is shown: its picture is the fallback
WIDTH = "32em"  # of a control, label and number included


class Live(ipywidgets.VBox):
    """Controls, and below them what `make` makes of their values, made anew whenever one changes.

    make: called in a thread with the controls' values by name and `go_on`, a function to pass as
    `on_step`: it returns False as soon as a newer setting waits. It returns the widget to show. What it
    raises is shown in place of the result and kept in `error`.
    """

    def __init__(self, make: Callable[..., ipywidgets.Widget], **controls: ipywidgets.Widget):
        self.make, self.controls, self.error, self.result = make, controls, None, None
        self.status, self._shown = ipywidgets.Label(), ipywidgets.VBox()
        self._lock, self._ticket = threading.Lock(), 0
        for name, control in controls.items():
            control.description = control.description or name.replace("_", " ")
            control.observe(self._start, "value")
        longest = max((len(control.description) for control in controls.values()), default=0)
        for control in controls.values():  # one below the other, they begin at one place
            control.style.description_width = f"{0.7 * longest + 1:.1f}em"
            if isinstance(control, ipywidgets.ToggleButtons):
                control.style.button_width = "auto"  # the whole name is shown
            else:
                control.layout.width = WIDTH
        super().__init__([*controls.values(), self.status, self._shown])
        self._start()

    def wait(self, timeout: float | None = None) -> None:
        """Return when nothing is being made any more, or after so many seconds."""
        self._thread.join(timeout)

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        """The widget, and the first result's still picture for places where widgets don't run."""
        self.wait(FIRST_RESULT)
        shown, picture = super()._repr_mimebundle_(**kwargs), still.of(self.result)
        return still.beside(shown, picture) if picture else shown

    def _start(self, _: object = None) -> None:
        self._ticket += 1
        values = {name: control.value for name, control in self.controls.items()}
        self.status.value = "working…"
        self._thread = threading.Thread(target=self._run, args=(self._ticket, values), daemon=True)
        self._thread.start()

    def _run(self, ticket: int, values: dict) -> None:
        def go_on(*_: object) -> bool:
            return ticket == self._ticket

        with self._lock:  # one at a time: the older run ends at its next step
            if not go_on():
                return
            try:
                result, error = self.make(**values, go_on=go_on), None
            except Exception as failure:  # of any kind: in a thread, nobody else shows it to the reader
                result, error = None, failure
            if not go_on():
                return
            self.result, self.error = result, error
            self.status.value = f"{type(error).__name__}: {error}" if error else ""
            self._shown.children = (result,) if result is not None else ()
