"""Checks of notebook 25, Fewer bits."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from helpers.lesson.checks.tensors import of_shape
from helpers.lesson.checks.verdict import Wrong, called, exercise

VALUES = np.array([-0.3, 0.0, 0.1, 0.25, 0.35, 0.45, 1.0, 9.0], np.float32)
FACTORS = (0.3, 0.5, 0.0007, 0.9999999, 0.02)
LOWEST, HIGHEST = 1 << 30, (1 << 31) - 1  # of a multiplier


@exercise
def as_bytes(function: Callable[[np.ndarray, float, int, int], np.ndarray]) -> str:
    """Values, step, zero point, highest byte -> bytes: rounded, halves to even, moved, cut off."""
    for step, zero, highest in ((0.1, 0, 15), (0.5, 8, 15), (0.1, 3, 255)):
        scaled = VALUES / np.float32(step)
        right = np.clip(np.round(scaled) + zero, 0, highest)
        answer = np.asarray(called(function, VALUES.copy(), step, zero, highest))
        if answer.shape != right.shape:
            raise Wrong(f"for {len(VALUES)} values {len(VALUES)} bytes, not the shape {answer.shape}.")
        if np.array_equal(answer, right):
            continue
        what = f"step {step}, zero {zero}, highest {highest}"
        if np.array_equal(answer, np.round(scaled) + zero):
            raise Wrong(f"{what}: a byte ends at 0 and at the highest; nothing may leave it.")
        if np.array_equal(answer, np.clip(np.floor(scaled + 0.5) + zero, 0, highest)):
            raise Wrong(f"{what}: halves go to the even number here; yours go up.")
        if np.array_equal(answer, np.clip(np.floor(scaled) + zero, 0, highest)):
            raise Wrong(f"{what}: to the nearest, not downwards.")
        if np.array_equal(answer, np.clip(np.round(scaled), 0, highest) + zero):
            raise Wrong(f"{what}: cut off after the zero point was added, not before.")
        raise Wrong(f"{what}: {VALUES.tolist()} became {answer.tolist()}.")
    return "that is QuantizeLinear, all of it."


@exercise
def straight(function: Callable[[Tensor], Tensor]) -> str:
    """x -> x rounded; backwards, as if it were x from 0 to 15, and nothing outside."""
    x = torch.tensor([-2.0, 0.3, 1.6, 7.5, 14.9, 22.0], requires_grad=True)
    made = of_shape(called(function, x), (6,), "the shape should stay, but it is")
    right = x.detach().round().clamp(0, 15)
    if not torch.allclose(made.detach(), right):
        raise Wrong(f"{x.tolist()} becomes {made.tolist()}, not {right.tolist()}.")
    if not made.requires_grad:
        raise Wrong("no gradient comes through at all.")
    (found,) = torch.autograd.grad(made.sum(), x)
    if not found.any():
        raise Wrong("the gradient is 0 everywhere: that of round itself; nothing would ever be learned.")
    if found.eq(1).all():
        raise Wrong("outside of 0 to 15 the output does not move, so nothing may come through there.")
    if found.tolist() != [0, 1, 1, 1, 1, 0]:
        raise Wrong(f"the gradients are {found.tolist()}.")
    return "what is cut off stays cut off; what is rounded passes as if it were not."


def our_fixed_point(factor: float) -> tuple[int, int]:
    """The course's answer to `fixed_point`."""
    shift = 31 - int(np.floor(np.log2(factor))) - 1
    multiplier = round(factor * 2**shift)
    return (multiplier, shift) if multiplier <= HIGHEST else (multiplier // 2, shift - 1)


@exercise
def fixed_point(function: Callable[[float], tuple[int, int]]) -> str:
    """A factor below 1 -> whole numbers m from 2**30 to 2**31 - 1, and n, with m / 2**n nearest to it."""
    for factor in FACTORS:
        answer = called(function, factor)
        if not isinstance(answer, tuple) or not all(isinstance(one, int) for one in answer):
            raise Wrong("the answer is a pair of Python's whole numbers: m, n.")
        if len(answer) != 2 or not 0 <= answer[1] < 100:
            raise Wrong("the answer is m and n, and n counts places, from 0 to 99.")
        multiplier, shift = answer
        if multiplier > HIGHEST:
            raise Wrong(f"for {factor}, m = {multiplier} has no place in 32 bits with a sign.")
        if multiplier < LOWEST:
            raise Wrong(f"for {factor}, m = {multiplier} wastes places: it should be 2**30 at least.")
        if abs(multiplier / 2**shift - factor) > 0.51 / 2**shift:
            raise Wrong(f"for {factor}, m / 2**n is {multiplier / 2**shift:.12g}; nearer is possible.")
    return "nine digits of a factor, on a chip that can't divide."
