"""`python -m helpers batch`: what it is told, in which order it goes about it, and what it says."""

import argparse
import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from helpers.batch import manifest
from helpers.batch.cluster import on_cluster
from helpers.batch.folder import Found, check_apart, find, with_outputs
from helpers.batch.manifest import Failed, Kept, Record
from helpers.batch.processes import on_processes
from helpers.batch.work import Job, Task, Work
from helpers.runtime.manifest import MANIFEST, changed_files, described_files, load_manifest
from helpers.support.commands import progress, whole
from helpers.support.config import shown
from helpers.support.cores import n_cores
from helpers.support.errors import InputError, plain

MOST_PROCESSES = 1024


def add_batch(command: argparse.ArgumentParser) -> None:
    """What every kind of batch is told."""
    command.add_argument("source", type=Path, metavar="IN_DIR", help="every sound in it, and below")
    command.add_argument("target", type=Path, metavar="OUT_DIR", help="gets the same tree, and batch.jsonl")
    command.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE")
    command.add_argument(
        "--provider", action="append", metavar="NAME",
        help="an ONNX Runtime execution provider, preferred first",
    )  # fmt: skip
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--processes",
        type=whole(1, MOST_PROCESSES),
        metavar="N",
        help="on this machine (default: one a core)",
    )
    where.add_argument(
        "--cluster", type=address, metavar="ADDRESS", help="a Dask scheduler's: tcp://HOST:8786"
    )


def address(text: str) -> str:
    """The type of an option that is HOST:PORT, a protocol before it or not."""
    if not re.fullmatch(r"((tcp|tls|ws|wss|ucx)://)?([^\s:/\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", text):
        raise argparse.ArgumentTypeError(f"it should be tcp://HOST:PORT, not {shown(text)}")
    return text


def run_batch(kind: str, model: str, work: Work, arguments: argparse.Namespace) -> int:
    """Do the work with every sound of a folder: 0 if all went well, 1 if a file failed. Raises InputError.

    What was done before is not done again, whatever ended it then.
    """
    source, target, bundle = (
        path.resolve() for path in (arguments.source, arguments.target, arguments.bundle)
    )
    check_apart(source, target)
    given = {name: getattr(arguments, name) for name in (*work.options, "provider")}
    options = {name: one.resolve() if isinstance(one, Path) else one for name, one in given.items()}
    work.open(bundle, options)  # what no file could be done with is told now, once
    for problem in changed_files(bundle, described_files(bundle, load_manifest(bundle))):
        raise InputError(f"{bundle}: {problem}; export the bundle again.")
    settings = manifest.settings_of(kind, model, bundle / MANIFEST, options)
    job = Job(work, bundle, options, source, target)
    with manifest.claimed(target):
        earlier = manifest.begin(target, settings)
        found = find(source, target)
        named = list(with_outputs(found.sounds, lambda name: work.outputs(name, options)))
        failures = [*found.failures, *(one for one in named if isinstance(one, Failed))]
        tasks = [Task(*one, earlier.get(one[0])) for one in named if not isinstance(one, Failed)]
        records = {**earlier}
        try:
            with contextlib.closing(_done(job, tasks, arguments)) as done:
                for record in _told(chain(failures, done), len(failures) + len(tasks)):
                    records[record.input] = record
        except BaseException:  # whatever ends it: what was done meanwhile is in the manifest
            records.update(manifest.receipts(target, (task.name for task in tasks)))
            raise
        finally:
            manifest.finish(target, settings, records.values())
    n_kept, n_failed = (sum(isinstance(one, kind) for one in records.values()) for kind in (Kept, Failed))
    _summary(target, len(failures) + len(tasks) - n_kept - n_failed, n_kept, n_failed, found)
    return 1 if n_failed else 0


def _done(job: Job, tasks: list[Task], arguments: argparse.Namespace) -> Iterator[Record]:
    if arguments.cluster is not None:
        yield from on_cluster(job, tasks, arguments.cluster)
    else:
        yield from on_processes(job, tasks, arguments.processes or n_cores())


def _told(records: Iterable[Record], total: int) -> Iterator[Record]:
    """The same records; of each failure a line, and of all how far it is."""
    with progress(total=total, unit="file") as bar:
        for record in records:
            if isinstance(record, Failed):
                bar.write(plain(f"failed: {record.input}: {record.error}"), file=sys.stderr)
            bar.update()
            yield record


def _summary(target: Path, n_done: int, n_kept: int, n_failed: int, found: Found) -> None:
    kept = f" {n_kept} already there," * bool(n_kept)
    counted = f"{n_done} sounds done,{kept} {n_failed} failed"
    print(plain(f"wrote {target}: {counted}; {manifest.NAME} tells of each"))
    counts = (("files that are no sound", found.others), ("links to directories", found.links))
    left = [f"{what} ({count})" for what, count in counts if count]
    if left:
        print(f"note: left alone: {', '.join(left)}.", file=sys.stderr)
