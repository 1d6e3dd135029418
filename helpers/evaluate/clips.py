"""The clips that everything is scored on: as sound, as tokens, and as the codec gives them back."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from helpers import audio as sound
from helpers.checkpoints import ROOT
from helpers.codec import Codec
from helpers.errors import InputError
from helpers.files import sha256
from helpers.runtime import TARGET_LUFS
from helpers.vamp import whole_frames
from helpers.vampnet import TorchPipeline

COURSE_CLIPS = ROOT / "data" / "clips"
OTHER_STYLES = ("music_box",)  # of the course's clips: a style that the training music leaves out
SHORTEST, LONGEST = 3.0, 10.0  # seconds; a longer clip is cut
ENDINGS = (".flac", ".wav", ".ogg")


@dataclass(frozen=True)
class Clip:
    """A held-out sound: audio (channels, N) float32, its rate in hertz, the SHA-256 of its file."""

    name: str
    audio: np.ndarray
    sample_rate: int
    sha256: str

    def conditioned(self, sample_rate: int) -> np.ndarray:
        """(1, 1, N) float32, mono at -24 LUFS: what a codec hears and is compared with."""
        return sound.condition(self.audio, self.sample_rate, sample_rate, 1, TARGET_LUFS)

    @property
    def seconds(self) -> float:
        """The part of the file that is scored."""
        return self.audio.shape[-1] / self.sample_rate


@dataclass(frozen=True)
class Encoded:
    """A clip through the codec: tokens int64 (1, C, T), and the sound of all of them (1, 1, M) float32."""

    clip: Clip
    codes: np.ndarray
    rebuilt: np.ndarray

    @property
    def name(self) -> str:
        return self.clip.name


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


def tokens_of(pipeline: TorchPipeline, clip: Clip) -> np.ndarray:
    """The clip's tokens, int64 (1, C, T), as `vamp` reads them."""
    return pipeline.encode(whole_frames(pipeline, clip.audio, clip.sample_rate), clip.sample_rate)


def encode(pipeline: TorchPipeline, clip: Clip) -> Encoded:
    """The clip through the codec and back."""
    codes = tokens_of(pipeline, clip)
    return Encoded(clip, codes, decode_books(pipeline.codec, codes, pipeline.n_codebooks))


def decode_books(codec: Codec, codes: np.ndarray, n_books: int) -> np.ndarray:
    """The sound of the first `n_books` codebooks of (B, C, T), the others left out: (B, 1, M) float32."""
    with torch.inference_mode():
        tokens = torch.from_numpy(np.ascontiguousarray(codes))
        books = codec.quantizer.quantizers[:n_books]
        return codec.decoder(sum(book.decode(tokens[:, i]) for i, book in enumerate(books))).numpy()
