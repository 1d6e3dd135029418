"""Convolutions over time and frequency: with a norm, depthwise, bottlenecks, attention to channels.

All take and give (B, width, T, M). Batch norm keeps its running mean and variance, and in use is one scale
and one shift for each channel (Ioffe & Szegedy 2015).
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {
    "none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU, "hardswish": nn.Hardswish,
}  # fmt: skip
STRIDINGS = ("step", "pool", "same")


class ConvNorm(nn.Module):
    """A convolution without bias, batch norm, an activation; T and M are divided by `stride`.

    striding: how. "step": the kernel is moved by `stride`, with as many zeros on either side. "pool": it is
    moved by one, and means are taken before the norm. "same": moved by `stride`, with just as many zeros as
    are needed, of an odd number more at the end.
    """

    def __init__(
        self, width_in: int, width_out: int, kernel: int = 1, stride: int = 1, groups: int = 1,
        activation: str = "relu", striding: str = "step", eps: float = 1e-5,
    ):  # fmt: skip
        super().__init__()
        self.stride, self.striding = stride, striding
        step, padding = (1 if striding == "pool" else stride), (0 if striding == "same" else kernel // 2)
        self.conv = nn.Conv2d(width_in, width_out, kernel, step, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(width_out, eps=eps)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        if self.striding == "same":
            x = F.pad(x, (*self._missing(x.shape[3]), *self._missing(x.shape[2])))
        x = self.conv(x)
        if self.striding == "pool" and self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        return self.activation(self.norm(x))

    def fold(self) -> None:
        """Put the norm, as it is in use, into the convolution: means commute with a scale and a shift."""
        norm, old = self.norm, self.conv
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        size, step, padding = old.kernel_size, old.stride, old.padding
        self.conv = nn.Conv2d(old.in_channels, old.out_channels, size, step, padding, groups=old.groups)
        self.conv.weight.data = old.weight * scale[:, None, None, None]
        self.conv.bias.data = norm.bias - norm.running_mean * scale
        self.norm = nn.Identity()

    def _missing(self, n: int) -> tuple[int, int]:
        """How many zeros before and after n places make ceil(n / stride) of them; a kernel >= the stride."""
        total = self.conv.kernel_size[0] - self.stride + -n % self.stride
        return total // 2, total - total // 2


def folded(module: nn.Module) -> nn.Module:
    """A copy for use alone, in which convolutions have taken up their norms."""
    module = copy.deepcopy(module).requires_grad_(False).eval()
    for part in module.modules():
        if isinstance(part, ConvNorm):
            part.fold()
    return module.requires_grad_(False)


class Ghost(nn.Module):
    """Half of the channels from a 1x1 convolution, the other half cheaply from those (Han et al. 2020)."""

    def __init__(self, width_in: int, width_out: int, activation: str = "relu", eps: float = 1e-5):
        super().__init__()
        half = -(-width_out // 2)
        self.width = width_out
        self.primary = ConvNorm(width_in, half, activation=activation, eps=eps)
        self.cheap = ConvNorm(half, half, 3, groups=half, activation=activation, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary(x)
        return torch.cat([primary, self.cheap(primary)], dim=1)[:, : self.width]


class SqueezeExcitation(nn.Module):
    """Channels weighed by what all of them hold on average, through a narrow layer (Hu et al. 2018)."""

    def __init__(self, width: int, squeezed: int, activation: str = "relu"):
        super().__init__()
        self.squeeze = nn.Linear(width, squeezed)
        self.excite = nn.Linear(squeezed, width)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.excite(self.activation(self.squeeze(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class ChannelAttention(nn.Module):
    """Channels weighed by their own mean and those of a few neighbours: ECA (Wang et al. 2020)."""

    def __init__(self, neighbours: int = 3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, neighbours, padding=neighbours // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.conv(x.mean((2, 3))[:, None])[:, 0])
        return x * weights[:, :, None, None]


class Separable(nn.Module):
    """A convolution channel by channel, then one across channels (Howard et al. 2017, "MobileNets")."""

    def __init__(
        self, width_in: int, width_out: int, kernel: int = 3, stride: int = 1, activation: str = "relu",
        striding: str = "step", eps: float = 1e-5,
    ):  # fmt: skip
        super().__init__()
        self.depthwise = ConvNorm(width_in, width_in, kernel, stride, width_in, activation, striding, eps)
        self.pointwise = ConvNorm(width_in, width_out, activation=activation, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class Inverted(nn.Module):
    """Wide inside, narrow outside: expand, convolve channel by channel, weigh, project; around it x itself.

    (Sandler et al. 2018, "MobileNetV2".) x is added where its shape is the output's. fused: expanding and
    convolving are one step (Tan & Le 2021, "EfficientNetV2"). ghost: `Ghost` expands and projects. attention:
    a layer that weighs channels, None for none.
    """

    def __init__(
        self, width_in: int, width_out: int, expanded: int, kernel: int = 3, stride: int = 1,
        activation: str = "relu6", attention: nn.Module | None = None, fused: bool = False,
        ghost: bool = False, striding: str = "step", eps: float = 1e-5,
    ):  # fmt: skip
        super().__init__()
        self.adds = stride == 1 and width_in == width_out
        self.expand = self.depthwise = self.project = None
        inside = (kernel, stride, 1 if fused else expanded, activation, striding, eps)
        if fused:
            wide = (
                expanded if expanded != width_in else width_out
            )  # nothing to expand: one convolution is all
            self.expand = ConvNorm(width_in, wide, *inside)
        else:
            if expanded != width_in:
                self.expand = _across(width_in, expanded, activation, ghost, eps)
            self.depthwise = ConvNorm(expanded, expanded, *inside)
        self.attention = attention
        if not fused or expanded != width_in:
            self.project = _across(expanded, width_out, "none", ghost, eps)

    def forward(self, x: Tensor) -> Tensor:
        made = x
        for part in (self.expand, self.depthwise, self.attention, self.project):
            made = made if part is None else part(made)
        return x + made if self.adds else made


def _across(width_in: int, width_out: int, activation: str, ghost: bool, eps: float) -> nn.Module:
    if ghost:
        return Ghost(width_in, width_out, activation, eps)
    return ConvNorm(width_in, width_out, activation=activation, eps=eps)


class Twice(nn.Module):
    """Two 3x3 convolutions, then means of `stride` by `stride` places (Kong et al. 2020, "PANNs")."""

    def __init__(self, width_in: int, width_out: int, stride: int, activation: str = "relu"):
        super().__init__()
        self.stride = stride
        self.first = ConvNorm(width_in, width_out, 3, activation=activation)
        self.second = ConvNorm(width_out, width_out, 3, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x
