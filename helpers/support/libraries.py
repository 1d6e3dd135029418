"""Libraries that are imported when first used."""

import importlib

from helpers.support.errors import InputError

# --- Checks -----------------------------------------------------------------------------------------------


def library(name: str):
    """Import the library `name`; one that is missing or cannot start is named in one line."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without its shared library
        package = name.partition(".")[0]
        raise InputError(
            f"{package} is needed for this and cannot be imported; install it with `pip install {package}`."
        ) from error
