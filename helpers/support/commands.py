"""What every command line of the course shares: one-line errors, exit statuses, progress."""

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from helpers.support.config import LARGEST, shown
from helpers.support.errors import InputError, Notice, is_about_memory, plain

LARGEST_SEED = 2**63 - 1  # what every library takes
ENDINGS = ("SIGTERM", "SIGHUP")
INTERRUPTED = 130
NO_MEMORY = "not enough memory for this; close other programs or use a shorter input."
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> None:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(parser: Parser, argv: Sequence[str] | None = None, stopped: str = "stopped.") -> int:
    """Run one command; returns its exit status. What the user can mend is one line and status 2.

    stopped: what is said after Ctrl-C.
    """
    with _surroundings():
        return _run(parser, argv, stopped)


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """Whatever started the process: no closed stream, no plain terminal and no signal breaks a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed; nothing else may get its number, or it would be written into
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream, io.TextIOWrapper):  # a path may hold characters that a plain terminal lacks
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = _Unheard(sys.stderr)
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in ENDINGS if hasattr(signal, name)):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        sys.stderr = sys.stderr.stream
        for number, handler in before.items():
            signal.signal(number, handler)


class _Unheard:
    """A stream to which nobody may be listening: a full disk or a closed pipe there stops no work."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def _end(number: int, frame: object) -> None:
    for name in ENDINGS:  # who ends a process may say so twice, and what is half-written must still go
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise SystemExit(128 + number)  # as a shell reports it; what is half-written is removed on the way out


def _run(parser: Parser, argv: Sequence[str] | None, stopped: str) -> int:
    try:
        arguments = parser.parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say to programmers
            warnings.simplefilter("default", Notice)
            warnings.showwarning = lambda message, *where: print(f"note: {plain(message)}", file=sys.stderr)
            status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        return failed(str(error))
    except MemoryError:
        return failed(NO_MEMORY)
    except ModuleNotFoundError as error:
        return failed(
            f"{error.name} is needed for this and is not here: use the course's environment (`source "
            f".venv/bin/activate`), or install it with `pip install {error.name}`."
        )
    except BrokenPipeError:  # whoever read the output has heard enough
        nowhere = os.open(os.devnull, os.O_WRONLY)  # or Python complains again as it exits
        os.dup2(nowhere, sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        what = f"use {error.filename}" if error.filename else "write the output"
        return failed(f"cannot {what}: {error.strerror or error}.")
    except RuntimeError as error:
        if not is_about_memory(error):
            raise
        return failed(NO_MEMORY)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return INTERRUPTED


def failed(message: str) -> int:
    """Say in one line what the user can mend; the exit status for it."""
    print("error:", plain(message), file=sys.stderr)
    return 2


def progress(**options: object):
    """A progress bar on stderr where that is a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(disable=None, leave=False, **options)


def whole(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """The type of an option that is a whole number in this range."""
    return _in_range(int, "a whole number", least, most)


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of an option that is a number in this range, never infinite or NaN."""
    return _in_range(float, "a number", least, most)


def _in_range(kind: type, called: str, least: float, most: float) -> Callable[[str], float]:
    def checked(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"it should be {called} from {least} to {most}, not {shown(text)}"
            )
        return value

    return checked


def add_checkpoints(command: argparse.ArgumentParser, required: bool) -> None:
    """--checkpoints, whichever model it is."""
    command.add_argument(
        "--checkpoints", type=Path, required=required, metavar="DIR", help="holds the model's own files"
    )


def add_models(command: argparse.ArgumentParser) -> None:
    """What a command that plays may take its models from."""
    models = command.add_argument_group("models (one of --bundle and --checkpoints)")
    models.add_argument("--bundle", type=Path, metavar="BUNDLE")
    add_checkpoints(models, required=False)
    models.add_argument(
        "--provider",
        action="append",
        metavar="NAME",
        help="an ONNX Runtime execution provider, preferred first",
    )


def from_bundle(arguments: argparse.Namespace, with_checkpoints: Sequence[str]) -> bool:
    """Whether `add_models`' options name a bundle; else they name checkpoints. Raises InputError for neither.

    with_checkpoints: options that say more of checkpoints; a bundle has all of it inside.
    """
    if (arguments.bundle is None) == (arguments.checkpoints is None):
        raise InputError("name the models with one of --bundle BUNDLE and --checkpoints DIR.")
    if arguments.bundle is None:
        if arguments.provider:
            raise InputError("--provider goes with --bundle; PyTorch runs on the processor here.")
        return False
    for name in with_checkpoints:
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise InputError(f"--{option} goes with --checkpoints; a bundle has it inside already.")
    return True


@contextlib.contextmanager
def graph_progress(n_graphs: int) -> Iterator[Callable[[str], None]]:
    """Yield what is to be told the name of each graph before it is exported."""
    with progress(total=n_graphs, unit="graph") as bar:

        def on_graph(name: str) -> None:
            bar.set_description(name)
            bar.update()

        yield on_graph


def wrote_bundle(bundle: Path, opset: int, precision: str) -> str:
    """The line that says so."""
    n_graphs = sum(path.suffix == ".onnx" for path in bundle.iterdir())
    megabytes = sum(path.stat().st_size for path in bundle.iterdir()) / 1e6
    graphs = f"{n_graphs} graph{'s' * (n_graphs > 1)}"
    return plain(f"wrote {bundle}: {graphs}, opset {opset}, {precision}, {megabytes:.1f} MB")


def wrote_page(page: Path) -> str:
    """The line that says so."""
    return plain(f"wrote {page}: {page.stat().st_size / 1e6:.1f} MB; open it in a browser")


def leave(status: int) -> None:
    """End the process with this status."""
    if status == INTERRUPTED:
        sys.stderr.flush()
        os._exit(status)  # Python would end itself by a signal if the interrupt came while it was in exec()
    sys.exit(status)
