"""Masked iterative decoding (MaskGIT, Chang et al. 2022; for music: VampNet, arXiv 2307.04686).

All masked tokens are sampled at once, the least certain ones are masked again, fewer at each step. The
loop is numpy only: it does not know where the logits come from, so PyTorch and ONNX Runtime share it.
Codes and masks are int64 (B, C, T), mask 1 = generate; V is the codebook size and the MASK token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.runtime.sampling import (
    filter_top_p,
    filter_typical,
    gumbel,
    log_sum_exp,
    uniform_noise,
)
from helpers.support.config import LARGEST, is_whole, shown
from helpers.support.errors import InputError

Logits = Callable[[np.ndarray], np.ndarray]  # codes (B, C, T) -> (B, P, T, V) for the last P codebooks
Noise = Callable[..., np.ndarray]  # (seed, *keys, shape=...) -> float32 in [0, 1), as `uniform_noise`
SHARPEST, HOTTEST = 1e-6, 1e6  # temperatures beyond these leave float32 logits without order
BLOCK = 128  # rows of logits that are sampled at once: with all that is computed of them they fit a cache


@dataclass(frozen=True)
class Settings:
    """How to decode. Raises InputError for a value that makes no sense.

    steps: how often the model is asked. temperature: flattens (> 1) or sharpens (< 1) the choice of a token.
    mask_temperature: noise on the confidence that decides what is masked again, fading to 0 by the last step.
    typical_mass, typical_min_tokens: locally typical sampling (Meister et al. 2022), None = off. The public
    VampNet code computes this filter and then drops the result; here it filters.
    top_p: nucleus sampling (Holtzman et al. 2020), None = off. sample_cutoff: the share of the steps that
    sample, after which the most probable token is taken. greedy: always the most probable token, no noise.
    """

    steps: int = 12
    temperature: float = 1.0
    mask_temperature: float = 10.5
    typical_mass: float | None = None
    typical_min_tokens: int = 64
    top_p: float | None = None
    sample_cutoff: float = 1.0
    greedy: bool = False

    def __post_init__(self):
        _require(
            is_whole(self.steps) and 1 <= self.steps <= LARGEST,
            "steps",
            self.steps,
            f"a whole number from 1 to {LARGEST}",
        )
        for name in ("temperature", "mask_temperature", "typical_mass", "top_p", "sample_cutoff"):
            value = getattr(self, name)
            number = isinstance(value, int | float | np.number) or (
                value is None and name in ("typical_mass", "top_p")
            )
            _require(number, name, value, "a number")
        for name, least in (("temperature", SHARPEST), ("mask_temperature", 0.0)):
            value = getattr(self, name)
            wanted = f"between {least:g} and {HOTTEST:g}" + (", or greedy for no noise" if least else "")
            _require(least <= value <= HOTTEST, name, value, wanted)
        for name in ("typical_mass", "top_p"):
            value = getattr(self, name)
            _require(value is None or 0 < value <= 1, name, value, "above 0 and at most 1, or None for off")
        _require(
            is_whole(self.typical_min_tokens) and self.typical_min_tokens >= 1,
            "typical_min_tokens",
            self.typical_min_tokens,
            "a whole number of at least 1",
        )
        _require(0 <= self.sample_cutoff <= 1, "sample_cutoff", self.sample_cutoff, "between 0 and 1")

    def samples_at(self, step: int) -> bool:
        """Whether tokens are sampled in this step; otherwise the most probable is taken."""
        return not self.greedy and step / self.steps <= self.sample_cutoff


def _require(good: bool, name: str, value: object, wanted: str) -> None:
    if not good:
        raise InputError(f"{name} is {shown(value)}, but should be {wanted}.")


@dataclass(frozen=True)
class Step:
    """What a picture or a progress bar needs to know after one step.

    stage: "coarse" or "c2f". chunk: index of n_chunks, which begins at frame `start`. codes (B, C, t): the
    chunk's tokens, all places filled. masked (B, C, t) bool: the places that the next step generates anew.
    confidence (B, C, t) float32: noisy log-probability of each token, infinite where it was given.
    """

    stage: str
    chunk: int
    n_chunks: int
    start: int
    step: int
    n_steps: int
    codes: np.ndarray
    masked: np.ndarray
    confidence: np.ndarray


def cosine_schedule(progress: np.ndarray | float) -> np.ndarray:
    """The share of tokens still masked at `progress` (0 to 1): cos(pi/2 * progress), float32.

    In float32 all the way, as the reference computes it: float64 rounds differently at 2/3.
    """
    angle = np.float32(progress) * np.float32(np.pi) / np.float32(2)
    return np.clip(np.cos(np.float64(angle)).astype(np.float32), np.float32(1e-10), np.float32(1))


def n_remasked(step: int, n_steps: int, n_start: np.ndarray, n_now: np.ndarray) -> np.ndarray:
    """How many tokens of each item are masked again: ever fewer, at least one, none after the last step."""
    count = np.floor(cosine_schedule((step + 1) / n_steps) * n_start.astype(np.float32)).astype(np.int64)
    if step + 1 < n_steps:
        count = np.maximum(1, np.minimum(n_now - 1, count))
    return count


def remask_noise(
    seed: int,
    keys: tuple[int, ...],
    step: int,
    settings: Settings,
    n_places: int,
    noise: Noise = uniform_noise,
) -> np.ndarray:
    """What is added to the confidence of each place, (N,): Gumbel noise that fades to nothing."""
    shake = 0.0 if settings.greedy else settings.mask_temperature * (1 - (step + 1) / settings.steps)
    if shake == 0:
        return np.zeros(n_places, np.float32)
    return np.float32(shake) * gumbel(noise(seed, *keys, step, 1, shape=(n_places,)))


def keep_likely(logits: np.ndarray, settings: Settings) -> np.ndarray:
    """The logits after the filters that the settings ask for; what they drop is -inf."""
    if settings.typical_mass is not None:
        logits = filter_typical(logits, settings.typical_mass, settings.typical_min_tokens)
    if settings.top_p is not None:
        logits = filter_top_p(logits, settings.top_p)
    return logits


def choose(logits: np.ndarray, settings: Settings, noise: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """One token for each row of logits (R, V), and its log-probability, both (R,).

    `noise` (R, V) is Gumbel noise: the largest of log-probability plus Gumbel noise is a sample from the
    distribution, and of all ways to sample it is the least shaken by rounding errors in the logits.
    None takes the most probable token, and filters nothing.
    """
    if noise is not None:
        logits = keep_likely(logits, settings)
    logits = logits / np.float32(settings.temperature)
    tokens = (logits if noise is None else logits + noise).argmax(-1)
    log_p = np.take_along_axis(logits, tokens[:, None], -1) - log_sum_exp(logits)
    return tokens, log_p[:, 0]


def least_confident(confidence: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mark, for each item of (B, N), the `count` least confident places: those below sorted[count]."""
    n_places = confidence.shape[1]
    threshold = np.take_along_axis(np.sort(confidence, axis=1), np.minimum(count, n_places - 1)[:, None], 1)
    return confidence < threshold


