"""Composed pieces as the codec's tokens, made once: to compose and encode takes longer than to read back."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from data.music.dice import Dice
from helpers.musicgen.codec import Codec
from helpers.support.commands import progress
from helpers.support.files import written_whole
from workshop.musicgen.music import compose as composer
from workshop.musicgen.music import instruments
from workshop.musicgen.music.compose import Facts, compose, draw_facts

ENCODED = 32  # pieces at once


@dataclass(frozen=True)
class Music:
    """Tokens (n, K, T) int16 of pieces, and what is true of each."""

    codes: np.ndarray
    facts: list[Facts] = field(repr=False)


def tokens(codec: Codec, split: str, first: int, count: int, seconds: float, cache: Path) -> Music:
    """The beginnings, so many seconds, of the pieces first, first + 1, ...

    What was made is kept in `cache` under a name that changes with everything that decides it.
    """
    numbers = range(first, first + count)
    path = cache / f"{split}-{count}-{_hash(codec, first, seconds)}.npy"
    if not path.exists():
        codes = _made(codec, split, numbers, seconds)
        with written_whole(path) as temporary:
            np.save(temporary, codes)
    facts = [draw_facts(Dice("musicgen", split, i)) for i in numbers]
    return Music(np.load(path), facts)


@torch.inference_mode()
def _made(codec: Codec, split: str, numbers: range, seconds: float) -> np.ndarray:
    codes = []
    with progress(total=len(numbers), unit="piece") as bar:
        for start in range(0, len(numbers), ENCODED):
            part = numbers[start : start + ENCODED]
            audio = np.stack([compose(split, i, seconds).audio for i in part])
            codes.append(codec.encode(torch.from_numpy(audio)[:, None]).numpy().astype(np.int16))
            bar.update(len(part))
    return np.concatenate(codes)


def _hash(codec: Codec, first: int, seconds: float) -> str:
    """Of the encoder, the codebooks, the composer's and the instruments' source, and the stretch."""
    digest = hashlib.sha256(f"{first} {seconds}".encode())
    for name, tensor in codec.state_dict().items():
        if not name.startswith("decoder."):
            digest.update(tensor.numpy().tobytes())
    for module in (composer, instruments):
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]
