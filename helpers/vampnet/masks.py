"""Masks: which tokens the model generates (1) and which it keeps (0).

Every mask is int64 (B, C, T): batch, codebooks, codec frames. A function that makes one takes that
shape; one that changes a mask returns a new one. Random masks draw from the numpy Generator they are
given, item after item, so the first item of a batch gets what it would get alone.
"""

import operator
from collections.abc import Sequence

import numpy as np

from helpers.support.config import shown
from helpers.support.errors import InputError

Shape = tuple[int, int, int]


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} must be a whole number, not {shown(value)}.") from error


def _count(name: str, value: int, least: int = 0) -> int:
    value = _whole(name, value)
    if value < least:
        raise InputError(f"{name} must be at least {least}, not {shown(value)}.")
    return value


def _probability(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise InputError(f"{name} must be between 0 and 1, not {value}.")
    return value


def _rng(rng: np.random.Generator | None) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise InputError("a random mask needs rng, a numpy Generator: pass numpy.random.default_rng(seed).")
    return rng


def full(shape: Shape) -> np.ndarray:
    """Generate everything."""
    if len(shape) != 3:
        raise InputError(f"a mask has the shape (B, C, T), not {tuple(shape)}.")
    return np.ones([_count("a mask's size", size, 1) for size in shape], np.int64)


def empty(shape: Shape) -> np.ndarray:
    """Generate nothing."""
    return 1 - full(shape)


def _keep_around(shape: Shape, frames: Sequence[int], before: int, after: int) -> np.ndarray:
    """Keep frames f - before to f + after - 1 round every f of `frames`, cut at both ends."""
    mask = full(shape)
    generated = np.ones(shape[2], np.int64)
    for frame in frames:
        frame = _whole("a frame", frame)
        generated[max(0, frame - before) : max(0, frame + after)] = 0
    return mask * generated


def periodic(
    shape: Shape, period: int, width: int = 1, roll: int | None = 0, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Keep every `period`-th frame, 2 * (width // 2) + 1 frames wide, cut at both ends; period 0 keeps none.

    `roll` then moves the mask to the right, what leaves at the end coming back at the start; None draws
    it from `rng`, below the period, the same for all items. (The periodic prompt of arXiv 2307.04686.)
    """
    period, side = _count("period", period), _count("width", width) // 2
    if period == 0:
        return full(shape)
    if roll is None:
        roll = int(_rng(rng).integers(period))
    mask = _keep_around(shape, range(0, shape[2], period), side, side + 1)
    return np.roll(mask, _whole("roll", roll), axis=-1)


def inpaint(shape: Shape, n_prefix: int, n_suffix: int) -> np.ndarray:
    """Keep the first `n_prefix` and the last `n_suffix` frames, and generate what is between."""
    mask = full(shape)
    mask[:, :, : _count("prefix", n_prefix)] = 0
    mask[:, :, max(0, shape[2] - _count("suffix", n_suffix)) :] = 0
    return mask


def prefix(shape: Shape, frames: int) -> np.ndarray:
    """Keep the first `frames` frames."""
    return inpaint(shape, frames, 0)


def suffix(shape: Shape, frames: int) -> np.ndarray:
    """Keep the last `frames` frames."""
    return inpaint(shape, 0, frames)


def onsets(shape: Shape, frames: Sequence[int], width: int) -> np.ndarray:
    """Keep frames f - width to f + width - 1 round every onset f, cut at both ends."""
    width = _count("width", width)
    return _keep_around(shape, frames, width, width)


def beats(shape: Shape, frames: Sequence[int], before: int = 0, after: int = 1) -> np.ndarray:
    """Keep frames f - before to f + after - 1 round every beat f, cut at both ends."""
    return _keep_around(shape, frames, _count("before", before), _count("after", after))


def random(shape: Shape, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Generate each place (codebook and frame) with `probability`, and keep it otherwise."""
    probability = _probability("the share to generate", probability)
    return (_rng(rng).random(full(shape).shape) < probability).astype(np.int64)


def dropout(mask: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Give up each kept place with `probability`: it is generated after all."""
    return union(mask, random(np.shape(mask), _probability("dropout", probability), rng))


def codebook_mask(mask: np.ndarray, n: int) -> np.ndarray:
    """Generate codebooks `n` and above entirely."""
    mask = mask.copy()
    mask[:, _count("codebook mask", n) :] = 1
    return mask


def codebook_unmask(mask: np.ndarray, n: int) -> np.ndarray:
    """Keep codebooks below `n` entirely (the conditioning books)."""
    mask = mask.copy()
    mask[:, : _count("codebook unmask", n)] = 0
    return mask


def _same_shape(masks: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    shapes = {np.shape(mask) for mask in masks}
    if len(shapes) != 1:
        raise InputError(f"combine masks of one shape, not of {sorted(shapes) or 'none'}.")
    return masks


def intersect(*masks: np.ndarray) -> np.ndarray:
    """Generate a place if every mask says so."""
    return np.minimum.reduce(_same_shape(masks))


def union(*masks: np.ndarray) -> np.ndarray:
    """Generate a place if any mask says so."""
    return np.maximum.reduce(_same_shape(masks))


def build(
    *masks: np.ndarray,
    drop: float = 0.0,
    rng: np.random.Generator | None = None,
    keep_below: int = 0,
    generate_from: int | None = None,
) -> np.ndarray:
    """One mask from many, in VampNet's order: intersection, dropout, codebook unmask, codebook mask.

    `drop` is the dropout's probability (above 0 it needs `rng`), `keep_below` the number of codebooks kept
    entirely, `generate_from` the first that is generated entirely. The last step wins where two disagree.
    """
    mask = intersect(*masks)
    if drop:
        mask = dropout(mask, drop, rng)
    mask = codebook_unmask(mask, keep_below)
    return mask if generate_from is None else codebook_mask(mask, generate_from)


def check(mask: np.ndarray, codes_shape: Shape) -> np.ndarray:
    """`mask` as int64, or an InputError when its shape, type or values do not suit codes of `codes_shape`."""
    mask = np.asarray(mask)
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise InputError(f"a mask holds whole numbers 0 and 1 or booleans, not {mask.dtype}.")
    if mask.shape != tuple(codes_shape):
        raise InputError(
            f"the mask has the shape {mask.shape} and the codes {tuple(codes_shape)}; "
            "give one mask value a code."
        )
    if not np.isin(mask, (0, 1)).all():
        raise InputError("a mask holds only 0 (keep) and 1 (generate).")
    return mask.astype(np.int64)
