"""Files and directories while they are being written: hidden, locked, and removed if their writer was killed.

Whoever writes holds a lock on what it writes, and the system lets go of a lock when a process ends, however
it ends. So what can be locked although its name says that it is unfinished has lost its writer.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing tells a killed writer from a slow one
    fcntl = None

PREFIX = ".unfinished-"
YOUNG = 10  # seconds; between being made and being locked


@contextlib.contextmanager
def file(home: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a new, empty file in the directory `home`; what is still there at the end is removed."""
    remove_abandoned(home)
    handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=suffix, dir=home)
    with _held(handle):
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def directory(home: Path) -> Iterator[Path]:
    """Yield a new, empty directory in `home`; what is still there at the end is removed."""
    remove_abandoned(home)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
    try:
        with _held(os.open(path, os.O_RDONLY)) if fcntl else contextlib.nullcontext():
            yield path
    finally:
        if path.exists():
            shutil.rmtree(path)


@contextlib.contextmanager
def alone_in(home: Path, wait: bool = False) -> Iterator[None]:
    """Keep others who ask this out of a directory; wait for one who is in it, or raise BlockingIOError."""
    if fcntl is None:
        yield
        return
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass  # a disk that has no locks
        yield
    finally:
        os.close(handle)


def remove_abandoned(home: Path, young: float = YOUNG) -> None:
    """Remove what this user's killed processes left unfinished in a directory; what is in doubt stays.

    young: seconds since it was last written, below which it is in doubt.
    """
    if fcntl is None:
        return
    for path in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            ours = found.st_uid == os.geteuid() and stat.S_IFMT(found.st_mode) in (stat.S_IFREG, stat.S_IFDIR)
            if ours and time.time() - found.st_mtime >= young:
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    """Raises OSError where somebody holds the lock, or where the disk has none."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(handle)


@contextlib.contextmanager
def _held(handle: int) -> Iterator[None]:
    """Hold a lock, where there are locks, and close the handle; on Windows an open file can't be renamed."""
    if fcntl is None:
        os.close(handle)
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
