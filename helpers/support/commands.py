"""What every command line of the course shares: one-line errors, exit statuses, progress."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence

from helpers.support.errors import InputError, Notice

INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> None:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(parser: Parser, argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. What the user can mend is one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may hold characters that a plain terminal lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = parser.parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say to programmers
            warnings.simplefilter("default", Notice)
            warnings.showwarning = lambda message, *where: print(f"note: {message}", file=sys.stderr)
            status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        return failed(str(error))
    except MemoryError:
        return failed("not enough memory for this; close other programs or use a shorter input.")
    except ModuleNotFoundError as error:
        return failed(f"{error.name} is needed for this; install it with `pip install {error.name}`.")
    except BrokenPipeError:  # whoever read the output has heard enough
        nowhere = os.open(os.devnull, os.O_WRONLY)  # or Python complains again as it exits
        os.dup2(nowhere, sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        return failed(f"cannot write the output: {error.strerror or error}.")
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return INTERRUPTED


def failed(message: str) -> int:
    """Say in one line what the user can mend; the exit status for it."""
    print("error:", " ".join(message.split("\n")), file=sys.stderr)
    return 2


def progress(**options: object):
    """A progress bar on stderr where that is a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(disable=None, leave=False, **options)


def leave(status: int) -> None:
    """End the process with this status."""
    if status == INTERRUPTED:
        sys.stderr.flush()
        os._exit(status)  # Python would end itself by a signal if the interrupt came while it was in exec()
    sys.exit(status)
