"""Files that appear under their name only when they are complete."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers.support.errors import InputError


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    After an exception (Ctrl-C too) nothing is left: no temporary file, no half-written `path`, no
    directory made for it. The temporary name keeps the suffix, because some libraries choose a file
    format by it.
    """
    path = Path(path)
    temporary = None
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; name a file to write.")
        home = existing_parent(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=home)
        temporary = Path(name)
        os.close(handle)
        yield temporary
        os.chmod(temporary, usual_mode(0o666))  # mkstemp makes files that only their owner can read
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def existing_parent(path: Path) -> Path:
    """The nearest thing above `path` that exists; directories that miss are made when all went well."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def usual_mode(mode: int) -> int:
    """The permissions that a file or directory with `mode` would get from the process's umask."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces so that any size fits in memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


ROOT = Path(__file__).resolve().parents[2]  # the course's folder
