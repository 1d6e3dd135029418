"""MusicGen's files: how they are recognised, what they are called, what can be downloaded."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers.download.network import Network
from helpers.download.records import ANY_REPOSITORY, Record, Source, hugging_face
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.support.files import ROOT, read_json

LANGUAGE, CODEC = "state_dict.bin", "compression_state_dict.bin"  # audiocraft's
CONFIG, GENERATION = "config.json", "generation_config.json"  # Hugging Face's
TOKENIZERS = ("spiece.model", "tokenizer.json")  # the first needs the smaller library
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = r"model-\d+-of-\d+\.safetensors"
LOOKS_LIKE = f"{LANGUAGE}, or {CONFIG} and {WEIGHTS}"
MODELS = ROOT / "models" / "musicgen"
GOLDEN = ROOT / "tests" / "golden" / "musicgen"  # small random weights: they prove the path, not the sound
SIZES = ("small", "medium", "large", "stereo-small", "stereo-medium", "stereo-large")
NO_LICENCE = "none named there; what MusicGen's authors publish, and so its fine-tunes, is under CC BY-NC 4.0"


def recognises(path: Path) -> bool:
    """Whether a directory or a file looks like MusicGen's, of either family."""
    if path.is_dir():
        return is_audiocraft(path) or _model_type(path).startswith("musicgen")
    return path.suffix.lower() in (".bin", ".safetensors")


def is_audiocraft(directory: Path) -> bool:
    return (directory / LANGUAGE).is_file()


def _model_type(directory: Path) -> str:
    """What `config.json` says it is the config of; "" for anything else."""
    try:
        return _kind(read_json(directory / CONFIG))
    except InputError:
        return ""


def _kind(config: object) -> str:
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else ""


def describe(path: Path) -> Iterator[str]:
    """Lines about a file, or about a directory and each of its models. Raises InputError."""
    from helpers.musicgen.inspection import describe_directory, describe_file  # which take PyTorch

    yield from describe_directory(path) if path.is_dir() else describe_file(path)


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


class OnlyNamed(InputError):
    """A checkpoint names a model that is nowhere to be found."""


def named(directory: Path, name: str, others: tuple[str, ...], option: str) -> Path:
    """The directory of what a checkpoint only names: in `directory` or beside it."""
    base = name.rstrip("/").rpartition("/")[2]
    for home in (directory, directory.absolute().parent):
        for called in (base, *others):
            if called and os.path.isfile(home / called / CONFIG):  # whose names may be too long to be any
                return home / called
    raise OnlyNamed(
        f"{directory} only names its {option.strip('-').replace('-', ' ')}, '{name[:80]}'; "
        f"put that directory into it, or name it with {option} DIR."
    )


def tokenizer_of(directory: Path) -> Path | None:
    """The file that turns text into ids; None where there is none."""
    return next((directory / name for name in TOKENIZERS if (directory / name).is_file()), None)


# --- what there is to download ----------------------------------------------------------------------------


def sources() -> tuple[Source, ...]:
    """The place to download from, any public fine-tune included; needs no network."""
    names = tuple(f"facebook/musicgen-{size}" for size in SIZES)
    files = (CONFIG, WEIGHTS, "tokenizer.json")
    return (
        Source(
            (*names, ANY_REPOSITORY), "https://huggingface.co", files, NO_LICENCE, _repositories, _named_in
        ),
    )


def _repositories(network: Network, name: str | None) -> list[Record]:
    names = [name] if name else [f"facebook/musicgen-{size}" for size in SIZES]
    return [_repository(network, one) for one in names]


def _repository(network: Network, name: str) -> Record:
    """The files that a MusicGen, a T5 or an EnCodec needs, of the family that stands alone if both are there.

    Raises InputError, before anything is fetched, for a model of another kind.
    """
    files, licence = hugging_face(network, name)
    top = {path: file for path, file in files.items() if "/" not in path}
    shards = [INDEX, *(path for path in top if re.fullmatch(SHARD, path))]
    weights = shards if INDEX in top else [WEIGHTS] if WEIGHTS in top else []
    kind = _kind(network.json(top[CONFIG].url)[0]) if CONFIG in top else ""
    if kind in ("musicgen", "t5", "encodec") and weights:
        tokenizers = [path for path in TOKENIZERS if path in top][:1] if kind != "encodec" else []
        chosen = [CONFIG, *([GENERATION] if GENERATION in top else []), *weights, *tokenizers]
    elif LANGUAGE in top or (CODEC in top and not kind):
        chosen = [path for path in (LANGUAGE, CODEC) if path in top]
    else:
        what = f"its {CONFIG} is of {shown(kind)}" if kind else f"it has neither {LANGUAGE} nor {CONFIG}"
        raise InputError(f"{name} holds no MusicGen that is supported: {what}, or has no safetensors.")
    return Record(name, licence, tuple(top[path] for path in chosen))


def _named_in(directory: Path) -> Mapping[str, str]:
    """The text encoder and the codec that an audiocraft checkpoint names and does not hold."""
    if not is_audiocraft(directory):
        return {}
    from helpers.musicgen.sources import named_elsewhere  # which takes PyTorch

    return named_elsewhere(directory)
