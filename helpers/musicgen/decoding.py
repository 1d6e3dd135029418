"""From logits to codes: the delay pattern, done and undone; guidance; the choice of a token; windows.

Codes are int64 (B, K, N), K codebooks and N frames; V is the codebook size and the special token. The loop
does not know where logits come from, so PyTorch and ONNX Runtime share it. Numpy only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.runtime.sampling import softmax, token_noise
from helpers.support.config import is_whole, real, shown
from helpers.support.errors import InputError

UNKNOWN = -1  # in codes that are still to be generated
Logits = Callable[[np.ndarray, object], tuple[np.ndarray, object]]  # columns, past -> logits, past


# --- the delay pattern ------------------------------------------------------------------------------------


def delayed(codes: np.ndarray, delays: Sequence[int], special: int) -> np.ndarray:
    """Codes (B, K, N) -> columns (B, K, 1 + N + max(delays)) (Copet et al. 2023, section 2.2).

    Frame t of book k stands in column t + 1 + delays[k]; every other place holds the special token.
    """
    batch, _, n_frames = codes.shape
    columns = np.full((batch, len(delays), 1 + n_frames + max(delays)), special, np.int64)
    for k, delay in enumerate(delays):
        columns[:, k, 1 + delay : 1 + delay + n_frames] = codes[:, k]
    return columns


def undelayed(columns: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """The way back: columns (B, K, S) -> codes (B, K, S - 1 - max(delays))."""
    n_frames = columns.shape[2] - 1 - max(delays)
    books = [columns[:, k, 1 + delay : 1 + delay + n_frames] for k, delay in enumerate(delays)]
    return np.stack(books, axis=1)


# --- the choice of a token --------------------------------------------------------------------------------


def guided(logits: np.ndarray, guidance: float) -> np.ndarray:
    """Logits (2 B, ...), first with the text and then without it -> (B, ...): u + g (c - u)."""
    said, unsaid = np.split(logits, 2)
    return unsaid + np.asarray(guidance, logits.dtype) * (said - unsaid)


@dataclass(frozen=True)
class Settings:
    """How tokens are chosen. Raises InputError for a value that makes no sense.

    guidance: how far to go from what the model says without the text to what it says with it, and beyond
    (Ho & Salimans 2022); 1 is the model itself. temperature: flattens (> 1) or sharpens (< 1); 0 is greedy.
    top_k: only so many tokens, 0 = all. top_p: only those that make up so much (Holtzman et al. 2020),
    0 = off; it takes the place of top_k. greedy: always the most probable token.
    """

    guidance: float = 3.0
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    greedy: bool = False

    def __post_init__(self):
        for name, least, most in (("guidance", -1e3, 1e3), ("temperature", 0, 1e6), ("top_p", 0, 1)):
            value = getattr(self, name)
            if not least <= real(value) <= most:
                raise InputError(f"{name} is {shown(value)}, but should be from {least:g} to {most:g}.")
        if not is_whole(self.top_k) or self.top_k < 0:
            raise InputError(f"top_k is {shown(self.top_k)}, but should be a whole number of at least 0.")

    @property
    def picks_the_best(self) -> bool:
        return bool(self.greedy) or self.temperature < 1e-6  # below it, float32 logits overflow


def probabilities(
    logits: np.ndarray, temperature: float = 1.0, top_k: int = 250, top_p: float = 0.0
) -> np.ndarray:
    """Logits (..., V) -> the probabilities (..., V) that a token is sampled from."""
    p = softmax(logits / np.float32(temperature))
    if top_p > 0:
        order = np.argsort(-p, axis=-1, kind="stable")
        ordered = np.take_along_axis(p, order, -1)
        dropped = np.cumsum(ordered, axis=-1) - ordered > top_p
        kept = np.empty_like(p)
        np.put_along_axis(kept, order, np.where(dropped, 0, ordered), -1)
    elif 0 < top_k < p.shape[-1]:
        least = np.partition(p, -top_k, axis=-1)[..., -top_k, None]
        kept = np.where(p >= least, p, 0)
    else:
        return p
    return kept / kept.sum(-1, keepdims=True)


def choose(
    logits: np.ndarray, settings: Settings, seeds: Sequence[int], keys: tuple[int, ...], column: int
) -> np.ndarray:
    """One token for each codebook: logits (B, K, V) -> (B, K).

    The largest of log-probability plus Gumbel noise is a sample from the distribution. An item's noise
    depends on its own seed, the window (`keys`) and the column alone.
    """
    if settings.picks_the_best:
        return logits.argmax(-1)
    p = probabilities(logits, settings.temperature, settings.top_k, settings.top_p)
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    noise = np.stack([token_noise(seed, keys, column, logits.shape[1:]) for seed in seeds])
    return (log_p + noise).argmax(-1)


# --- the loop ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What a picture or a progress bar needs to know after a column is filled.

    column: its index from the music's beginning, of n_columns. codes (B, K, N): what is known so far, the
    special token elsewhere. logits (B, K, V): what the column was chosen from, guided.
    """

    column: int
    n_columns: int
    codes: np.ndarray
    logits: np.ndarray


def windows(n_frames: int, n_known: int, longest: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(first frame, length, known frames within) of each window that has something to generate.

    Each begins `stride` frames after the one before and goes on from what that one made. In whole frames:
    with times in seconds, rounding leaves some windows nothing to do.
    """
    first = 0
    while n_known < n_frames:
        length = min(n_frames - first, longest)
        if first + length > n_known:
            yield first, length, n_known - first
            n_known = first + length
        first += stride


def fill(
    logits_of: Logits,
    codes: np.ndarray,
    n_known: int,
    delays: Sequence[int],
    special: int,
    pick: Callable[[np.ndarray, int], np.ndarray],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Generate what is UNKNOWN in `codes` (B, K, N), column after column; places that are known stay.

    The first `n_known` frames are known in every item: their columns go through the model at once. Yields
    (column, all columns, logits (B, K, V)) after each column that is filled.
    """
    columns, past = delayed(codes, delays, special), None
    given = columns[:, :, : n_known + 1]
    for column in range(n_known + 1, columns.shape[2]):
        logits, past = logits_of(given, past)
        now = columns[:, :, column]
        columns[:, :, column] = np.where(now == UNKNOWN, pick(logits, column), now)
        given = columns[:, :, column : column + 1]
        yield column, columns, logits
