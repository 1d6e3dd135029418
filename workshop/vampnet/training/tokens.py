"""Music as tokens: what the transformers learn from, made once with the finished codec."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from helpers import checkpoints
from helpers.runtime.windows import in_pieces
from helpers.support.arrays import load_arrays
from helpers.support.cores import n_cores
from helpers.support.errors import InputError
from helpers.support.files import written_whole
from helpers.transfer import on_numpy
from helpers.vampnet.codec import Codec, CodecConfig
from helpers.vampnet.weights import transfer_codec
from workshop.training.music import pieces

LARGEST_CACHE = 1 << 34  # bytes
PART = 172  # frames encoded at once: three seconds
WORTH_SHARING = 50_000_000  # samples (twenty minutes) that keep one core busy longer than starting others
GAIN = 2.0  # dB: how far a version's level strays, so that the model has heard more than one


@dataclass(frozen=True)
class Tokens:
    """The pieces of one split, each int16 (C, T), and the codec's tables they point into."""

    pieces: list[np.ndarray]
    codebook_size: int

    def counts(self) -> np.ndarray:
        """How often each code of each codebook occurs: int64 (C, V)."""
        everything = np.concatenate(self.pieces, axis=1)
        return np.stack([np.bincount(book, minlength=self.codebook_size) for book in everything])

    def crops(self, rng: np.random.Generator, count: int, frames: int) -> np.ndarray:
        """int64 (count, C, frames) from anywhere in the music."""
        rooms = np.array([max(0, piece.shape[1] - frames + 1) for piece in self.pieces])
        if not rooms.any():
            raise InputError(f"no piece is as long as a crop ({frames} frames); make longer music.")
        chosen = rng.choice(len(rooms), count, p=rooms / rooms.sum())
        starts = [rng.integers(rooms[i]) for i in chosen]
        return np.stack(
            [self.pieces[i][:, at : at + frames] for i, at in zip(chosen, starts)], dtype=np.int64
        )

    def chunks(self, frames: int) -> np.ndarray:
        """int64 (n, C, frames): all of it, cut one after the other, what is left over at the ends dropped."""
        cut = [
            piece[:, start : start + frames]
            for piece in self.pieces
            for start in range(0, piece.shape[1] - frames + 1, frames)
        ]
        if not cut:
            raise InputError(f"no held-out piece is as long as a chunk ({frames} frames).")
        return np.stack(cut, dtype=np.int64)


class Version(NamedTuple):
    """A piece as it is to be encoded; the level is changed only then, so that no version is held twice."""

    audio: np.ndarray  # (N,)
    gain: float


def read_tokens(
    codec_path: str | os.PathLike, music: str | os.PathLike, cache: str | os.PathLike, versions: int = 1
) -> Tokens:
    """The FLAC files of the folder `music` as tokens, from `cache` if it was made with this codec.

    versions: how often each piece is encoded, each time from another sample on and at another level.
    """
    checkpoint, cache = checkpoints.read(codec_path), Path(cache)
    sha256 = checkpoint.sha256()
    made_by = f"{sha256} {versions}"
    config = CodecConfig.from_kwargs(checkpoint.kwargs)
    if cache.exists():
        found, tokens, lengths = load_arrays(cache, ["made_by", "tokens", "lengths"], LARGEST_CACHE)
        if str(found) == made_by:
            return Tokens(np.split(tokens, np.cumsum(lengths)[:-1], axis=1), config.codebook_size)
    music = pieces(music, config.sample_rate)
    encoded = _encode(partial(_encode_with, checkpoint.path, sha256), music, config.hop, versions)
    lengths = [piece.shape[1] for piece in encoded]
    with written_whole(cache) as temporary, open(temporary, "wb") as file:
        np.savez(file, tokens=np.concatenate(encoded, axis=1), lengths=lengths, made_by=made_by)
    return Tokens(encoded, config.codebook_size)


def _encode(
    tokens_of: Callable[[Version], np.ndarray], music: list[np.ndarray], hop: int, versions: int
) -> list[np.ndarray]:
    """Tokens of each version; a lot of music is shared out, because one process a core beats many threads."""
    made = _versions(music, hop, versions)
    bar = partial(
        tqdm, total=len(music) * versions, desc="music to tokens", unit="piece", disable=None, leave=False
    )
    if versions * sum(map(len, music)) < WORTH_SHARING:
        return list(bar(map(tokens_of, made)))
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads half-alive
    with ProcessPoolExecutor(n_cores(), spawn, torch.set_num_threads, (1,)) as pool:
        return list(bar(pool.map(tokens_of, made)))


def _versions(music: list[np.ndarray], hop: int, count: int) -> Iterator[Version]:
    """Each piece so many times; if more than once, each time from another sample on and at another level."""
    rng = np.random.default_rng(0)
    for piece in music * count:
        start = int(rng.integers(hop)) if count > 1 else 0
        yield Version(piece[start:], 10 ** (rng.uniform(-GAIN, GAIN) / 20) if count > 1 else 1.0)


def _encode_with(codec_path: Path, sha256: str, version: Version) -> np.ndarray:
    audio = np.clip(version.audio * version.gain, -1, 1).astype(np.float32)
    return encode_piece(_opened(codec_path, sha256), audio)


@lru_cache(maxsize=1)
def _opened(codec_path: Path, sha256: str) -> Codec:
    """The codec, once a process; the hash tells a file from what another run has put in its place."""
    return transfer_codec(checkpoints.read(codec_path))[0]


def encode_piece(codec: Codec, audio: np.ndarray) -> np.ndarray:
    """Audio (N,) float32 -> int16 (C, T), part by part: what fits a processor's cache takes half the time."""
    hop, context = codec.config.hop, codec.config.encoder_context
    codes = in_pieces(on_numpy(codec.encode), audio[None, None], len(audio) // hop, PART, hop, 1, context)
    return codes[0].astype(np.int16)
