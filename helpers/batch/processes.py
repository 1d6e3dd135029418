"""A batch over this machine's cores: a process a core, each with its own models on one thread."""

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait

from helpers.batch.manifest import Failed, Record
from helpers.batch.work import Job, Task, Worker

NEW_PROCESS = "spawn"  # a copy of this one would share the locks of threads that it does not have


class _Process:
    """A process that does one file after the other, and the file that it has now."""

    def __init__(self, job: Job):
        context = multiprocessing.get_context(NEW_PROCESS)
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(job, other), daemon=True)
        self.process.start()
        other.close()  # else nobody would notice that it ended
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        with contextlib.suppress(OSError):  # it ended meanwhile, which `take` will tell
            self.connection.send(task)

    def take(self) -> Record:
        """What became of its file; a failure if the process ended with it."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
            return Failed(self.task.name, f"the process that worked on it ended ({how}).")

    def end(self) -> None:
        """At once; what it was writing has not appeared yet."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def on_processes(job: Job, tasks: Iterable[Task], n_processes: int) -> Iterator[Record]:
    """What became of each file, as it becomes known. A process that dies costs the file it had, no other."""
    tasks, working = iter(tasks), []
    try:
        for task in tasks:
            if len(working) == n_processes:
                yield _next(working, job, task)
            else:
                working.append(_started(job, task))
        while working:
            yield _next(working, job, None)
    finally:
        for one in working:
            one.end()


def _started(job: Job, task: Task) -> _Process:
    process = _Process(job)
    process.give(task)
    return process


def _next(working: list[_Process], job: Job, task: Task | None) -> Record:
    """Wait until one of the processes is through with its file, and give it another, if there is one."""
    ready = wait([one.connection for one in working])[0]
    one = next(one for one in working if one.connection is ready)
    record = one.take()
    if task is None or not one.process.is_alive():
        working.remove(one)
        one.end()
        if task is not None:
            working.append(_started(job, task))
    else:
        one.give(task)
    return record


def _serve(job: Job, connection: Connection) -> None:
    """A process's life: until nobody sends it files any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; whoever started this one ends it
    warnings.simplefilter("ignore")  # the one who started it has said them already
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = Worker(job)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(worker.result(connection.recv()))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