@dataclass(frozen=True)
class State:
    """The chunk between two steps, flattened: frame after frame, in each its predicted codebooks in order.

    tokens (B, N) with MASK where a token is to be generated. n_start (B,): how many were masked at first.
    """

    tokens: np.ndarray
    masked: np.ndarray
    n_start: np.ndarray


def advance(
    state: State,
    logits: np.ndarray,
    step: int,
    settings: Settings,
    seeds: Sequence[int],
    keys: tuple[int, ...],
    noise: Noise = uniform_noise,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step: logits (B, N, V) -> tokens (all filled), places to mask again, confidence, each (B, N).

    `keys` tell apart the noise of stages and chunks, which `noise` makes. Places that were given count as
    infinitely confident.
    """
    tokens, confidence = state.tokens.copy(), np.full(state.tokens.shape, np.inf, logits.dtype)
    for item, (masked, seed) in enumerate(zip(state.masked, seeds)):
        uniform = None
        if settings.samples_at(step):
            uniform = noise(seed, *keys, step, 0, shape=logits.shape[1:])
        places = np.flatnonzero(masked)
        for rows in (places[first : first + BLOCK] for first in range(0, len(places), BLOCK)):
            shaken = None if uniform is None else gumbel(uniform[rows])
            tokens[item, rows], confidence[item, rows] = choose(logits[item, rows], settings, shaken)
        confidence[item] += remask_noise(seed, keys, step, settings, len(masked), noise)
    count = n_remasked(step, settings.steps, state.n_start, state.masked.sum(1))
    return tokens, least_confident(confidence, count), confidence


def decode_masked(
    logits_of: Logits,
    codes: np.ndarray,
    mask: np.ndarray,
    n_conditioning: int,
    mask_token: int,
    settings: Settings,
    seeds: Sequence[int],
    keys: tuple[int, ...],
    noise: Noise = uniform_noise,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Fill the masked places of `codes`; yield (codes, masked again, confidence), (B, C, T), after each step.

    The first `n_conditioning` codebooks are only read; `mask` is 0 there. Each item counts its own masked
    places, so a batch gives each item what it gets alone.
    """
    state = start(codes, mask, n_conditioning, mask_token)
    for step in range(settings.steps):
        logits = logits_of(unflatten(state.tokens, codes))
        wanted = (len(codes), codes.shape[1] - n_conditioning, codes.shape[2], mask_token)
        if logits.shape != wanted:
            raise InputError(
                f"the model gives logits of shape {logits.shape}, not {wanted}; export it again."
            )
        logits = flatten(logits, 0)
        filled, masked, confidence = advance(state, logits, step, settings, seeds, keys, noise)
        yield (
            unflatten(filled, codes),
            unflatten(masked, np.zeros(codes.shape, bool)),
            unflatten(confidence, np.full(codes.shape, np.inf, np.float32)),
        )
        state = State(np.where(masked, mask_token, filled), masked, state.n_start)


def start(codes: np.ndarray, mask: np.ndarray, n_conditioning: int, mask_token: int) -> State:
    """The state before the first step. A place that holds MASK is generated, whatever the mask says."""
    tokens = np.where(flatten(mask, n_conditioning) == 1, mask_token, flatten(codes, n_conditioning))
    masked = tokens == mask_token
    return State(tokens, masked, masked.sum(1))


def flatten(array: np.ndarray, n_conditioning: int) -> np.ndarray:
    """(B, C, T, ...) -> (B, T * P, ...) without the conditioning books: the codebook is the fast index."""
    return array[:, n_conditioning:].swapaxes(1, 2).reshape(array.shape[0], -1, *array.shape[3:])


def unflatten(predicted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(B, T * P) -> (B, C, T); the conditioning books come from `given` (B, C, T)."""
    n_items, n_books, n_frames = given.shape
    n_predicted = predicted.shape[1] // n_frames
    books = predicted.reshape(n_items, n_frames, n_predicted).swapaxes(1, 2)
    return np.concatenate([given[:, : n_books - n_predicted], books], axis=1)
