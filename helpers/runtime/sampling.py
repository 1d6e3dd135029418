"""Choosing tokens: seeded noise that is the same on every platform, and filters of what is likely."""

from collections.abc import Sequence

import numpy as np

from helpers.support.config import is_whole, shown
from helpers.support.errors import InputError

Seed = int | Sequence[int]


def gumbel(uniform: np.ndarray) -> np.ndarray:
    """Gumbel noise from uniform noise in [0, 1). Computed in float64, so that every platform rounds alike."""
    uniform = np.maximum(uniform, 2.0**-25, dtype=np.float64)  # float32 noise can be exactly 0
    return -np.log(-np.log(uniform)).astype(np.float32)


def uniform_noise(seed: int, *keys: int, shape: tuple[int, ...]) -> np.ndarray:
    """float32 in [0, 1), always the same for the same seed, keys and shape, on every platform."""
    return np.random.Generator(np.random.PCG64([seed, *keys])).random(shape, dtype=np.float32)


def token_noise(
    seed: int,
    keys: tuple[int, ...],
    step: int,
    shape: tuple[int, ...],
    rows: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Gumbel noise for `rows` of logits (N, V). A place has its own noise, whatever else is masked."""
    return gumbel(uniform_noise(seed, *keys, step, 0, shape=shape)[rows])


def seeds_of(seed: Seed, n_items: int) -> list[int]:
    """One seed an item. A single seed serves all: each item of a batch then gets what it would get alone."""
    seeds = list(seed) if np.ndim(seed) == 1 else [seed] * n_items
    if len(seeds) != n_items or not all(is_whole(value) and value >= 0 for value in seeds):
        raise InputError(
            f"seed is {shown(seed)}, but should be a whole number of at least 0, "
            f"or one for each of {n_items} items."
        )
    return [int(value) for value in seeds]


def filter_top_p(logits: np.ndarray, top_p: float) -> np.ndarray:
    """Keep the most probable tokens up to and including the one that passes `top_p`; the others get -inf."""
    order = np.argsort(-logits, axis=-1, kind="stable")
    cumulative = np.cumsum(softmax(np.take_along_axis(logits, order, -1)), axis=-1)
    drop = np.zeros(logits.shape, bool)
    drop[..., 1:] = cumulative[..., :-1] > top_p
    return _drop(logits, order, drop)


def filter_typical(logits: np.ndarray, mass: float, min_tokens: int) -> np.ndarray:
    """Keep the tokens whose surprise is nearest to the expected surprise (the entropy), up to `mass`.

    At least `min_tokens` stay; the others get -inf (Meister et al. 2022, locally typical sampling).
    """
    log_p = logits - log_sum_exp(logits)
    p = np.exp(log_p)
    entropy = -(p * np.where(p > 0, log_p, 0)).sum(-1, keepdims=True)
    order = np.argsort(np.abs(-log_p - entropy), axis=-1, kind="stable")
    cumulative = np.cumsum(np.take_along_axis(p, order, -1), axis=-1)
    drop = np.zeros(logits.shape, bool)
    drop[..., 1:] = cumulative[..., :-1] >= mass
    drop[..., :min_tokens] = False
    return _drop(logits, order, drop)


def _drop(logits: np.ndarray, order: np.ndarray, drop: np.ndarray) -> np.ndarray:
    dropped = np.empty_like(drop)
    np.put_along_axis(dropped, order, drop, -1)
    return np.where(dropped, np.float32(-np.inf), logits)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(-1, keepdims=True)
    return top + np.log(np.exp(logits - top).sum(-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits - log_sum_exp(logits))
