"""VampNet's files: where they lie, what they are called, what the course brings."""

import os
from pathlib import Path

from helpers.support.errors import InputError
from helpers.support.files import ROOT

NAMES = ("codec", "coarse", "c2f")
MODELS = ROOT / "models" / "vampnet"
GOLDEN = ROOT / "tests" / "golden" / "vampnet"  # small random weights: they prove the path, not the sound


def find(directory: str | os.PathLike) -> dict[str, Path]:
    """The paths of codec.pth, coarse.pth and c2f.pth in a directory, or up to two levels below it.

    The lower levels are where an extracted archive puts them. All three must lie side by side.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory; name the one that holds {_listed(NAMES)}.")
    for pattern in ("codec.pth", "*/codec.pth", "*/*/codec.pth"):
        for codec in sorted(directory.glob(pattern)):
            paths = {name: codec.with_name(f"{name}.pth") for name in NAMES}
            if all(path.is_file() for path in paths.values()):
                return paths
    missing = [name for name in NAMES if not (directory / f"{name}.pth").is_file()]
    raise InputError(
        f"{directory} lacks {_listed(missing)}; put them there, or name the directory that holds all three."
    )


def course_checkpoints() -> Path:
    """The directory of the checkpoints that come with the course."""
    return MODELS if all((MODELS / f"{name}.pth").is_file() for name in NAMES) else GOLDEN


def _listed(names: tuple[str, ...] | list[str]) -> str:
    files = [f"{name}.pth" for name in names]
    return " and ".join([", ".join(files[:-1]), files[-1]] if len(files) > 1 else files)
