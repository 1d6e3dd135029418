"""Music as tokens: what the transformers learn from, made once with the finished codec."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers import checkpoints
from helpers.codec import Codec, CodecConfig
from helpers.errors import InputError
from helpers.files import written_whole
from helpers.runtime import in_pieces
from helpers.train.music import pieces
from helpers.transfer import transfer_codec
from helpers.vampnet import on_numpy

PART = 172  # frames encoded at once: three seconds
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


def read_tokens(
    codec_path: str | os.PathLike, music: str | os.PathLike, cache: str | os.PathLike, versions: int = 1
) -> Tokens:
    """The FLAC files of the folder `music` as tokens, from `cache` if it was made with this codec.

    versions: how often each piece is encoded, each time from another sample on and at another level.
    """
    checkpoint, cache = checkpoints.read(codec_path), Path(cache)
    made_by = f"{checkpoint.sha256()} {versions}"
    codebook_size = CodecConfig.from_kwargs(checkpoint.kwargs).codebook_size
    if cache.exists():
        with np.load(cache, allow_pickle=False) as arrays:
            if str(arrays["made_by"]) == made_by:
                lengths = np.cumsum(arrays["lengths"])[:-1]
                return Tokens(np.split(arrays["tokens"], lengths, axis=1), codebook_size)
    codec, _ = transfer_codec(checkpoint)
    encoded = _encode(codec, pieces(music, codec.config.sample_rate), versions)
    lengths = [piece.shape[1] for piece in encoded]
    with written_whole(cache) as temporary, open(temporary, "wb") as file:
        np.savez(file, tokens=np.concatenate(encoded, axis=1), lengths=lengths, made_by=made_by)
    return Tokens(encoded, codebook_size)


def _encode(codec: Codec, music: list[np.ndarray], versions: int) -> list[np.ndarray]:
    rng, hop = np.random.default_rng(0), codec.config.hop
    encoded = []
    for piece in tqdm(music * versions, desc="music to tokens", unit="piece", disable=None, leave=False):
        start = int(rng.integers(hop)) if versions > 1 else 0
        gain = 10 ** (rng.uniform(-GAIN, GAIN) / 20) if versions > 1 else 1.0
        encoded.append(encode_piece(codec, np.clip(piece[start:] * gain, -1, 1).astype(np.float32)))
    return encoded


def encode_piece(codec: Codec, audio: np.ndarray) -> np.ndarray:
    """Audio (N,) float32 -> int16 (C, T), part by part: what fits a processor's cache takes half the time."""
    hop, context = codec.config.hop, codec.config.encoder_context
    codes = in_pieces(on_numpy(codec.encode), audio[None, None], len(audio) // hop, PART, hop, 1, context)
    return codes[0].astype(np.int16)
