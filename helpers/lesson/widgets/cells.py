"""What a widget's message must not do to a cell that is running."""

import sys
import threading


def shield(shell: object | None) -> None:
    """Let IPython end a cell only in the thread that runs cells; without a shell there is nothing to do.

    JupyterLab sends a widget's messages to a thread of their own. After each, IPython says "post_execute",
    as after a cell, and matplotlib answers by drawing every open figure: also one that a cell in the main
    thread has only half made.
    """
    if shell is None or hasattr(shell.events, "shielded"):
        return
    trigger = shell.events.trigger

    def in_main_thread(event: str, *arguments: object, **named: object) -> None:
        if threading.current_thread() is threading.main_thread():
            trigger(event, *arguments, **named)

    shell.events.trigger, shell.events.shielded = in_main_thread, True


def running_shell() -> object | None:
    """IPython's shell, if this is a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
