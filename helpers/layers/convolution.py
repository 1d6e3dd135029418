"""Convolutions with edges, and a periodic activation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, a periodic activation (Ziyin et al. 2020). x: (B, channels, N)."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        wave = torch.sin(self.alpha * x)
        return x + wave * wave / (self.alpha + 1e-9)


def extend(x: Tensor, left: int, right: int, edges: str) -> Tensor:
    """x (..., N) and `left` and `right` more places: zeros ("constant"), or x mirrored ("reflect").

    A signal too short to be mirrored is taken to go on with zeros, just far enough.
    """
    if edges == "constant":
        return F.pad(x, (left, right))
    n = x.shape[-1]
    last = torch.sym_max(n - 1, torch.sym_max(left, right))

    def mirrored(positions: Tensor) -> Tensor:
        places = last - (last - positions.abs()).abs()
        return x.index_select(-1, places.clamp(max=n - 1)) * (places < n)

    before = torch.arange(-left, 0, device=x.device)
    after = torch.arange(right, device=x.device) + n
    return torch.cat([mirrored(before), x, mirrored(after)], dim=-1)


class SameConv1d(nn.Conv1d):
    """A convolution that makes ceil(N / stride) places of N. Of odd padding the left gets more.

    x: (B, width_in, N) -> (B, width_out, ceil(N / stride)).
    """

    def __init__(
        self, width_in: int, width_out: int, kernel: int, stride: int = 1, dilation: int = 1,
        edges: str = "constant",
    ):  # fmt: skip
        super().__init__(width_in, width_out, kernel, stride=stride, dilation=dilation)
        self.edges = edges

    def forward(self, x: Tensor) -> Tensor:
        total = (self.kernel_size[0] - 1) * self.dilation[0] + 1 - self.stride[0]
        right = total // 2
        unfinished = -x.shape[-1] % self.stride[0]
        return super().forward(extend(x, total - right, right + unfinished, self.edges))


class SameConvTranspose1d(nn.ConvTranspose1d):
    """The way back: N places become N * stride. Of an odd number that is too much the left loses more."""

    def __init__(self, width_in: int, width_out: int, stride: int):
        super().__init__(width_in, width_out, 2 * stride, stride=stride, padding=stride // 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., self.stride[0] % 2 :]
