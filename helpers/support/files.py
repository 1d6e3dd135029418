"""Files that appear under their name only when they are complete."""

import contextlib
import gc
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers.support import unfinished
from helpers.support.errors import InputError


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    After an exception (Ctrl-C too) nothing is left: no temporary file, no half-written `path`, no directory
    made for it. A link is followed, and a file that is replaced keeps its permissions. The temporary name
    is short, so that a name of any length can be written, and keeps the suffix, because some libraries
    choose a file format by it. Raises InputError for what can't be replaced: a directory, a device, a pipe.
    """
    try:
        target = _target(path)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else usual_mode(0o666)
        suffix = target.suffix if len(os.fsencode(target.suffix)) <= LONGEST_SUFFIX else ""
        with unfinished.file(existing_parent(target), suffix) as temporary:
            yield temporary
            os.chmod(temporary, mode)  # until now only its owner could read it
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error


def _target(path: str | os.PathLike) -> Path:
    """What `path` stands for, links followed. Raises InputError for what is there and is no file."""
    target = Path(os.path.realpath(path))
    try:
        mode = os.stat(target).st_mode  # raises another OSError for a name that is too long
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a directory; name a file to write.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a device or a pipe; name a file to write.")
    return target


def check_outputs(
    outputs: Iterable[str | os.PathLike | None], inputs: Iterable[str | os.PathLike | None] = ()
) -> None:
    """Before any work: can these files be written, and are they neither one another nor an input?

    None stands for one that was not asked for. Files are told apart by what they are, not by how they are
    spelled. A model's file, which no command but its own writes, is kept. Raises InputError.
    """
    seen = {_identity(path): path for path in inputs if path is not None}
    targets: list[Path] = []
    for path in (path for path in outputs if path is not None):
        try:
            target = _target(path)
            if target.exists() and (target.name.endswith(MODELS) or not os.access(target, os.W_OK)):
                raise InputError(f"{path} is there and is a model's or read-only; name another to write.")
            with unfinished.file(existing_parent(target)):
                pass  # trying is the one way to know, whatever keeps files from being made
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
        other = seen.setdefault(_identity(path), path)
        if other is not path:
            raise InputError(f"{other} and {path} are the same file; give them two names.")
        for beside in targets:
            if beside in target.parents or target in beside.parents:
                raise InputError(f"{path} and {beside} can't be a file and its directory; name others.")
        targets.append(target)


def check_name(path: str | os.PathLike) -> None:
    """Raise InputError for a path that is no UTF-8: Python can open it, most libraries in C++ can't."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: a name in this path is not UTF-8; rename it.") from error


def _identity(path: str | os.PathLike) -> object:
    """The same for two names of one file."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino
    except OSError:  # not there yet
        return os.path.normcase(os.path.realpath(path))


def existing_parent(path: Path) -> Path:
    """The nearest thing above `path` that exists; directories that miss are made when all went well."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def usual_mode(mode: int) -> int:
    """The permissions that a file or directory with `mode` would get from the process's umask."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text, whole or not at all; a name in it that is not UTF-8 is spelled out, as JSON would."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike) -> object:
    """The content of a JSON file, which may be a stranger's. Raises InputError for anything else."""
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"there is no file {path}.")
        if path.stat().st_size > LARGEST_JSON:
            raise InputError(f"{path} is too large for what it should hold.")
        return parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: it is not JSON.") from error


def parse_json(text: str | bytes) -> object:
    """What JSON says. Raises ValueError alone: for other text, and for brackets or numbers without end."""
    try:
        with _uncollected():
            return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the garbage where it is: what frees it would fail at the bottom of a deep recursion."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces so that any size fits in memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LONGEST_SUFFIX = 16  # bytes
MODELS = (".pth", ".bin", ".safetensors", ".onnx", ".onnx.data", "bundle.json", "config.json")
LARGEST_JSON = 64 << 20  # bytes; no manifest, record or notebook comes near it
ROOT = Path(__file__).resolve().parents[2]  # the course's folder
