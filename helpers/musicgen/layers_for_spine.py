"""Layers with state and with edges: attention that remembers, a recurrent layer, padded convolutions.

Like the other building blocks they know no model. Lengths stay symbolic, and where PyTorch's exporter would
freeze one (its LSTM) or guard it (reflected edges), the layer says the same with other operators.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NEVER = -1e9  # a score that no key can have: not -inf, or a row without any key would become NaN
State = tuple[Tensor, Tensor]  # a recurrent layer's output and cell, each (layers, B, width)
Stretch = tuple[Tensor, Tensor, Tensor | None]  # keys and values (B, heads, T, size), what to add to scores


def attend(query: Tensor, stretches: Sequence[Stretch]) -> Tensor:
    """Softmax attention (Vaswani et al. 2017) over stretches of keys that lie in several places.

    query: (B, heads, S, size) -> (B, heads, S, size). Only the scores are joined, which are small. To join
    keys and values, those of the past with those of now, would copy all of the past at every step.
    """
    query = query * query.shape[-1] ** -0.5
    scores = [query @ keys.transpose(-1, -2) for keys, _, _ in stretches]
    biased = [score if bias is None else score + bias for score, (_, _, bias) in zip(scores, stretches)]
    weights, outputs, first = torch.softmax(torch.cat(biased, dim=-1), dim=-1), [], 0
    for _, values, _ in stretches:
        last = first + values.shape[2]
        outputs.append(weights[..., first:last] @ values)
        first = last
    return sum(outputs)


class MultiHeadAttention(nn.Module):
    """The projections of attention, without biases; what attends to what is said by the caller."""

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, width) -> keys and values, each (B, heads, T, size)."""
        return self.split_heads(self.key(x)), self.split_heads(self.value(x))

    def forward(self, x: Tensor, stretches: Sequence[Stretch]) -> Tensor:
        """x (B, S, width) asks, the stretches answer: (B, S, width)."""
        attended = attend(self.split_heads(self.query(x)), stretches)
        return self.out(attended.transpose(1, 2).flatten(2))

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, heads, T, width / heads)."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class Sinusoids(nn.Module):
    """Positions as waves: cos(p / w_i), then sin(p / w_i), w_i = 10000^(i / (width / 2 - 1)).

    positions (S,) -> (S, width) float32. The periods are numbers made once: a runtime whose powers round
    differently would be off by a whole 1e-4 at position 1000.
    """

    def __init__(self, width: int, longest: float = 10000.0):
        super().__init__()
        half = width // 2
        exponents = torch.arange(half, dtype=torch.float32, device="cpu") / (half - 1)
        self.periods = (torch.tensor(longest, device="cpu") ** exponents).tolist()

    def forward(self, positions: Tensor) -> Tensor:
        phase = positions.float()[:, None] / torch.tensor(self.periods, device=positions.device)
        return torch.cat([phase.cos(), phase.sin()], dim=-1)


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


class ResidualLSTM(nn.Module):
    """x + LSTM(x) over time (Hochreiter & Schmidhuber 1997), in one direction.

    x: (B, width, T), state: what an earlier call returned, None at the start -> the same shape, the state.
    """

    def __init__(self, width: int, n_layers: int):
        super().__init__()
        self.lstm = nn.LSTM(width, width, n_layers)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        after, state = self.lstm(x.permute(2, 0, 1), state)
        return x + after.permute(1, 2, 0), state


class OnnxLSTM(nn.Module):
    """An nn.LSTM as ONNX's operator of that name, which the exporter would write for one length only.

    Called like it, with a state; only an export can run it. ONNX orders the gates i, o, f, c; PyTorch
    i, f, g (which is c), o.
    """

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        self.width = lstm.hidden_size
        self.layers = nn.ModuleList(self._layer(lstm, i) for i in range(lstm.num_layers))

    @staticmethod
    def _layer(lstm: nn.LSTM, i: int) -> nn.Module:
        def turned(name: str) -> Tensor:
            gate = getattr(lstm, f"{name}_l{i}").detach().chunk(4)
            return torch.cat([gate[0], gate[3], gate[1], gate[2]])[None]

        layer = nn.Module()
        layer.of_input = nn.Parameter(turned("weight_ih"), False)
        layer.of_output = nn.Parameter(turned("weight_hh"), False)
        layer.bias = nn.Parameter(torch.cat([turned("bias_ih"), turned("bias_hh")], dim=1), False)
        return layer

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        n_steps, batch, _ = x.shape
        after = []
        for i, layer in enumerate(self.layers):
            inputs = [x, layer.of_input, layer.of_output, layer.bias, None, *(s[i : i + 1] for s in state)]
            shapes = [(n_steps, 1, batch, self.width), *[(1, batch, self.width)] * 2]
            y, *last = torch.onnx.ops.symbolic_multi_out(
                "LSTM", inputs, {"hidden_size": self.width}, dtypes=(x.dtype,) * 3, shapes=shapes, version=18
            )
            x = y[:, 0]
            after.append(last)
        hidden, cell = zip(*after)
        return x, (torch.cat(hidden), torch.cat(cell))


class EuclideanRVQ(nn.Module):
    """Residual vector quantization by distance: each codebook names what the ones before it left over.

    (Zeghidour et al. 2021, "SoundStream".) The nearest row e of a codebook to x has the least
    |x - e|^2 = |x|^2 - 2 x e + |e|^2; the first term is the same for all rows and left out.
    """

    def __init__(self, width: int, n_codebooks: int, codebook_size: int):
        super().__init__()
        self.codebooks = nn.ModuleList(nn.Embedding(codebook_size, width) for _ in range(n_codebooks))

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, width, T) -> codes int64 (B, K, T)."""
        x, codes = frames.transpose(1, 2), []
        for book in self.codebooks:
            rows = book.weight
            codes.append((2 * x @ rows.T - rows.square().sum(-1)).argmax(-1))
            x = x - book(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K, T) -> frames (B, width, T): the sum of what each codebook says."""
        return sum(book(codes[:, k]) for k, book in enumerate(self.codebooks)).transpose(1, 2)
