"""VampNet's files: how they are recognised, what the course brings, what can be downloaded."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from helpers.download.network import Network
from helpers.download.records import Record, Source, hugging_face, zenodo
from helpers.support.errors import InputError
from helpers.support.files import ROOT

ZENODO_RECORD = "8136629"
REPOSITORY = "hugggof/vampnet"
CHECKPOINTS = ("codec.pth", "coarse.pth", "c2f.pth")  # wavebeat.pth is left out: nothing here uses it
NO_LICENCE = "none named there; VampNet's authors put its weights and their fine-tunes under CC BY-NC-SA 4.0"
NAMES = ("codec", "coarse", "c2f")
LOOKS_LIKE = "codec.pth, coarse.pth and c2f.pth"
MODELS = ROOT / "models" / "vampnet"
GOLDEN = ROOT / "tests" / "golden" / "vampnet"  # small random weights: they prove the path, not the sound


def recognises(path: Path) -> bool:
    """Whether a directory or a file looks like VampNet's, by names alone."""
    if path.is_dir():
        return any((path / name).is_file() for name in CHECKPOINTS) or any(
            next(path.glob(f"{below}codec.pth"), None) for below in ("*/", "*/*/")
        )
    return path.suffix.lower() == ".pth"


def describe(path: Path) -> Iterator[str]:
    """Lines about one file, or about each of a directory's. Raises InputError."""
    from helpers.checkpoints import read  # which takes PyTorch
    from helpers.vampnet.inspection import describe_checkpoint

    for file in find(path).values() if path.is_dir() else [path]:
        yield from describe_checkpoint(read(file))


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


def sources() -> tuple[Source, ...]:
    """The places to download from; needs no network.

    Two publish checkpoints: a Zenodo record (the base model; the files themselves, or one archive that holds
    them) and a Hugging Face repository (the same base model, and fine-tunes under `loras/NAME/`).
    """
    page = f"https://zenodo.org/records/{ZENODO_RECORD}"
    repository = f"https://huggingface.co/{REPOSITORY}"
    return (
        Source(("vampnet",), page, CHECKPOINTS, NO_LICENCE, _zenodo),
        Source((REPOSITORY, "loras/NAME"), repository, CHECKPOINTS, NO_LICENCE, _hugging_face),
    )


def _zenodo(network: Network, name: str | None) -> list[Record]:
    """The checkpoints one by one, or out of the one archive that the record holds."""
    files, licence = zenodo(network, ZENODO_RECORD)
    chosen = [file for file in files if file.name in CHECKPOINTS]
    archives = [file for file in files if file.name.endswith(".zip")]
    if not chosen and len(archives) == 1:
        chosen = [replace(archives[0], members=CHECKPOINTS)]
    return [Record("vampnet", licence, tuple(chosen))] if chosen else []


def _hugging_face(network: Network, name: str | None) -> list[Record]:
    """The base model at the repository's root, fine-tunes in directories under `loras`."""
    files, licence = hugging_face(network, REPOSITORY)
    directories: dict[str, dict] = {}
    for path, file in files.items():
        if path.endswith(".pth"):
            directories.setdefault(path.rpartition("/")[0], {})[file.name] = file
    root = {name: file for name, file in directories.pop("", {}).items() if name in CHECKPOINTS}
    codec = {"codec.pth": root["codec.pth"]} if "codec.pth" in root else {}
    found = {REPOSITORY: root} if root else {}
    # A fine-tune has no codec of its own; with the base model's it is a directory that can be exported.
    found |= {name: codec | directories[name] for name in sorted(directories) if name.startswith("loras/")}
    return [Record(name, licence, tuple(files.values())) for name, files in found.items()]
