"""`batch.jsonl`: what a folder's files were made from, a line for each, and what is noted on the way.

While a batch runs, each finished file has a receipt, a small file of its own that appears whole. So
nothing is lost whenever and wherever a process is killed, and no two of them write into one file.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from helpers.support import files, unfinished
from helpers.support.config import shown
from helpers.support.errors import InputError

NAME, RECEIPTS = "batch.jsonl", ".batch"


@dataclass(frozen=True)
class Done:
    """A file that was done: its SHA-256, those of what was written by name, and what is to be said of it."""

    input: str
    sha256: str
    outputs: Mapping[str, str]
    note: str | None = None


@dataclass(frozen=True)
class Kept(Done):
    """A file that an earlier batch did, and of which all is there."""


@dataclass(frozen=True)
class Failed:
    """A file that could not be done, and why."""

    input: str
    error: str


Record = Done | Failed


def settings_of(kind: str, model: str, bundle: Path, options: Mapping[str, object]) -> dict:
    """The manifest's first line: all that decides what comes out, beside the files themselves.

    Of a file among the options its SHA-256 counts, not where it lies; so does the bundle's manifest, which
    has those of its graphs.
    """
    plain = {
        name: files.sha256(value) if isinstance(value, Path) else value for name, value in options.items()
    }
    said = {"batch": kind, "model": model, "bundle": files.sha256(bundle), "settings": plain}
    return {"format": 1, **said, "settings_sha256": hashlib.sha256(_line(said).encode()).hexdigest()}


def begin(target: Path, settings: Mapping) -> dict[str, Done]:
    """Make `target` a batch's directory, or find that it is one with these settings: what was done, by name.

    Raises InputError for a directory of something else, and for other settings.
    """
    path = target / NAME
    if not path.is_file():
        if any(not one.name.startswith(unfinished.PREFIX) for one in target.iterdir()):
            raise InputError(f"{target} holds something else than a batch; name a new or an empty directory.")
        _write(path, settings, ())
        return {}
    earlier, records = _read(path)
    if earlier != settings:
        raise InputError(
            f"{target} holds a batch with other settings ({_difference(earlier, settings)}); "
            "name another directory, or give the same."
        )
    return {record.input: record for record in records if isinstance(record, Done)}


def finish(target: Path, settings: Mapping, records: Iterable[Record]) -> None:
    """Write the manifest with one line for each of these files, by name; what was noted for it goes."""
    _write(target / NAME, settings, sorted(records, key=lambda record: record.input))
    shutil.rmtree(target / RECEIPTS, ignore_errors=True)
    for directory, _, _ in os.walk(target):  # which follows no links: what they lead to is not ours
        unfinished.remove_abandoned(Path(directory), young=0)  # of workers that were killed


@contextlib.contextmanager
def claimed(target: Path) -> Iterator[None]:
    """Make a directory, and keep other batches out of it meanwhile. Raises InputError."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        if (target / RECEIPTS).is_symlink():
            raise InputError(f"{target / RECEIPTS} is a link; remove it: notes of the batch are kept there.")
        with unfinished.alone_in(target):
            yield
    except BlockingIOError as error:
        raise InputError(f"another batch is writing into {target}; wait for it, or stop it.") from error
    except FileExistsError as error:
        raise InputError(f"{target} is no directory; name one to write into.") from error


def receipt(target: Path, name: str) -> Done | None:
    """What was noted of a file that was done; None where nothing was."""
    try:
        found = _record(files.read_json(_receipt_path(target, name)))
    except InputError:
        return None
    return found if isinstance(found, Done) and found.input == name else None


def write_receipt(target: Path, done: Done) -> None:
    """Note that a file was done."""
    files.write_json(_receipt_path(target, done.input), _plain(done))


def receipts(target: Path, names: Iterable[str]) -> dict[str, Done]:
    """What was noted of files that were done, by name."""
    found = ((name, receipt(target, name)) for name in names)
    return {name: done for name, done in found if done is not None}


def _receipt_path(target: Path, name: str) -> Path:
    """By a hash: a sound's own name may be too long for another ending."""
    return target / RECEIPTS / f"{hashlib.sha256(_line(name).encode()).hexdigest()}.json"


def _write(path: Path, settings: Mapping, records: Iterable[Record]) -> None:
    lines = [_line(settings), *(_line(_plain(record)) for record in records)]
    files.write_text(path, "\n".join(lines) + "\n")


def _line(value: object) -> str:
    """As JSON in one line of ASCII, always the same for the same."""
    return json.dumps(value)


def _plain(record: Record) -> dict:
    return {name: value for name, value in asdict(record).items() if value is not None}


def _read(path: Path) -> tuple[dict, list[Record]]:
    try:
        first, *rest = map(files.parse_json, path.read_text(encoding="utf-8").splitlines())
        if not isinstance(first, dict):
            raise ValueError("the first line is no object")
        return first, [_record(line) for line in rest]
    except ValueError as error:
        raise InputError(f"{path} is damaged; remove it and what lies beside it, and begin anew.") from error


def _record(line: object) -> Record:
    """Raises InputError for what none of ours says."""
    try:
        record = Failed(**line) if "error" in line else Done(**line)
    except TypeError as error:
        raise InputError("a line of it is no record.") from error
    if not isinstance(record.input, str) or not isinstance(getattr(record, "outputs", {}), dict):
        raise InputError("a line of it is no record.")
    return record


def _difference(earlier: Mapping, now: Mapping) -> str:
    """What differs, each in words; of the settings one by one."""
    before, after = ({**one, **_table(one.get("settings"))} for one in (earlier, now))
    names = [name for name in {**before, **after} if name not in ("settings", "settings_sha256")]
    changed = [name for name in names if before.get(name) != after.get(name)]
    said = [
        "another bundle" if name == "bundle"
        else f"{name} was {shown(before.get(name))} and is {shown(after.get(name))}"
        for name in changed[:3]
    ]  # fmt: skip
    return ", ".join(said) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")


def _table(value: object) -> dict:
    return value if isinstance(value, dict) else {}
