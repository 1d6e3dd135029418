"""How far one sound is from another: what the codec is trained on, and what it is scored by."""

from torch import Tensor, nn

from helpers.audio.distance import LogMel

SCALES = ((512, 40), (1024, 80), (2048, 160))  # samples in a window, mel bands


class MultiScaleMel(nn.Module):
    """The mean of log-mel differences seen through windows of several lengths. Two (B, 1, N) -> (B,).

    Short windows see when something happens, long ones at which pitch.
    """

    def __init__(self, sample_rate: int):
        super().__init__()
        self.scales = nn.ModuleList(LogMel(sample_rate, n_fft, n_fft // 4, mels) for n_fft, mels in SCALES)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return sum(scale(one, other) for scale in self.scales) / len(self.scales)
