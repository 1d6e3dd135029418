"""A batch without a model: a file costs nothing and is noted in a log. Other processes import this."""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from helpers.batch import Work, add_batch, like_the_sound, run_batch
from helpers.support import commands, files
from helpers.support.errors import InputError


def add_options(parser):
    parser.add_argument("--shout", action="store_true")
    parser.add_argument("--log", type=str)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--beside", type=Path)


def opened(bundle, options):
    """What copies a file, word for word or louder, and notes it in a log beside the process's number."""
    if options["seconds"] < 0:
        raise InputError("seconds must be at least 0.")
    return partial(copy, options)


def copy(options, source, target, tokens=None):
    if "crash" in source.name:
        os._exit(3)
    if "bad" in source.name:
        raise InputError(f"{source} is bad\nindeed.")
    if "bug" in source.name:
        raise KeyError("a bug")
    text = source.read_text()
    time.sleep(options["seconds"])
    for path in filter(None, (target, tokens)):
        files.write_text(path, text.upper() if options["shout"] else text)
    if options["log"]:
        with open(options["log"], "a") as log:
            log.write(f"{os.getpid()} {json.dumps(source.name)}\n")
    return "it is long." if len(text) > 100 else None


WORK = Work(opened, like_the_sound, add_options, ("shout", "log", "seconds", "tokens", "beside"))


def parser():
    top = commands.Parser(prog="copy")
    add_batch(top)
    add_options(top)
    top.set_defaults(run=partial(run_batch, "copy", "nothing", WORK))
    return top


def main(argv):
    """The command: its exit status."""
    return commands.main(parser(), list(map(str, argv)))


def bundle_in(directory):
    """A bundle without a graph."""
    bundle = Path(directory) / "bundle"
    bundle.mkdir()
    files.write_json(bundle / "bundle.json", {"model": "nothing", "sha256": {}})
    return bundle


def tree(directory):
    """Every file below a directory and its bytes."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in Path(directory).rglob("*")
        if path.is_file()
    }


if __name__ == "__main__":
    import batches  # under the name by which other processes find its functions

    commands.leave(batches.main(sys.argv[1:]))
