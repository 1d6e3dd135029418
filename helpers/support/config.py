"""Reading a model's shape out of a checkpoint's metadata, which is data from a stranger."""

import math
import reprlib
from collections.abc import Mapping

import numpy as np

from helpers.support.errors import InputError

LARGEST = 1 << 20  # no real width, rate or count comes near this; a hostile one might
LONGEST_NAME = 200


def shown(value: object) -> str:
    """A stranger's value in one short line of a message, whatever its size, depth or control characters."""
    if isinstance(value, str):
        return repr(value[:LONGEST_NAME])
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # Python writes out no number of more than 4300 digits
        return f"a gigantic {type(value).__name__}"


def integer(kwargs: Mapping, name: str, default: int | None = None, minimum: int = 1) -> int:
    """The whole number `kwargs[name]`; `default` where it is absent or None. Raises InputError."""
    value = kwargs.get(name)
    if value is None:
        value = default
    if value is None:
        raise InputError(f"the metadata lacks '{name}'; without it the model's shape is unknown.")
    return _checked(name, value, minimum)


def integers(kwargs: Mapping, name: str) -> tuple[int, ...]:
    """The non-empty list of whole numbers `kwargs[name]`."""
    values = kwargs.get(name)
    if not isinstance(values, list | tuple) or not 0 < len(values) <= 64:
        raise InputError(
            f"the metadata's '{name}' should be a list of 1 to 64 whole numbers, not {shown(values)}."
        )
    return tuple(_checked(name, value, 1) for value in values)


def _checked(name: str, value: object, minimum: int) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not minimum <= value <= LARGEST:
        raise InputError(
            f"the metadata's '{name}' should be a whole number from {minimum} to {LARGEST}, "
            f"not {shown(value)}."
        )
    return value


def is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def real(value: object) -> float:
    """A caller's number as Python's own, in which sums don't overflow; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
