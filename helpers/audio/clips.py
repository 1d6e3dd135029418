"""The clips that come with the course, and other people's in their place."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import audio as sound
from helpers.support.errors import InputError
from helpers.support.files import ROOT, sha256

COURSE_CLIPS = ROOT / "data" / "clips"
SHORTEST, LONGEST = 3.0, 10.0  # seconds; a longer clip is cut
COMPARED_LUFS = -24.0  # the level at which sounds are scored
ENDINGS = (".flac", ".wav", ".ogg")


@dataclass(frozen=True)
class Clip:
    """A held-out sound: audio (channels, N) float32, its rate in hertz, the SHA-256 of its file."""

    name: str
    audio: np.ndarray
    sample_rate: int
    sha256: str

    def conditioned(self, sample_rate: int) -> np.ndarray:
        """(1, 1, N) float32, mono at COMPARED_LUFS: what a codec hears and is compared with."""
        return sound.condition(self.audio, self.sample_rate, sample_rate, 1, COMPARED_LUFS)

    @property
    def seconds(self) -> float:
        """The part of the file that is scored."""
        return self.audio.shape[-1] / self.sample_rate


def load_clips(
    folder: str | os.PathLike = COURSE_CLIPS, without: Sequence[str] = (), longest: float = LONGEST
) -> list[Clip]:
    """The sound files of a folder by name, or one file; at most `longest` seconds from the start of each.

    Raises InputError for a folder without any, and for a clip that is silent or too short to score.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"there is no {folder}; name a directory of clips.")
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    paths = [path for path in files if path.suffix.lower() in ENDINGS and path.stem not in without]
    if not paths:
        raise InputError(f"{folder} holds no clips; put some {', '.join(ENDINGS)} files there.")
    return [load_clip(path, longest) for path in paths]


def load_clip(path: Path, longest: float = LONGEST) -> Clip:
    """The first `longest` seconds of one file."""
    audio, sample_rate = sound.load(path)
    clip = Clip(path.stem, audio[:, : math.ceil(longest * sample_rate)], sample_rate, sha256(path))
    if clip.seconds < SHORTEST:
        raise InputError(
            f"{path} is {clip.seconds:.2f} s long; a clip needs at least {SHORTEST:.0f} s to be scored."
        )
    if sound.loudness(clip.audio, sample_rate)[0] <= sound.LOUDNESS_FLOOR:
        raise InputError(f"{path} is silent; there is nothing to score.")
    return clip
