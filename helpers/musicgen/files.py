"""MusicGen's files: how they are recognised, what they are called, what can be downloaded."""

import os
from collections.abc import Iterator
from pathlib import Path

from helpers.support.errors import InputError
from helpers.support.files import ROOT, read_json

LANGUAGE, CODEC = "state_dict.bin", "compression_state_dict.bin"  # audiocraft's
CONFIG, GENERATION = "config.json", "generation_config.json"  # Hugging Face's
TOKENIZERS = ("spiece.model", "tokenizer.json")  # the first needs the smaller library
MODELS = ROOT / "models" / "musicgen"
GOLDEN = ROOT / "tests" / "golden" / "musicgen"  # small random weights: they prove the path, not the sound
LICENCE = "CC-BY-NC-4.0"  # of the weights that MusicGen's authors publish; their code is MIT
SIZES = ("small", "medium", "large", "stereo-small", "stereo-medium", "stereo-large")


def recognises(path: Path) -> bool:
    """Whether a directory looks like MusicGen's, of either family."""
    return path.is_dir() and (is_audiocraft(path) or _model_type(path).startswith("musicgen"))


def is_audiocraft(directory: Path) -> bool:
    return (directory / LANGUAGE).is_file()


def _model_type(directory: Path) -> str:
    """What `config.json` says it is the config of; "" for anything else."""
    try:
        config = read_json(directory / CONFIG)
    except InputError:
        return ""
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else ""


def describe(path: Path) -> Iterator[str]:
    """Lines about a directory and each of its models. Raises InputError."""
    from helpers.musicgen.sources import Sources  # which takes PyTorch

    yield from Sources.of(path).describe()


def find(directory: str | os.PathLike) -> Path:
    """The directory, if it holds a MusicGen of either family. Raises InputError."""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory; name the one that holds {LANGUAGE} or {CONFIG}.")
    kind = _model_type(directory)
    if not is_audiocraft(directory) and kind != "musicgen":
        what = f"its {CONFIG} is of a '{kind[:40]}'" if kind else f"it has neither {LANGUAGE} nor {CONFIG}"
        raise InputError(f"{directory} holds no MusicGen that is supported: {what}.")
    return directory


def named(directory: Path, name: str, others: tuple[str, ...], option: str) -> Path:
    """The directory of what a checkpoint only names: in `directory` or beside it."""
    base = name.rstrip("/").rpartition("/")[2]
    for home in (directory, directory.absolute().parent):
        for called in (base, *others):
            if called and (home / called / CONFIG).is_file():
                return home / called
    raise InputError(
        f"{directory} only names its {option.strip('-').replace('-', ' ')}, '{name[:80]}'; "
        f"put that directory into it, or name it with {option} DIR."
    )


def tokenizer_of(directory: Path) -> Path | None:
    """The file that turns text into ids; None where there is none."""
    return next((directory / name for name in TOKENIZERS if (directory / name).is_file()), None)
