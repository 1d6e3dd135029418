"""What somebody saved beside a sound to make it again, read: a JSON file that may be a stranger's."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from helpers.support import files
from helpers.support.errors import InputError

Take = TypeVar("Take")


def read_take(
    path: str | os.PathLike,
    read: Callable[[dict, dict[str, object]], Take],
    known: Collection[str],
    kind: str,
    origin: str,
) -> Take:
    """What `read` makes of the file's content and of the settings in it. Raises InputError.

    known: the names of settings that there are. kind, origin: what it makes again and who wrote the file,
    as in "a vamp" and "save_take wrote".
    """
    if not Path(path).is_file():
        raise InputError(f"cannot read {path}: it is no file; name one that {origin}.")
    try:
        content = files.read_json(path)
        settings = {str(name): value for name, value in dict(content["settings"]).items()}
        take = read(content, settings)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path} holds no settings of {kind}; name a file that {origin}.") from error
    check_settings(settings, known, kind)
    return take


def check_settings(settings: Mapping[str, object], known: Collection[str], kind: str) -> None:
    """Raise InputError for a name that is no setting."""
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"{unknown[0]!r:.80} is no setting of {kind}; there are {', '.join(sorted(known))}.")
