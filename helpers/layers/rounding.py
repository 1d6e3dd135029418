"""Layers that compute as if with few bits, and can learn to: fake quantization.

Numbers are put on a grid and stay floating-point; gradients pass as if nothing had been rounded (the
straight-through estimator, Bengio et al. 2013), and the grid of an activation learns its own step (Esser et
al. 2020, "LSQ"). Norms are folded into convolutions first: what runs on a device has none.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layers.images import ConvNorm, folded

TERNARY = 2  # bits of which only three levels are used
NARROWEST = 0.7  # of a channel's mean magnitude: below, a ternary weight is 0 (Li et al. 2016)
OUTER = 8  # bits of the input and of the first weights, whatever the others have
SHARES = torch.linspace(0.15, 1.0, 35)  # of the largest value, to be tried as a grid's end
SAMPLED = 20_000  # values of each activation that decide


class Straight(torch.autograd.Function):
    """`made`, with the gradient of `x`."""

    @staticmethod
    def forward(ctx, x: Tensor, made: Tensor) -> Tensor:
        return made

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def nearest(x: Tensor) -> Tensor:
    """x rounded, halves to the even number; its gradient is as if it were not."""
    return Straight.apply(x, x.round())


class Grid(nn.Module):
    """An activation on a grid of 2**bits places, `step` apart: from 0 upwards, or about 0 if `signed`."""

    def __init__(self, bits: int, signed: bool):
        super().__init__()
        self.bits = bits
        self.low = -(1 << (bits - 1)) if signed else 0
        self.log_step = nn.Parameter(torch.zeros(()))
        self.seen: list[Tensor] | None = None  # while it is calibrated

    @property
    def high(self) -> int:
        return self.low + (1 << self.bits) - 1

    @property
    def step(self) -> Tensor:
        """How far places lie apart: stored as its logarithm, or a rate would be too high for a small one."""
        return self.log_step.exp()

    def places(self, x: Tensor) -> Tensor:
        """Whole numbers from `low` to `high`."""
        return nearest((x / self.step).clamp(self.low, self.high))

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            values = x.detach().flatten()
            self.seen.append(values[:: max(1, len(values) // SAMPLED)])
            return x
        return self.places(x) * self.step

    @torch.no_grad()
    def settle(self) -> None:
        """Choose the step whose rounding costs what was seen least, as a mean square."""
        values = torch.cat(self.seen)
        self.seen = None
        end = -self.low if self.low else self.high
        costs = []
        for share in SHARES:
            self.log_step.fill_(math.log(max(1e-8, values.abs().max().item() * share.item() / end)))
            costs.append((self(values) - values).square().mean())
        best = SHARES[torch.stack(costs).argmin()].item()
        self.log_step.fill_(math.log(max(1e-8, values.abs().max().item() * best / end)))


def levels(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """A weight's whole numbers, in its shape, and the step of each output channel, (width,).

    Symmetric: from -(2**(bits - 1) - 1) to as much above; with 2 bits that is -1, 0 and 1.
    """
    rows = weight.flatten(1)
    if bits == TERNARY:
        kept = rows.abs() > NARROWEST * rows.abs().mean(1, keepdim=True)
        steps = (rows.abs() * kept).sum(1) / kept.sum(1).clamp(min=1)
        whole = rows.sign() * kept
    else:
        most = (1 << (bits - 1)) - 1
        steps = rows.abs().amax(1) / most
        whole = (rows / steps.clamp(min=1e-12)[:, None]).round().clamp(-most, most)
    return whole.view_as(weight), steps.clamp(min=1e-12)


class RoundedConv(nn.Module):
    """A `ConvNorm` that has taken up its norm, weights and output rounded."""

    def __init__(self, source: ConvNorm, weight_bits: int, activation_bits: int, first: bool):
        super().__init__()
        self.conv, self.activation = source.conv, source.activation
        self.stride, self.striding, self.weight_bits = source.stride, source.striding, weight_bits
        if source.striding == "same":
            raise ValueError("a convolution whose padding depends on the length can't be rounded here")
        self.before = Grid(OUTER, signed=True) if first else nn.Identity()
        self.after = Grid(activation_bits, signed=not isinstance(source.activation, nn.ReLU | nn.ReLU6))

    def forward(self, x: Tensor) -> Tensor:
        x, conv = self.before(x), self.conv
        with torch.no_grad():
            whole, steps = levels(conv.weight, self.weight_bits)
        weight = Straight.apply(conv.weight, whole * steps[:, None, None, None])
        x = F.conv2d(x, weight, conv.bias, conv.stride, conv.padding, groups=conv.groups)
        if self.striding == "pool" and self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        return self.after(self.activation(x))


def rounded(module: nn.Module, weight_bits: int, activation_bits: int) -> nn.Module:
    """A copy whose convolutions have taken up their norms and compute with so few bits; to be calibrated.

    The first convolution has 8 bits of weights and of what it hears. Norms before it become convolutions of
    one place, and stay in float, like all that is no convolution with a norm.
    """
    module = folded(module)
    first = True
    for name, part in list(module.named_modules()):
        if isinstance(part, ConvNorm):
            bits = OUTER if first else weight_bits
            _replace(module, name, RoundedConv(part, bits, activation_bits, first))
            first = False
        elif isinstance(part, nn.BatchNorm2d):
            _replace(module, name, as_convolution(part))
    return copy.deepcopy(module).requires_grad_(True)


def as_convolution(norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A norm as it is in use: a scale and a shift of each channel."""
    n = norm.num_features
    made = nn.Conv2d(n, n, 1, groups=n)
    scale = norm.weight.data / (norm.running_var + norm.eps).sqrt()
    made.weight.data = scale[:, None, None, None].clone()
    made.bias.data = (norm.bias - norm.running_mean * scale).detach().clone()
    return made


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)


@torch.no_grad()
def calibrate(module: nn.Module, *inputs: Tensor) -> None:
    """Settle every grid by what arrives there, in float, when the module hears these inputs one by one."""
    grids = [part for part in module.modules() if isinstance(part, Grid)]
    for grid in grids:
        grid.seen = []
    for one in inputs:
        module(one)
    for grid in grids:
        grid.settle()
