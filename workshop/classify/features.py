"""What a classifier learns from: log-mel pictures of labelled clips, made once and kept.

A picture takes longer to make than a small network takes to see it. What was made is kept under a name that
is a hash of everything that decides it: the ear's settings and numbers, the sounds or what composes them.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.chorus import compose
from data.chorus.frozen import source_hash
from data.chorus.species import LABELS, RATE
from helpers import audio as sound
from helpers.support.errors import InputError
from helpers.support.files import sha256, written_whole

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
HEARD = 64  # clips at once
HELD_OUT = 5  # of one's own recordings, every so manieth is kept back where no folder says which
SPLITS = ("train", "valid", "shifted", "test")
Sounds = Iterable[np.ndarray]  # (N,) each, all of one length and rate


@dataclass(frozen=True)
class Clips:
    """Pictures (n, 1, T, M) float32 in decibels, and which label each has, (n,) int64."""

    pictures: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class Chorus:
    """The course's own task: the night chorus, composed by numpy (see `data.chorus`).

    per_species: by split, so many clips of each species; as many as it usually has where nothing is said.
    """

    labels = LABELS

    def __init__(self, per_species: Mapping[str, int] | None = None):
        self.per_species = dict(per_species or {})

    def has(self, split: str) -> bool:
        return split in SPLITS

    def key(self, split: str) -> str:
        """What decides a split's sounds: the composer's source, and how many there are."""
        count = f" {self.per_species[split]}" if split in self.per_species else ""
        return f"{split} {source_hash()}{count}"

    def sounds(self, split: str, rate: int, seconds: float) -> Iterator[tuple[np.ndarray, int]]:
        """Clips (N,) at a rate, and the number of each one's label."""
        if seconds != compose.SECONDS:
            raise InputError(f"the night chorus has clips of {compose.SECONDS:g} s, not of {seconds:g} s.")
        audio, labels = compose.clips(split, self.per_species.get(split))
        for one, label in zip(audio, labels.tolist()):
            yield sound.resample(one[None], RATE, rate)[0], label


class Folder:
    """One's own recordings, a folder a class: DIR/CLASS/*.wav, or DIR/SPLIT/CLASS/*.wav.

    The splits are train, valid (like train), shifted (as it will be heard in use; to choose by) and test.
    Without them, every fifth file of a class is `valid`. Long recordings are cut into windows, the last of
    which is filled with silence where it is the only one.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        if not directory.is_dir():
            raise InputError(f"{directory} is no directory; name one that holds a folder a class.")
        self.is_split = (directory / "train").is_dir()
        root = directory / "train" if self.is_split else directory
        self.labels = tuple(one.name for one in sorted(root.iterdir()) if one.is_dir() and recordings(one))
        if len(self.labels) < 2:
            raise InputError(f"{root} should hold a folder a class, two at least, with recordings inside.")
        self.files = {
            split: [(path, i) for i, label in enumerate(self.labels) for path in self._files(split, label)]
            for split in SPLITS
        }
        for split in ("train", "valid"):
            if not self.files[split] and not (split == "valid" and self.files["shifted"]):
                raise InputError(f"{directory} leaves no recordings for '{split}'; two a class are needed.")

    def _files(self, split: str, label: str) -> list[Path]:
        if self.is_split:
            return recordings(self.directory / split / label)
        found = recordings(self.directory / label)
        kept = found[HELD_OUT - 1 :: HELD_OUT] or found[1:][-1:]
        return {"train": [one for one in found if one not in kept], "valid": kept}.get(split, [])

    def has(self, split: str) -> bool:
        return bool(self.files[split])

    def key(self, split: str) -> str:
        """What decides a split's sounds: the files' content."""
        return " ".join([split, *(f"{label} {sha256(path)}" for path, label in self.files[split])])

    def sounds(self, split: str, rate: int, seconds: float) -> Iterator[tuple[np.ndarray, int]]:
        """Windows (N,) at a rate, and the number of each one's label."""
        size = round(seconds * rate)
        for path, label in self.files[split]:
            audio, own = sound.load(path)
            audio = sound.resample(sound.mono(audio)[0], own, rate)[0]
            for start in range(0, max(1, len(audio) - size + 1), size):
                yield sound.fit_length(audio[start : start + size], size), label


def recordings(folder: Path) -> list[Path]:
    """The sound files in and below a folder."""
    return sorted(one for one in folder.rglob("*") if one.suffix.lower() in ENDINGS and one.is_file())


Task = Chorus | Folder  # or whatever else has labels, and `has`, `key` and `sounds` of a split


def clips(task: Task, split: str, ear: nn.Module, rate: int, seconds: float, cache: Path | None) -> Clips:
    """A split as an ear hears it, read from the directory `cache` where it was kept there.

    Raises InputError for what can't be read, and where there are no clips.
    """
    made = cache and cache / f"{split}-{_hash(task.key(split), ear, rate, seconds)}.npz"
    if made is None or not made.exists():
        found = _heard(task.sounds(split, rate, seconds), ear)
        if made is None:
            return found
        with written_whole(made) as temporary:
            np.savez(temporary, pictures=found.pictures.numpy(), labels=found.labels.numpy())
    with np.load(made) as kept:
        return Clips(torch.from_numpy(kept["pictures"]), torch.from_numpy(kept["labels"]))


def _heard(sounds: Iterable[tuple[np.ndarray, int]], ear: nn.Module) -> Clips:
    pairs = list(sounds)
    if not pairs:
        raise InputError("there are no clips to learn from, or to score.")
    audio = torch.from_numpy(np.stack([one for one, _ in pairs]).astype(np.float32))
    labels = torch.tensor([label for _, label in pairs])
    return Clips(pictured(audio, ear), labels)


@torch.no_grad()
def pictured(audio: Tensor, ear: Callable[[Tensor], Tensor]) -> Tensor:
    """Sounds (n, N) as an ear hears them, (n, 1, T, M)."""
    return torch.cat([ear(part) for part in audio.split(HEARD)])


def _hash(key: str, ear: nn.Module, rate: int, seconds: float) -> str:
    digest = hashlib.sha256(f"{type(ear).__name__} {rate} {seconds} {key}".encode())
    for name, value in [("hop", torch.tensor(ear.hop)), *sorted(ear.state_dict().items())]:
        digest.update(name.encode() + str(tuple(value.shape)).encode() + value.numpy().tobytes())
    return digest.hexdigest()[:16]
