"""What a model must beat: guesses that know only how frequent tokens are, or only their neighbours."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.support.arrays import load_arrays
from helpers.support.errors import InputError
from workshop.vampnet.training.tokens import Tokens

LARGEST_COUNTS = 1 << 28  # bytes
UNIGRAM = "unigram.npz"  # beside a checkpoint: "counts" int64 (C, V), of the music it was trained on


def count(codes: Sequence[np.ndarray], n_codebooks: int, size: int) -> np.ndarray:
    """How often each token occurs in each codebook of the clips' tokens (1, C, T): int64 (C, V)."""
    return Tokens([item[0, :n_codebooks] for item in codes], size).counts()


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Log-probabilities (C, V) from counts, one added to each (Laplace): no token is impossible."""
    return np.log((counts + 1) / (counts + 1).sum(-1, keepdims=True))


def unigrams(directory: str | os.PathLike, codes: Sequence[np.ndarray], size: int) -> tuple[list, str]:
    """Log-probabilities (C, V) for each clip, and where they come from.

    From `unigram.npz` beside the checkpoint if it is there, the same for all clips; else from the other
    held-out clips. Raises InputError if the file is not what it should be.
    """
    path, n_codebooks = Path(directory) / UNIGRAM, codes[0].shape[1]
    if path.is_file():
        log_p = smoothed(read_counts(path, (n_codebooks, size)))
        return [log_p] * len(codes), f"of {UNIGRAM} (training music)"
    whole = count(codes, n_codebooks, size)
    others = [smoothed(whole - count([item], n_codebooks, size)) for item in codes]
    return others, f"of the other held-out clips (there is no {UNIGRAM})"


def read_counts(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The counts in an .npz file; never a pickle."""
    try:
        [counts] = load_arrays(path, ["counts"], LARGEST_COUNTS)
    except InputError as error:
        raise InputError(f"{path} holds no array 'counts'; count the training music again.") from error
    if counts.shape != shape or not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
        raise InputError(f"{path}: counts are {counts.dtype} {counts.shape}, but should be int64 {shape}.")
    return counts


def sample(log_p: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` tokens of each codebook from log-probabilities (C, V): int64 (C, n)."""
    return np.stack([rng.choice(len(row), n, p=np.exp(row) / np.exp(row).sum()) for row in log_p])


def nearest_kept(masked: np.ndarray) -> np.ndarray:
    """For each place of (..., T), the frame of its codebook that is kept and nearest; -1 where none is.

    Of two equally near the earlier one; a kept place is its own nearest.
    """
    n_frames = masked.shape[-1]
    frames = np.broadcast_to(np.arange(n_frames), masked.shape)
    far = 2 * n_frames  # farther than any frame
    before = np.maximum.accumulate(np.where(masked, -far, frames), axis=-1)
    after = np.minimum.accumulate(np.where(masked, 2 * far, frames)[..., ::-1], axis=-1)[..., ::-1]
    nearest = np.where(frames - before <= after - frames, before, after)
    return np.where((nearest >= 0) & (nearest < n_frames), nearest, -1)


def copied(codes: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Tokens (..., T) with each masked place filled from the nearest kept frame; -1 where there is none."""
    source = nearest_kept(masked.astype(bool))
    return np.where(source >= 0, np.take_along_axis(codes, source.clip(0), -1), -1)
