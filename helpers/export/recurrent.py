"""A recurrent layer as ONNX's operator, at any length."""

import copy

import torch
from torch import Tensor, nn

from helpers.layers import State


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


def with_onnx_lstm(module: nn.Module) -> nn.Module:
    """A copy whose recurrent layers are ONNX's; all other weights are shared."""
    if isinstance(module, nn.LSTM):
        return OnnxLSTM(module)
    other = copy.copy(module)
    other._modules = {name: with_onnx_lstm(part) for name, part in module.named_children()}
    return other
