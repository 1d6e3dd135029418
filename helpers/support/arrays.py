"""Arrays in files that may be a stranger's: never a pickle, and no more than such a file should hold."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from helpers.support.errors import InputError


def load_array(path: str | os.PathLike, most_bytes: int) -> np.ndarray:
    """The array of a .npy file. Raises InputError for anything else."""
    with _reading(path, most_bytes) as content:
        if not isinstance(content, np.ndarray):
            raise InputError(f"{path} is an archive of arrays, not one array; numpy.save writes one.")
        return content


def load_arrays(path: str | os.PathLike, names: Sequence[str], most_bytes: int) -> list[np.ndarray]:
    """Arrays of a .npz file. Raises InputError for a file that lacks one, or is anything else."""
    with _reading(path, most_bytes) as content:
        if isinstance(content, np.ndarray):
            raise InputError(f"{path} is one array, not an archive of them; numpy.savez writes one.")
        if sum(entry.file_size for entry in content.zip.infolist()) > most_bytes:
            raise InputError(f"{path} is too large for what it should hold.")
        arrays = [content[name] for name in names]
        if not all(isinstance(array, np.ndarray) for array in arrays):  # numpy gives any other entry as bytes
            raise InputError(f"{path} does not hold the arrays that are needed.")
        return arrays


@contextlib.contextmanager
def _reading(path: str | os.PathLike, most_bytes: int) -> Iterator[np.ndarray | np.lib.npyio.NpzFile]:
    try:
        size = Path(path).stat().st_size
        if not Path(path).is_file():  # nobody may ever write into a pipe
            raise InputError(f"{path} is no file; name one that holds an array.")
        if size > most_bytes:
            raise InputError(f"{path} is too large for what it should hold.")
        content = np.load(path, allow_pickle=False)
        with contextlib.nullcontext() if isinstance(content, np.ndarray) else content:
            yield content
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or 'it holds no array'}.") from error
    except MemoryError as error:  # the header says so; the file itself is small
        raise InputError(f"{path}: its header claims a gigantic array.") from error
    except Exception as error:  # a damaged or hostile file can fail in any way; none of it was run
        raise InputError(f"{path} does not hold the array that is needed.") from error


def fingerprint(*arrays: object) -> str:
    """Hexadecimal SHA-256 of arrays: their types, shapes and values."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
