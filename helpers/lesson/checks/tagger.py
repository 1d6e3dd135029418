"""Checks of notebook 22, Inside a PANNs file."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.classify.panns import FRONTS, MEL, REAL
from helpers.lesson.checks.verdict import Wrong, called, exercise

EPS = 1e-5
Shapes = Mapping[str, tuple[int, ...]]
FOLDED = "a weight, a bias"
BEFORE = "a weight, a bias, and what to pad each channel with"


@exercise
def read_off(function: Callable[[Shapes], tuple[int, int, int]]) -> str:
    """Shapes by name -> the rate in hertz, how many labels, how wide the embedding is."""
    for n_fft, (rate, _, _) in FRONTS.items():
        labels, wide = 527 if n_fft > 512 else 50, 4 * n_fft + 8
        shapes = {REAL: (n_fft // 2 + 1, 1, n_fft), MEL: (n_fft // 2 + 1, 64)}
        shapes |= {"fc1.weight": (wide, 2048), "fc_audioset.weight": (labels, wide)}
        answer = called(function, shapes)
        if not isinstance(answer, tuple) or len(answer) != 3:
            raise Wrong("the answer is three numbers: rate, labels, width of the embedding.")
        if answer[0] != rate:
            raise Wrong(
                f"kernels of {n_fft} samples: not {answer[0]} Hz. The file has 1024, 512 or 256 of them."
            )
        if answer[1] != labels:
            raise Wrong(f"{shapes['fc_audioset.weight']} are not {answer[1]} labels: rows are outputs.")
        if answer[2] != wide:
            raise Wrong(f"the last layer looks at the embedding; it is not {answer[2]} wide.")
    return "and nothing else in the file says at which rate it hears."


def _tensors(n_out: int, n_in: int, normed: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    rng = torch.Generator().manual_seed(normed)
    weight = torch.randn(n_out, n_in, 3, 3, generator=rng)
    gamma, variance = (0.5 + torch.rand(2, normed, generator=rng)).unbind()
    beta, mean = torch.randn(2, normed, generator=rng).unbind()
    return weight, (gamma, beta, mean, variance)


def _norm(x: Tensor, norm: tuple[Tensor, ...]) -> Tensor:
    gamma, beta, mean, variance = norm
    return F.batch_norm(x, mean, variance, gamma, beta, eps=EPS)


def _parts(answer: object, shapes: tuple[tuple[int, ...], ...], said: str) -> tuple[Tensor, ...]:
    if not isinstance(answer, tuple) or len(answer) != len(shapes):
        raise Wrong(f"the answer is {said}.")
    for one, shape in zip(answer, shapes):
        if not isinstance(one, Tensor) or tuple(one.shape) != shape:
            was = tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__
            raise Wrong(f"the answer is {said}, of shapes {shapes}; one is {was}.")
    return answer


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-3)


@exercise
def fold(function: Callable[..., tuple[Tensor, Tensor]]) -> str:
    """Weight (O, I, 3, 3) and the norm after it -> weight and bias (O,) of one convolution for both."""
    weight, norm = _tensors(6, 3, 6)
    new, bias = _parts(called(function, weight.clone(), *norm, EPS), (tuple(weight.shape), (6,)), FOLDED)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    wanted, found = _norm(F.conv2d(x, weight, padding=1), norm), F.conv2d(x, new, bias, padding=1)
    if not _same(found, wanted):
        gamma, _, _, variance = norm
        if _same(new, weight * (gamma / (variance + EPS).sqrt())[:, None, None, None]):
            raise Wrong("the weight is right; the bias is what a sum of zero becomes under the norm.")
        if _same(new, weight * (gamma / variance)[:, None, None, None]):
            raise Wrong("divide by the deviation, the root of the variance.")
        raise Wrong(f"folded, the outputs differ by up to {(found - wanted).abs().max():.2f}.")
    pooled = F.avg_pool2d(found, 2) - _norm(F.avg_pool2d(F.conv2d(x, weight, padding=1), 2), norm)
    return f"with a pool in between they are {pooled.abs().max():.0e} apart: means let both through."


@exercise
def fold_before(function: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> str:
    """A norm and the weight (O, I, 3, 3) after it -> weight, bias (O,), and a value (I,) to pad with."""
    weight, norm = _tensors(4, 5, 5)
    shapes = (tuple(weight.shape), (4,), (5,))
    new, bias, value = _parts(called(function, weight.clone(), *norm, EPS), shapes, BEFORE)
    x = torch.randn(2, 5, 7, 7, generator=torch.Generator().manual_seed(2))
    around = value[:, None, None].expand(2, 5, 9, 9).clone()
    around[:, :, 1:-1, 1:-1] = x
    wanted, found = F.conv2d(_norm(x, norm), weight, padding=1), F.conv2d(around, new, bias)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    if not _same(found[inside], wanted[inside]):
        scale = norm[0] / (norm[3] + EPS).sqrt()
        if _same(new, weight * scale[None, :, None, None]):
            raise Wrong(
                "the weight is right. The bias: each output adds the shifts of all its inputs, weighed."
            )
        raise Wrong("already far from the edges it differs: the norm's channels are the weight's inputs.")
    if not _same(found, wanted):
        if (value == 0).all():
            raise Wrong(
                "inside it is right. Zeros at the edge were added after the norm; what were they before?"
            )
        raise Wrong(
            "inside it is right; at the edges the value that is padded does not become 0 by the norm."
        )
    return "a norm in front may go too, if the padding goes with it."
