"""A rounded classifier in whole numbers: the arithmetic of its ONNX graph, in PyTorch, byte for byte.

A convolution multiplies unsigned bytes by signed ones and adds in 32 bits. The sum times s_x s_w / s_y, in
float32, rounded with halves to the even number, is the next layer's byte. (Jacob et al. 2018.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.classify.model import Network
from helpers.layers.images import Separable
from helpers.layers.rounding import Grid, RoundedConv, levels
from helpers.support.errors import InputError


@dataclass(frozen=True)
class Layer:
    """One convolution in whole numbers.

    weight (width, width_in / groups, k, k) int8 and its steps (width,); bias (width,) int32, in units of
    step_in times each step. Bytes that come in stand for (byte - zero_in) step_in, those that go out for
    (byte - zero_out) step_out, up to `highest`.
    """

    weight: Tensor
    steps: Tensor
    bias: Tensor
    step_in: Tensor
    zero_in: int
    step_out: Tensor
    zero_out: int
    highest: int
    stride: int
    padding: int
    groups: int
    weight_bits: int

    def __call__(self, x: Tensor) -> Tensor:
        """Bytes (B, width_in, T, M) uint8 -> (B, width, T, M) uint8."""
        # float64 holds every sum of whole numbers below 2**53 exactly, and is faster than PyTorch's int32.
        sums = F.conv2d(
            x.double() - self.zero_in, self.weight.double(), self.bias.double(), self.stride, self.padding,
            groups=self.groups,
        )  # fmt: skip
        factor = self.step_in * self.steps / self.step_out
        scaled = sums.float() * factor[:, None, None]
        return (scaled.round() + self.zero_out).clamp(0, self.highest).to(torch.uint8)


def layers(network: nn.Module) -> list[Layer]:
    """Of a rounded network that is nothing but convolutions, one after the other. Raises InputError."""
    parts = list(_chain(network))
    found, arriving = [], parts[0].before
    for part in parts:
        found.append(_layer(part, arriving))
        arriving = part.after
    return found


def _chain(network: Network) -> Iterator[RoundedConv]:
    for block in network.blocks:
        inside = (block.depthwise, block.pointwise) if isinstance(block, Separable) else (block,)
        for part in inside:
            if not isinstance(part, RoundedConv) or part.striding == "pool" and part.stride > 1:
                raise InputError(
                    f"a {network.config.architecture} is more than convolutions one after the other, and has "
                    "no graph of whole numbers here; student, tiny and mobilenet_v1 have."
                )
            yield part


@torch.no_grad()
def _layer(part: RoundedConv, arriving: Grid) -> Layer:
    conv = part.conv
    whole, steps = levels(conv.weight, part.weight_bits)
    step_in = arriving.step.detach().clone()
    bias = (conv.bias.double() / (step_in * steps).double()).round().clamp(-(2**31), 2**31 - 1)
    return Layer(
        whole.to(torch.int8), steps, bias.to(torch.int32), step_in, -arriving.low,
        part.after.step.detach().clone(), -part.after.low, (1 << part.after.bits) - 1,
        conv.stride[0], conv.padding[0], conv.groups, part.weight_bits,
    )  # fmt: skip


def first_bytes(layer: Layer, x: Tensor) -> Tensor:
    """What the first layer hears (B, 1, T, M) float32 as bytes."""
    return ((x / layer.step_in).round() + layer.zero_in).clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def last_bytes(network: Network, pictures: Tensor) -> Tensor:
    """The last convolution's bytes (B, width, T, M) for pictures (B, 1, T, M) in decibels."""
    chain = layers(network)
    x = first_bytes(chain[0], network.leveled(pictures))
    for layer in chain:
        x = layer(x)
    return x
