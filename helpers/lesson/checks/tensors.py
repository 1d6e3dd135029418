"""Checks of functions that compute a tensor: its shape, then what it equals."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from helpers.lesson.checks.verdict import Wrong, explain


def of_shape(answer: object, shape: tuple[int, ...], said: str) -> Tensor:
    """The answer, if it is a tensor of that shape; else `Wrong` with `said` and what it was instead."""
    if isinstance(answer, Tensor) and answer.shape == shape:
        return answer
    raise Wrong(f"{said} {tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__}.")


def expect(
    answer: Tensor, right: Tensor, mistakes: Mapping[str, Tensor], same: Callable[[Tensor, Tensor], bool]
) -> bool:
    """Whether the answer is right. Raises `Wrong` with the reason if it is one of the known mistakes."""
    if same(answer, right):
        return True
    explain(answer, mistakes, same)
    return False


def within(rtol: float, atol: float) -> Callable[[Tensor, Tensor], bool]:
    """Sameness up to rounding, for `expect`."""
    return lambda one, other: torch.allclose(one, other, rtol=rtol, atol=atol)
