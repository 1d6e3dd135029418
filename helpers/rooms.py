"""The models' rooms, and which of them a directory, a file or a bundle belongs to.

A room is a folder with the same doors as every other (see README.md beside this file). To add a model, make
its folder and put its name into ROOMS.
"""

import importlib
import os
from pathlib import Path
from types import ModuleType

from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support.config import shown
from helpers.support.errors import InputError, plain

ROOMS = (
    "classify",
    "vampnet",
    "musicgen",
    "omni",
)  # the first looks into a file, the others go by its ending


def door(room: str, name: str) -> ModuleType:
    """One module of a room, imported now: "files", "pipeline", "commands", ..."""
    return importlib.import_module(f"helpers.{room}.{name}")


def of_bundle(bundle: str | os.PathLike) -> str:
    """The room of the model that a bundle holds. Raises InputError."""
    model = load_manifest(bundle).get("model")
    if model not in ROOMS:
        raise InputError(
            f"{Path(bundle) / MANIFEST} names the model {shown(model)}; this course knows {', '.join(ROOMS)}."
        )
    return model


def of_checkpoints(path: str | os.PathLike) -> str:
    """The room whose checkpoints a directory or a file holds. Raises InputError."""
    path, doors = Path(path), {room: door(room, "files") for room in ROOMS}
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    found = next((room for room, files in doors.items() if files.recognises(path)), None)
    if found is None:
        known = "; ".join(f"{files.LOOKS_LIKE} ({room})" for room, files in doors.items())
        raise InputError(f"{path} holds no checkpoint that this course knows: {known}.")
    return found


def describe(path: str | os.PathLike) -> str:
    """Several lines about a checkpoint, a directory of them, a graph or a bundle. Raises InputError."""
    from helpers.export.inspection import describe_bundle, describe_graph  # which take onnx

    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if path.suffix.lower() == ".onnx":
        lines = describe_graph(path)
    elif (path / MANIFEST).is_file():
        lines = describe_bundle(path)
    else:
        lines = door(of_checkpoints(path), "files").describe(path)
    return "\n".join(map(plain, lines))
