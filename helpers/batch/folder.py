"""The sounds in a folder, and the names of what is made of them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.batch.manifest import Failed
from helpers.support.errors import InputError

SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64")


@dataclass
class Found:
    """Names of sounds below a folder, with slashes, in order; what could not be looked into; what was left.

    others: how many files have no sound's name. links: how many links to directories were not followed.
    """

    sounds: list[str] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    others: int = 0
    links: int = 0


def find(source: Path, leave_out: Path | None = None) -> Found:
    """All sounds below `source` but those in `leave_out`, by their names alone; hidden ones are left out.

    Links to files count as files. Links to directories are not followed: they may lead back, or anywhere.
    """
    found = Found()

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(source).as_posix()
        found.failures.append(Failed(name, f"cannot look into it: {error.strerror}."))

    for folder, directories, names in os.walk(source, onerror=unreadable):
        here = Path(folder)
        found.links += sum((here / name).is_symlink() for name in directories)
        directories[:] = [
            name for name in directories
            if not name.startswith(".") and not (here / name).is_symlink() and here / name != leave_out
        ]  # fmt: skip
        for name in names:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in SOUNDS:
                found.sounds.append((here / name).relative_to(source).as_posix())
            else:
                found.others += 1
    found.sounds.sort()
    return found


def check_apart(source: Path, target: Path) -> None:
    """Raise InputError for a source that is no directory, or where results would be written over sounds.

    Both with their links followed. The results may lie inside the source, not the other way round.
    """
    if not source.is_dir():
        raise InputError(f"{source} is not a directory; name the one that holds the sounds.")
    if source.is_relative_to(target):
        raise InputError(f"what is written to {target} could replace sounds of {source}; name another.")


def with_outputs(
    sounds: list[str], outputs: Callable[[str], tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...]] | Failed]:
    """Each sound with the names of what is written for it; a failure where another has one of them."""
    taken: dict[str, str] = {}
    for name in sounds:
        wanted = outputs(name)
        other = next((taken[one] for one in wanted if one in taken), None)
        if other is not None:
            yield Failed(name, f"what is made of it has the name of what is made of {other}; rename one.")
            continue
        taken.update(dict.fromkeys(wanted, name))
        yield name, wanted
