"""One version of a model in a process of its own: it runs when it is told to and knows its peak memory."""

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from helpers.lesson.timing import REST
from helpers.support.errors import InputError, first_line

ENDED = "its process ended; was there not enough memory?"
Run = Callable[[], dict[str, float]]  # does the work; where it has stages, their seconds


@dataclass(frozen=True)
class Measured:
    """One run: seconds on the clock, seconds of processor time of all threads, those of each stage, and the
    peak of memory so far in bytes (None where nobody tells).
    """

    seconds: float
    cpu_seconds: float
    stages: dict[str, float]
    memory: int | None


def peak_memory() -> int | None:
    """The most memory that this process has used, in bytes; None where nobody tells."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what a parent used before it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve(connection: Connection, prepare: Callable[[], Run]) -> None:
    """The worker's life: load, run once to warm up, then once for each request, until nobody asks."""
    try:
        run = prepare()
        run()
        reason = None
    except Exception as error:  # whatever kind: it is reported as the reason why there is no time
        reason = first_line(error)
    with contextlib.suppress(EOFError, OSError):  # whoever asked is gone
        connection.send(reason)
        while reason is None and connection.recv():
            start, busy = time.perf_counter(), time.process_time()
            stages = run()
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - busy
            connection.send(Measured(seconds, cpu_seconds, stages, peak_memory()))


class Worker(contextlib.AbstractContextManager):
    """A version that is ready for one operation, in its own process; `run` does it once.

    prepare: a function that can be sent there; it loads what is needed, and what it returns is timed. Raises
    InputError if it cannot be made ready.
    """

    def __init__(self, prepare: Callable[[], Run]):
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(theirs, prepare), daemon=True)
        self.process.start()
        theirs.close()
        try:
            reason = self.connection.recv()
        except EOFError:
            reason = ENDED
        if reason is not None:
            self.__exit__()
            raise InputError(reason)

    def run(self) -> Measured:
        """Do it once, after a rest. Raises InputError if the process is gone."""
        time.sleep(REST)
        try:
            self.connection.send(True)
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise InputError(ENDED) from error

    def __exit__(self, *error: object) -> None:
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        self.connection.close()


def in_turn(
    versions: Mapping[str, Callable[[], Run]], rounds: int, failed: dict[str, str]
) -> dict[str, list[Measured]]:
    """Every version in its own process, all ready at once; then in turn, `rounds` times.

    versions: by name, what prepares them. Why one could not be made ready is added to `failed`.
    """
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, prepare in versions.items():
            try:
                workers[name] = stack.enter_context(Worker(prepare))
            except InputError as error:
                failed[name] = str(error)
        found: dict[str, list[Measured]] = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                found[name].append(worker.run())
    return found
