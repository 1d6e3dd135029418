"""The models as a program might have them that nobody meant to export: the "author's program" of notebook 08.

Both have a constant that depends on the length, stored for one length; both take pieces of that length only.
Names, normalisation and the low-rank pair's alpha are as awkward as they are in other people's files.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workshop.follower.tones import FLOOR, LOWEST, MEL, N_BANDS, N_MELS, N_PITCHES

WIDTH, N_HEADS, HIDDEN, FRAMES = 64, 4, 128, 100
RANK, ALPHA = 4, 16
TAP_WIDTH, TAP_FRAMES, FORGET = 16, 64, 0.75


class LowRank(nn.Linear):
    """W x + (alpha / rank) B A x, without bias (Hu et al. 2021). B starts at zero."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)
        self.lora_A = nn.Parameter(torch.randn(RANK, inputs) / inputs**0.5)
        self.lora_B = nn.Parameter(torch.zeros(outputs, RANK))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight + ALPHA / RANK * (self.lora_B @ self.lora_A))


class NormedConv(nn.Module):
    """A convolution whose weight is a length times a direction (weight norm, Salimans & Kingma 2016)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight_v = nn.Parameter(torch.randn(outputs, inputs, 3) / (3 * inputs) ** 0.5)
        self.weight_g = nn.Parameter(self.weight_v.detach().flatten(1).norm(dim=1)[:, None, None])
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        length = self.weight_v.flatten(1).norm(dim=1)[:, None, None]
        return F.conv1d(x, self.weight_g * self.weight_v / length, self.bias, padding=1)


class Attention(nn.Module):
    """Every frame looks at every other, the less the farther: ALiBi (Press et al. 2022), in both directions.

    x: (B, FRAMES, WIDTH) -> the same.
    """

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        time = torch.arange(FRAMES)
        slopes = 2.0 ** -torch.arange(1, N_HEADS + 1)
        self.register_buffer("bias", -slopes[:, None, None] * (time[:, None] - time).abs())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (N_HEADS, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        shares = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + self.bias).softmax(-1)
        return self.o((shares @ v).transpose(1, 2).flatten(2))


class Follower(nn.Module):
    """Log-mel frames (B, FRAMES, N_MELS) -> which pitch (B, FRAMES, N_PITCHES), and is there one (B, FRAMES).

    Both are logits; the first pitch is the MIDI note LOWEST.
    """

    def __init__(self, mean: float, deviation: float):
        super().__init__()
        self.mean, self.deviation = mean, deviation  # not in the state dict
        self.stem = nn.Module()
        self.stem.conv = NormedConv(N_MELS, WIDTH)
        self.mixer = nn.Module()
        self.mixer.att = Attention()
        self.mixer.mlp = nn.ModuleList([nn.Linear(WIDTH, HIDDEN, bias=False), LowRank(HIDDEN, WIDTH)])
        self.mixer.ln = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])  # of the second part first
        self.out = nn.Module()
        self.out.f0, self.out.vuv = nn.Linear(WIDTH, N_PITCHES), nn.Linear(WIDTH, 1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        made = self.steps(mel)
        return made["pitch"], made["voicing"][..., 0]

    def steps(self, mel: Tensor) -> dict[str, Tensor]:
        """What each part makes, in order: the arrays that the notebook compares with."""
        x = ((mel - self.mean) / self.deviation).transpose(1, 2)
        front = F.gelu(self.stem.conv(x)).transpose(1, 2)
        attention = front + self.mixer.att(self.mixer.ln[1](front))
        hidden = F.gelu(self.mixer.mlp[0](self.mixer.ln[0](attention)))
        feed_forward = attention + self.mixer.mlp[1](hidden)
        pitch, voicing = self.out.f0(feed_forward), self.out.vuv(feed_forward)
        return {
            "front": front, "attention": attention, "feed_forward": feed_forward,
            "pitch": pitch, "voicing": voicing,
        }  # fmt: skip

    def metadata(self) -> dict:
        return {
            "kwargs": {"width": WIDTH, "heads": N_HEADS, "hidden": HIDDEN, "kernel": 3, "frames": FRAMES},
            "features": {**MEL, "n_mels": N_MELS},
            "floor": FLOOR,
            "lowest_note": LOWEST,
            "lora": {"rank": RANK, "alpha": ALPHA},
            "input": {"mean": self.mean, "std": self.deviation},
        }


class Tapper(nn.Module):
    """Log bands (TAP_FRAMES, B, N_BANDS), time first -> (TAP_FRAMES, B): begins a note, sounds one?

    Each frame is compared with what came before it: a running mean that forgets a quarter a frame.
    """

    def __init__(self, level: Tensor):
        super().__init__()
        self.register_buffer("level", level)  # (N_BANDS,): the mean of each band
        self.inp = nn.Linear(N_BANDS, TAP_WIDTH, bias=False)
        gap = torch.arange(TAP_FRAMES)[:, None] - torch.arange(TAP_FRAMES)
        past = (1 - FORGET) * FORGET ** (gap.clamp(min=1) - 1.0)
        self.register_buffer("past", torch.where(gap > 0, past, 0.0))
        self.hid = nn.Linear(2 * TAP_WIDTH, TAP_WIDTH)
        self.on, self.hold = nn.Linear(TAP_WIDTH, 1), nn.Linear(TAP_WIDTH, 1)

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        made = self.steps(bands)
        return made["begins"], made["sounds"]

    def steps(self, bands: Tensor) -> dict[str, Tensor]:
        """What each part makes, in order."""
        mixed = self.inp(bands - self.level)
        news = mixed - torch.einsum("ts,sbw->tbw", self.past, mixed)
        hidden = F.relu(self.hid(torch.cat([mixed, news], dim=-1)))
        return {
            "mixed": mixed, "news": news, "hidden": hidden,
            "begins": self.on(hidden)[..., 0], "sounds": self.hold(hidden)[..., 0],
        }  # fmt: skip

    def metadata(self) -> dict:
        return {
            "kwargs": {"width": TAP_WIDTH, "frames": TAP_FRAMES},
            "features": {**MEL, "n_mels": N_BANDS},
            "floor": FLOOR,
        }
