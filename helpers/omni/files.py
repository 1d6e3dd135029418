"""An omni's files: how they are recognised and described. There is nothing to download: it comes along."""

from collections.abc import Iterator
from pathlib import Path

from helpers.download.records import Source
from helpers.omni.configs import PARTS, Config
from helpers.support.errors import InputError
from helpers.support.files import read_json
from helpers.support.tables import megabytes

CONFIG, ENDING = "config.json", ".safetensors"  # and one file a part
MODEL_TYPE = "tiny-omni"  # in that config.json
LOOKS_LIKE = f"{CONFIG} of a '{MODEL_TYPE}' and six *{ENDING}"


def recognises(path: Path) -> bool:
    """Whether a directory looks like an omni's."""
    try:
        config = read_json(path / CONFIG) if path.is_dir() else None
    except InputError:
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def read_config(directory: Path) -> Config:
    """What `config.json` says. Raises InputError."""
    content = read_json(directory / CONFIG)
    if not isinstance(content, dict) or content.get("model_type") != MODEL_TYPE:
        raise InputError(f"{directory / CONFIG} is not of a '{MODEL_TYPE}'.")
    return Config.from_json(content)


def part_file(directory: Path, part: str) -> Path:
    """Where the weights of a part lie."""
    return directory / f"{part}{ENDING}"


def describe(path: Path) -> Iterator[str]:
    """Lines about a directory. Raises InputError."""
    config = read_config(path)
    yield f"{path}: an omni that knows {len(config.words)} words"
    for part in PARTS:
        file, shape = part_file(path, part), getattr(config, part)
        size = megabytes(file.stat().st_size) if file.is_file() else "missing"
        numbers = ", ".join(f"{name} {value}" for name, value in vars(shape).items())
        yield f"  {part:8} {size:>9}  {numbers}"


def sources() -> tuple[Source, ...]:
    """Nobody else publishes one."""
    return ()
