"""A batch over many machines: dask's scheduler gives out the files, each worker opens the models once.

All of them must see the same directories under the same paths, and have this package installed.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

from helpers.batch.manifest import Failed, Record
from helpers.batch.work import Job, Task, Worker, reason
from helpers.support.errors import InputError, first_line
from helpers.support.libraries import library

PATIENCE = 10  # seconds, for a scheduler and its first worker to answer
RETRIES = 3  # of a file, on another worker perhaps: a disk over the network may be late


def on_cluster(job: Job, tasks: Sequence[Task], address: str) -> Iterator[Record]:
    """What became of each file, as it becomes known. A worker that is lost costs no file.

    Raises InputError where there is no cluster, where its workers lack something, and when it is lost.
    """
    distributed = _distributed()
    with _quiet(), _client(distributed, address) as client:
        _check_workers(client, (job.source, job.target, job.bundle))
        futures = {client.submit(_on_worker, job, task, pure=False, retries=RETRIES): task for task in tasks}
        for future in distributed.as_completed(futures, loop=client.loop):
            task = futures.pop(future)
            if future.status == "finished":
                yield future.result()
            elif future.status == "error":
                yield Failed(task.name, reason(future.exception()))
            else:
                raise InputError(f"the cluster at {address} was lost; start it and this command again.")


def _distributed():
    try:
        return library("distributed")
    except InputError as error:
        raise InputError(
            "--cluster needs Dask; install the course's extra `cluster`: pip install '.[cluster]'."
        ) from error


@contextlib.contextmanager
def _client(distributed, address: str) -> Iterator[object]:
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({first_line(error)}); start one: `dask scheduler`."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise InputError(
                f"the cluster at {address} has no workers; start some with `dask worker {address}`."
            ) from error
        yield client


def _check_workers(client, paths: tuple[Path, ...]) -> None:
    """Before any file: does every worker have the package, and see the directories?"""
    try:
        answers = client.run(_unseen, paths)
    except Exception as error:  # whatever keeps a worker from reading what it was sent
        raise InputError(
            f"a worker of the cluster cannot do this ({first_line(error)}); give it the same environment."
        ) from error
    for worker, unseen in answers.items():
        if unseen:
            raise InputError(f"the worker {worker} sees no {unseen[0]}; all must share these directories.")


def _unseen(paths: tuple[Path, ...]) -> list[str]:
    return [str(path) for path in paths if not path.exists()]


_starting, _worker = Lock(), lru_cache(maxsize=1)(Worker)


def _on_worker(job: Job, task: Task) -> Record:
    """One file. What another try may mend is raised, for the scheduler to give it out again."""
    with _starting:  # a worker of Dask's may have several threads
        worker = _worker(job)
    try:
        return worker.attempt(task)
    except InputError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
            raise
        return Failed(task.name, reason(error))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the terminal what the library logs of workers that come and go."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
