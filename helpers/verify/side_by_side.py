"""PyTorch and ONNX Runtime on the same inputs, and float64 where rounding may have decided."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from helpers.runtime.session import Graph
from helpers.support.errors import InputError
from helpers.transfer import on_numpy
from helpers.verify.certificate import TIE, TOLERANCE, Comparison

Ties = tuple[int, int, float | None]  # how many tokens differ, how many of them in ties, the largest margin


class Exact:
    """A model in float64, one layer at a time: all of it at once is twice the size of its file."""

    def __init__(self, model: Callable[[], nn.Module]):
        self.model = model

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Logits in float64."""
        hooks, model = [], self.model()
        for layer in model.modules():
            weights = dict(layer.named_parameters(recurse=False))
            hooks.append(layer.register_forward_pre_hook(partial(_to_float64, weights)))
            hooks.append(layer.register_forward_hook(partial(_back, weights), always_call=True))
        try:
            return on_numpy(model)(*inputs)
        finally:
            for hook in hooks:
                hook.remove()


def _to_float64(weights: dict[str, nn.Parameter], layer: nn.Module, inputs: object) -> None:
    layer._parameters.update({name: weight.double() for name, weight in weights.items()})


def _back(weights: dict[str, nn.Parameter], layer: nn.Module, inputs: object, output: object) -> None:
    layer._parameters.update(weights)


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference as a share of the largest value; infinite where shapes differ or NaNs are."""
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return float("inf")
    apart = np.abs(ours - theirs).max()
    return float(apart / np.abs(ours).max()) if apart else 0.0


def compare(what: str, module: nn.Module, graph: Graph, *inputs: Tensor) -> list[Comparison]:
    """A module and its graph on the same inputs: a row for each output, whose first two sizes it has.

    Whole numbers and booleans are compared as tokens, one by one; others by their largest difference.
    Raises InputError where one gives more outputs than the other.
    """
    with torch.inference_mode():
        expected = several(module(*inputs))
    found = several(graph(*(given.numpy() for given in inputs)))
    if len(expected) != len(found):
        raise InputError(f"{what}: the module gives {len(expected)} outputs, the graph {len(found)}.")
    pairs = zip(expected, found)
    return [_compared(f"{what}, output {i}", one.numpy(), other) for i, (one, other) in enumerate(pairs)]


def several(outputs: object) -> tuple:
    """What a module or a graph gave as a tuple, also where it is one output alone."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _compared(what: str, ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    batch, length = (*ours.shape, 1, 1)[:2]
    if not np.issubdtype(ours.dtype, np.floating):
        different = int((ours != theirs).sum()) if ours.shape == theirs.shape else ours.size
        return Comparison(what, batch, length, ours.size, different, 0)
    return Comparison(what, batch, length, 0, 0, 0, relative_difference(ours, theirs))


def compare_sound(
    what: str, batch: int, frames: int, ours: np.ndarray, theirs: np.ndarray, exact: Callable[[], np.ndarray]
) -> Comparison:
    """The samples of both, or other numbers.

    A model whose weights amplify rounding (random ones do) may exceed the tolerance; then both are compared
    with float64, and ONNX Runtime may be twice as far from it as PyTorch is.
    """
    difference, rounding = relative_difference(ours, theirs), None
    if TOLERANCE < difference < 1:
        true = exact()
        difference, rounding = relative_difference(true, theirs), relative_difference(true, ours)
    return Comparison(what, batch, frames, 0, 0, 0, difference, rounding=rounding)


def choice_ties(best: np.ndarray, other: np.ndarray, exact: Callable[[], np.ndarray]) -> Ties:
    """Of tokens (...) that both chose as the most probable; `exact` gives float64 logits (..., V)."""
    unequal = best != other
    if not unequal.any():
        return 0, 0, None
    rows, places = exact()[unequal], np.arange(unequal.sum())
    margins = np.abs(rows[places, best[unequal]] - rows[places, other[unequal]])
    return len(margins), int((margins < TIE).sum()), float(margins.max())


def codec_ties(ours: np.ndarray, theirs: np.ndarray, margins: Callable[[int, Tensor], Tensor]) -> Ties:
    """Of a codec's tokens (B, C, T); the margin is the largest of a first difference.

    In a frame the first codebook that differs decides: the later ones code what that one left over.
    margins: is given book after book the tokens of both, (B, T, 2), and says how far apart they are (B, T).
    """
    unequal = ours != theirs
    ties, largest, undecided = 0, 0.0, np.ones((len(ours), ours.shape[2]), bool)
    with torch.inference_mode():
        for book in range(ours.shape[1]):
            pair = torch.from_numpy(np.stack([ours[:, book], theirs[:, book]], -1))
            apart, first = margins(book, pair).numpy(), unequal[:, book] & undecided
            largest = max([largest, *apart[first].tolist()])
            tied = first & (apart < TIE)
            ties += int((unequal[:, book:] & tied[:, None]).sum())
            undecided &= ~first
    return int(unequal.sum()), ties, largest


def tones(
    batch: int, channels: int, n_samples: int, sample_rate: int, highest: float, rng: np.random.Generator
) -> np.ndarray:
    """(batch, channels, n_samples) float32: three tones below `highest` Hz, noise twenty decibels below."""
    time = np.arange(n_samples) / sample_rate
    pitches = rng.uniform(highest / 25, highest, (batch, 3, 1, 1))
    noise = 0.02 * rng.standard_normal((batch, channels, n_samples))
    return (0.1 * np.sin(2 * np.pi * pitches * time).sum(1) + noise).astype(np.float32)
