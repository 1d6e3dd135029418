"""Checks of notebook 36, Codec and voice."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

COUNTS = ((5, 5, 5, 5), (90, 10, 0), (1, 1, 0, 0, 0, 0, 2), (7, 0, 0))
FRAME = 32  # samples of a spectrum in the trials of `again`
LEVELS = ((3, 2), (5, 3), (7, 1))  # and how many numbers a frame


@exercise
def perplexity(function: Callable[[list[int]], float]) -> str:
    """How often each code was chosen -> as many equally frequent codes as have the same entropy."""
    for counts in COUNTS:
        shares = np.array([one for one in counts if one]) / sum(counts)
        entropy = -(shares * np.log(shares)).sum()
        answer = number(called(function, list(counts)))
        if np.isnan(answer):
            raise Wrong(f"{counts}: codes that were never chosen have no logarithm; leave them out.")
        if close(answer, np.exp(entropy)):
            continue
        explain(
            answer,
            {
                "that is how many are used at all; a code chosen once counts as much as any.": len(shares),
                "that is the entropy; how many equal codes have it?": entropy,
                "that is the entropy in bits; how many equal codes have it?": entropy / np.log(2),
                "logarithm and power have different bases.": 2**entropy,
            },
        )
        raise Wrong(f"{counts} are as good as {np.exp(entropy):.2f} equal codes, not {answer:.2f}.")
    return "one number that sees dead codes and those that hardly live."


@exercise
def again(function: Callable[..., np.ndarray]) -> str:
    """Magnitudes, a sound, ways to spectra and back -> the sound after a round of Griffin and Lim's."""
    rng = np.random.default_rng(9)
    sound = rng.standard_normal(8 * FRAME)
    sound[:FRAME] = 0  # a spectrum without a phase

    def forth(sound: np.ndarray) -> np.ndarray:
        return np.fft.rfft(sound.reshape(-1, FRAME))

    def back(spectra: np.ndarray) -> np.ndarray:
        return np.fft.irfft(spectra).reshape(-1)

    lines = forth(sound)
    magnitudes = rng.random(lines.shape) * (abs(lines) > 0)
    right = back(magnitudes * lines / np.maximum(abs(lines), 1e-12))
    answer = np.asarray(called(function, magnitudes.copy(), sound.copy(), forth, back))
    if answer.shape != sound.shape:
        raise Wrong(f"a sound {sound.shape} became {answer.shape}.")
    if np.isnan(answer).any():
        raise Wrong("where a spectrum is zero, a division makes what is not a number of it.")
    if np.iscomplexobj(answer):
        raise Wrong("a sound is real.")
    explain(
        answer,
        {
            "that is the sound as it was: put the right magnitudes in.": sound,
            "the phases are lost: magnitudes alone were made into sound.": back(magnitudes),
            "spectra have sizes of their own; take only their phases.": back(magnitudes * lines),
        },
        np.allclose,
    )
    if not np.allclose(answer, right):
        raise Wrong("its spectra should have the given magnitudes, and the old sound's phases.")
    return "thirty-two of these, and there is a voice."


@exercise
def fsq(function: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> str:
    """Numbers (..., D), levels -> rounded values with a slope, codes."""
    for levels, size in LEVELS:
        x = torch.randn(4, 50, size, generator=torch.Generator().manual_seed(levels)).mul(1.5)
        x.requires_grad_(True)
        h = (levels - 1) / 2
        bent = h * torch.tanh(x.detach())
        codes = ((bent.round() + h) * levels ** torch.arange(size)).sum(-1).long()
        answer = called(function, x, levels)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise Wrong("the answer is a pair: values, and codes.")
        values, found = answer
        if values.shape != x.shape or found.shape != codes.shape:
            raise Wrong(f"{tuple(x.shape)} became {tuple(values.shape)} and {tuple(found.shape)}.")
        if not torch.allclose(values.detach(), bent.round(), atol=1e-4):
            why = "they lie outside" if values.abs().max() > h + 0.5 else "they should be whole, from"
            raise Wrong(f"with {levels} levels, values are wrong: {why} -{h:g} to {h:g}.")
        if not values.requires_grad:
            raise Wrong("no slope passes: what stands before would never learn.")
        slope = torch.autograd.grad(values.sum(), x, allow_unused=True)[0]
        if slope is None or not slope.any():
            raise Wrong("the slope is zero everywhere: pass it round the rounding.")
        if torch.allclose(slope, torch.ones_like(slope)):
            raise Wrong("the slope passes the bend, too, as if it were not there; only rounding is skipped.")
        if not torch.allclose(slope, h * (1 - torch.tanh(x.detach()).square()), atol=1e-4):
            raise Wrong("the slope is not that of the bent numbers.")
        if found.is_floating_point():
            raise Wrong("codes are whole numbers.")
        if found.min() < 0:
            raise Wrong("codes begin at 0: the lowest value is digit 0.")
        if not torch.equal(found, codes):
            raise Wrong(f"with {levels} levels and {size} numbers, codes differ: which number counts ones?")
    return "no row can die, because there is none."
