"""Convolutions over (B, C, N) as convolutions over images one pixel high."""

import copy

from torch import nn


def over_images(module: nn.Module) -> nn.Module:
    """A module of convolutions over (B, C, N) as one over (B, C, 1, N); weights keep names and memory."""
    if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
        return _over_images(module)
    other = copy.copy(module)
    other._modules = {name: over_images(part) for name, part in module.named_children()}
    other._parameters = {
        name: nn.Parameter(value[:, :, None], False) for name, value in module.named_parameters(recurse=False)
    }
    return other


def _over_images(conv: nn.Conv1d | nn.ConvTranspose1d) -> nn.Module:
    kind = nn.Conv2d if isinstance(conv, nn.Conv1d) else nn.ConvTranspose2d
    image = kind(
        conv.in_channels, conv.out_channels, (1, *conv.kernel_size), stride=(1, *conv.stride),
        padding=(0, *conv.padding), dilation=(1, *conv.dilation), device="meta",
    )  # fmt: skip
    image.weight, image.bias = nn.Parameter(conv.weight[:, :, None], False), conv.bias
    return image
