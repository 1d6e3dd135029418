"""What is done with one file of a folder, wherever it is done, and what is noted of it."""

import argparse
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers import audio as sound
from helpers.batch.manifest import Done, Failed, Kept, Record, receipt, write_receipt
from helpers.support import files
from helpers.support.commands import NO_MEMORY
from helpers.support.errors import InputError, first_line, is_about_memory

Options = Mapping[str, object]
DoOne = Callable[..., str | None]  # given what to read and the files to write, does it; may return a note
EXACT = (".wav", ".flac")  # formats whose bytes follow from the samples; every OGG gets a random number
Encode = Callable[[np.ndarray, int], np.ndarray]


def no_options(parser: argparse.ArgumentParser) -> None:
    """None but what every batch is told."""


@dataclass(frozen=True)
class Work:
    """What a room does with each sound of a folder; its functions must be a module's, for other processes.

    open: a bundle and options -> what does one file, on one thread. Raises InputError for options that no
    file could be done with. outputs: a sound's name and the options -> the names of what is written, each a
    path with slashes. add_options: the options on a parser. options: which of the parsed arguments decide
    what comes out; one that is a Path is a file that is read too.
    """

    open: Callable[[Path, Options], DoOne]
    outputs: Callable[[str, Options], tuple[str, ...]]
    add_options: Callable[[argparse.ArgumentParser], None] = no_options
    options: tuple[str, ...] = ()


def like_the_sound(name: str, options: Options) -> tuple[str, ...]:
    """The sound under its own name, beside it the tokens if they were asked for.

    What is read and not written gets another ending behind its own, so that a.mp3 and a.wav stay two files.
    """
    written = name if Path(name).suffix.lower() in EXACT else f"{name}.wav"
    return (written, *codes_beside(written, options))


def codes_beside(name: str, options: Options) -> tuple[str, ...]:
    """The file for the tokens of a sound that is written too, if there is to be one."""
    return (f"{name}.npz",) if options["tokens"] else ()


def one_array_of_codes(name: str, options: Options) -> tuple[str, ...]:
    """The file for the tokens of a sound, where nothing else is written."""
    return (f"{name}.npz",)


def encode_file(encode: Encode, source: Path, output: Path) -> None:
    """Write a sound's tokens, `codes` int64 (1, C, T), as a pipeline's `encode` gives them."""
    codes = encode(*sound.load(source))
    with files.written_whole(output) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, codes=codes)


@dataclass(frozen=True)
class Task:
    """One file: its name in IN_DIR, the names in OUT_DIR, and what an earlier batch noted of it."""

    name: str
    outputs: tuple[str, ...]
    earlier: Done | None = None


@dataclass(frozen=True)
class Job:
    """What is the same for all files of a batch. Paths are absolute: whoever works on it may be elsewhere."""

    work: Work
    bundle: Path
    options: Options = field(hash=False)
    source: Path
    target: Path


class Worker:
    """One process's share: the models are opened once, at the first file, whichever thread brings it."""

    def __init__(self, job: Job):
        self.job, self.do_one, self.opening = job, None, threading.Lock()

    def attempt(self, task: Task) -> Done:
        """Do one file, unless it was done already. Raises what went wrong."""
        job, source = self.job, self.job.source / task.name
        if not source.is_file():  # a pipe would be waited for without end
            raise InputError("it is no file, or a link to none.")
        read = files.sha256(source)
        for earlier in (task.earlier, receipt(job.target, task.name)):
            if earlier is not None and earlier.sha256 == read and self._is_there(task, earlier):
                return Kept(**vars(earlier))
        targets = [job.target / name for name in task.outputs]
        for path in targets:
            if not Path(os.path.realpath(path)).is_relative_to(job.target):
                raise InputError(f"{path} is behind a link that leads out of {job.target}; remove the link.")
        with self.opening:
            self.do_one = self.do_one or job.work.open(job.bundle, job.options)
        note = self.do_one(source, *targets)
        written = {name: files.sha256(path) for name, path in zip(task.outputs, targets)}
        done = Done(task.name, read, written, note)
        write_receipt(job.target, done)
        return done

    def _is_there(self, task: Task, done: Done) -> bool:
        paths = {name: self.job.target / name for name in task.outputs}
        same = set(paths) == set(done.outputs)
        return same and all(
            path.is_file() and files.sha256(path) == done.outputs[name] for name, path in paths.items()
        )

    def result(self, task: Task) -> Record:
        """Do one file; what went wrong is its line, and no reason to stop."""
        try:
            return self.attempt(task)
        except Exception as error:  # a stranger's file may make any library raise anything
            return Failed(task.name, reason(error))


def reason(error: Exception) -> str:
    """Why a file failed, in one line."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError) or is_about_memory(error):
        return NO_MEMORY
    if isinstance(error, OSError):
        return f"cannot use {error.filename or 'a file'}: {error.strerror or first_line(error)}."
    return f"{type(error).__name__}: {first_line(error)}"
