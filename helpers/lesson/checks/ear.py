"""Checks of notebook 21, The ear inside the graph."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from helpers.layers.spectrogram import FLOOR, fourier_kernels, kaldi_bands
from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, exercise, explain, whole_number

LENGTHS = ((16000, 512, 160), (16001, 512, 320), (159999, 1024, 320), (400, 400, 160))
WINDOW, STEP, TRANSFORM, ADDED = 400, 160, 512, 0.01  # of the box, in samples; ADDED to its magnitudes


@exercise
def frames(function: Callable[[int, int, int, bool], int]) -> str:
    """Samples, window, hop, and whether the sound is mirrored by half a window at both ends -> frames."""
    for n, window, hop in LENGTHS:
        for mirrored in (True, False):
            right = n // hop + 1 if mirrored else (n - window) // hop + 1
            answer = whole_number(called(function, n, window, hop, mirrored))
            if answer == right:
                continue
            how = "mirrored" if mirrored else "not mirrored"
            explain(
                answer,
                {
                    "one is missing: the first window stands at 0, before any hop.": right - 1,
                    "a window that is not full counts for nothing, so round down.": right + 1,
                    "two halves of a window were added: that makes one window more to stand in.": (
                        (n - window) // hop + 1 if mirrored else n // hop + 1
                    ),
                },
                lambda a, b: a == b,
            )
            raise Wrong(f"{n} samples, window {window}, hop {hop}, {how}: not {answer}.")
    return "and whoever pads otherwise gets another number of frames, and another model."


@exercise
def whisper(function: Callable[[Tensor], Tensor]) -> str:
    """Power in mel bands (B, T, M) -> what Whisper's encoder is given, each sound by itself."""
    power = 10 ** torch.stack([torch.linspace(-12, top, 20).reshape(5, 4) for top in (-1, 2)])
    logs = power.clamp(min=FLOOR).log10()

    def scaled(logs: Tensor, top: Tensor) -> Tensor:
        return (torch.maximum(logs, top - 8) + 4) / 4

    right = scaled(logs, logs.amax((1, 2), keepdim=True))
    answer = of_shape(called(function, power.clone()), tuple(right.shape), "the shape should stay, but it is")
    same = within(0, 1e-4)
    mistakes = {
        "the loudest of the whole batch was taken: a sound's answer must not depend on its company.": (
            scaled(logs, logs.max())
        ),
        "eight below the loudest is meant in log10; decibels are ten times that.": (
            (torch.maximum(10 * logs, 10 * logs.amax((1, 2), keepdim=True) - 8) + 4) / 4
        ),
        "nothing quieter than eight below the loudest may be left.": (logs + 4) / 4,
        "that is the natural logarithm.": scaled(
            power.clamp(min=FLOOR).log(), power.clamp(min=FLOOR).log().amax((1, 2), keepdim=True)
        ),
    }
    if not expect(answer, right, mistakes, same):
        raise Wrong(
            f"the second sound's loudest place becomes {answer[1].max():.3f}, not {right[1].max():.3f}."
        )
    return "one tensor, another ear: no file of weights would have told."


def box(audio: Tensor) -> Tensor:
    """An ear without papers: sounds (B, N) at 16 kHz -> pictures (B, T, M)."""
    window = np.zeros(TRANSFORM)
    window[:WINDOW] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    real, imag = (torch.from_numpy(one[:, :WINDOW].T.copy()) for one in fourier_kernels(TRANSFORM, window))
    cut = audio.float().unfold(1, WINDOW, STEP)
    mel = torch.from_numpy(kaldi_bands(16000, TRANSFORM, 64, 125.0, 7500.0))
    return torch.log(((cut @ real).square() + (cut @ imag).square()).sqrt() @ mel + ADDED)


@exercise
def same_ear(function: Callable[[Tensor], Tensor]) -> str:
    """A function that hears as `box` does: silence, loud and quiet sounds, tones, noise."""
    rng = torch.Generator().manual_seed(5)
    noise = torch.randn(2, 8123, generator=rng)
    right = box(noise)
    answer = of_shape(
        called(function, noise.clone()), tuple(right.shape),
        f"of sounds (2, 8123) the box makes {tuple(right.shape)}; yours makes",
    )  # fmt: skip
    silent = called(function, torch.zeros(1, 2000)) - box(torch.zeros(1, 2000))
    if silent.abs().max() > 0.01:
        raise Wrong("of silence the box makes other numbers: what does it do before the logarithm?")
    rise = (called(function, 200 * noise) - called(function, 100 * noise)).mean()
    if (rise - (box(200 * noise) - box(100 * noise)).mean()).abs() > 0.02:
        raise Wrong(f"a sound twice as loud rises by {rise:.2f}; ask the box by how much it does there.")
    bands = (answer - right).mean((0, 1)).abs()
    if bands.max() > 0.02:
        raise Wrong(f"of noise, band {int(bands.argmax())} is off by {bands.max():.2f}: window, or bands?")
    if (answer - right).abs().max() > 0.02:
        raise Wrong("on average it is right, but single frames differ: where does each window begin?")
    return "this is the ear of VGGish, a model of 2017; you have read it without its code."
