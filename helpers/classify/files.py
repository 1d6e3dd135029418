"""Classifiers' files: how they are recognised, what they are called, what can be downloaded."""

import os
from collections.abc import Iterator
from pathlib import Path

from helpers.download.network import Network
from helpers.download.records import Record, Source, zenodo
from helpers.support.errors import InputError
from helpers.support.files import ROOT, read_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # the course's own
MODEL_TYPE = "sound-classifier"  # in that config.json
PANNS = ("Cnn14", "Cnn14_DecisionLevelMax", "Cnn14_DecisionLevelAvg", "MobileNetV1", "MobileNetV2")
VARIANTS = (
    "16k",
    "8k",
    "mel32",
    "mel128",
    "emb32",
    "emb128",
    "emb512",
)  # of a Cnn14; the tensors say the rest
SCORED = "_mAP"  # what follows the architecture in a public file's name
HALLMARKS = (
    b"logmel_extractor.melW",
    b"conc_se_layers.0.fc1",
)  # of PANNs, of EfficientAT
HEAD_BYTES = 1 << 20  # of a file, in which its first tensors' names are
ENDINGS = (".pth", ".pt")
LOOKS_LIKE = f"one PANNs *.pth or EfficientAT *.pt, or {CONFIG} of a '{MODEL_TYPE}'"
MODELS = ROOT / "models" / "classify"
GOLDEN = ROOT / "tests" / "golden" / "classify"  # small random weights: they prove the path, not the sound
ZENODO_RECORD = "3987831"
NO_LICENCE = "none named there; the code of PANNs is under the MIT licence"


def recognises(path: Path) -> bool:
    """Whether a directory or a file looks like a classifier's."""
    if path.is_dir():
        return is_own(path) or bool(_public_in(path))
    return path.suffix.lower() in ENDINGS and (_has_hallmark(path) or architecture_of(path) is not None)


def is_own(directory: Path) -> bool:
    """Whether a directory holds a classifier in the course's own format."""
    try:
        config = read_json(directory / CONFIG)
    except InputError:
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def _public_in(directory: Path) -> list[Path]:
    return [path for ending in ENDINGS for path in sorted(directory.glob(f"*{ending}")) if recognises(path)]


def _has_hallmark(path: Path) -> bool:
    """Whether a name that tells a classifier is near a file's beginning; nothing of it is loaded."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    return any(name in head for name in HALLMARKS)


def architecture_of(path: Path) -> str | None:
    """What a file is called after, as in `Cnn14_16k_mAP=0.438.pth`; None where that is nothing known."""
    name = path.name.partition(SCORED)[0].partition(".")[0]
    base, _, variant = name.partition("_")
    if base == "Cnn14" and variant in VARIANTS:
        return base
    return name if name in PANNS else None


def describe(path: Path) -> Iterator[str]:
    """Lines about a file or a directory. Raises InputError."""
    from helpers.classify.inspection import describe_checkpoint  # which takes PyTorch

    yield from describe_checkpoint(path)


def find(path: str | os.PathLike) -> Path:
    """The one public file that a path names or a directory holds, or a directory of our own format."""
    path = Path(path)
    if not path.is_dir():
        if not path.is_file():
            raise InputError(f"{path} does not exist; name {LOOKS_LIKE}.")
        return path.parent if path.name in (CONFIG, WEIGHTS) and is_own(path.parent) else path
    if is_own(path):
        return path
    found = _public_in(path)
    if len(found) != 1:
        names = ", ".join(one.name for one in found[:3])
        what = f"{len(found)} of them ({names}): name one file" if found else f"no {LOOKS_LIKE}"
        raise InputError(f"{path} holds {what}.")
    return found[0]


# --- what there is to download ----------------------------------------------------------------------------


def sources() -> tuple[Source, ...]:
    """The place that publishes PANNs' weights; needs no network."""
    page = f"https://zenodo.org/records/{ZENODO_RECORD}"
    return (Source(("panns/NAME",), page, ("NAME_mAP=….pth",), NO_LICENCE, _zenodo),)


def _zenodo(network: Network, name: str | None) -> list[Record]:
    """A record for each file of an architecture that is read here, under its name without the score."""
    files, licence = zenodo(network, ZENODO_RECORD)
    known = [file for file in files if architecture_of(Path(file.name)) is not None]
    return [Record(f"panns/{file.name.partition(SCORED)[0]}", licence, (file,)) for file in known]
