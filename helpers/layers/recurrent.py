"""A recurrent layer, whose state a caller may carry along."""

from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # a recurrent layer's output and cell, each (layers, B, width)


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
