"""`bundle.json`: what a bundle says of itself."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers.support.config import LARGEST, shown
from helpers.support.errors import InputError, plain
from helpers.support.files import read_json, sha256

MANIFEST = "bundle.json"


def load_manifest(bundle: str | os.PathLike, model: str | None = None) -> dict:
    """The content of a bundle's `bundle.json`. Raises InputError, for a bundle of another model too."""
    path = Path(bundle) / MANIFEST
    if not path.is_file():
        raise InputError(f"{bundle} is not a bundle: it has no {MANIFEST}; make one with export.")
    try:
        manifest = read_json(path)
    except InputError as error:
        raise InputError(f"{error} Export the bundle again.") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path} is damaged: it is not a JSON object; export the bundle again.")
    named = manifest.get("model")
    if model is not None and isinstance(named, str) and named != model:
        raise InputError(f"{bundle} is a bundle of the kind {shown(named)}, and this takes {model}.")
    return manifest


def read_counts(
    bundle: str | os.PathLike, least: Mapping[str, int], model: str | None = None
) -> dict[str, int]:
    """Whole numbers of a bundle's manifest, each at least so much. Raises InputError, naming one."""
    manifest, found = load_manifest(bundle, model), {}
    for name, smallest in least.items():
        value = manifest.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= LARGEST:
            raise unusable(bundle, name)
        found[name] = value
    return found


def unusable(bundle: str | os.PathLike, name: str) -> InputError:
    """What to raise where `bundle.json` lacks something, or has it in no form that can be used."""
    return InputError(f"{Path(bundle) / MANIFEST} has no usable '{name}'; export the bundle again.")


def described_files(bundle: str | os.PathLike, manifest: dict) -> dict[str, str]:
    """The SHA-256 of each of a bundle's files, as its manifest has them. Raises InputError."""
    described = manifest.get("sha256")
    if not isinstance(described, dict) or not all(isinstance(value, str) for value in described.values()):
        raise unusable(bundle, "sha256")
    return described


def changed_files(directory: str | os.PathLike, described: Mapping[str, str]) -> Iterator[str]:
    """A line for each file that is missing or has another SHA-256 than it is described with."""
    for name, expected in described.items():
        path = Path(directory) / name
        is_inside = path.name == name  # what lies elsewhere is no part of a bundle
        if not is_inside or not path.is_file() or sha256(path) != expected:
            yield f"{plain(name)} is not the file that {MANIFEST} describes"
