"""Libraries that are imported when first used."""

import atexit
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from helpers.support.errors import InputError

# --- Checks -----------------------------------------------------------------------------------------------


def library(name: str):
    """Import the library `name`; one that is missing or cannot start is named in one line."""
    try:
        if name.partition(".")[0] == "librosa":
            _let_numba_cache()
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without its shared library
        package = name.partition(".")[0]
        raise InputError(
            f"{package} is needed for this and cannot be imported; install it with `pip install {package}`."
        ) from error


def _let_numba_cache() -> None:
    """librosa's compiler stores what it made beside the package or at home, and fails where it can't."""
    if "NUMBA_CACHE_DIR" in os.environ or "numba" in sys.modules:
        return
    found = importlib.util.find_spec("librosa")
    beside = Path(found.origin).parent if found and found.origin else Path()
    if not any(_can_write(place) for place in (beside, Path(os.path.expanduser("~/.cache")))):
        folder = os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _can_write(place: Path) -> bool:
    """Whether a file can really be made there: permissions alone do not know of read-only disks."""
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False
