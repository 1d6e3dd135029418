"""A fine-tune that fits on a floppy disk: two thin matrices beside each projection (LoRA, Hu et al. 2021)."""

import math
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from helpers import checkpoints
from helpers.vampnet.transformer import VampNet
from helpers.vampnet.weights import LORA_ALPHA, transfer_vampnet
from workshop.vampnet.training.saving import save_lora
from workshop.vampnet.training.tokens import Tokens
from workshop.vampnet.training.transformer import BETAS, Recipe, TransformerTraining

ADAPTED = ("w_qs", "w_vs", "fc", "w_1", "w_2")  # as in VampNet: every projection but the keys'


class LowRank(nn.Module):
    """W -> W + (alpha / rank) B A. A starts random and B at zero, so the model starts as it was."""

    def __init__(self, rows: int, columns: int, rank: int):
        super().__init__()
        self.scale = LORA_ALPHA / rank
        self.lora_A = nn.Parameter(torch.empty(rank, columns))
        self.lora_B = nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.lora_B @ self.lora_A)


def adapt(model: VampNet, rank: int) -> list[nn.Parameter]:
    """Freeze the model, lay a `LowRank` over each projection that may have one, return what is to learn."""
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if name.rsplit(".", 1)[-1] in ADAPTED:
            parametrize.register_parametrization(module, "weight", LowRank(*module.weight.shape, rank))
            module.parametrizations.weight.original.requires_grad_(False)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


class LoraTraining(TransformerTraining):
    """The overlay of one transformer, on the music of one style: what `workshop.training.loop` runs."""

    def __init__(
        self,
        recipe: Recipe,
        rank: int,
        directory: str | os.PathLike,
        name: str,
        train: Tokens,
        valid: Tokens,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        bfloat16: bool = False,
    ):
        """`directory` holds the checkpoints; `name` is the transformer's, "coarse" or "c2f"."""
        codec, base = (checkpoints.read(Path(directory) / f"{part}.pth") for part in ("codec", name))
        model, _ = transfer_vampnet(base, codec)
        torch.manual_seed(recipe.seed)
        learned = adapt(model, rank)
        self._prepare(recipe, model, train, valid, device, dtype, bfloat16)
        self.settings |= {"rank": rank, "codec": codec.sha256(), "base": base.sha256()}
        self.optimizers = [
            torch.optim.Adam([{"params": learned, "full_rate": recipe.rate}], recipe.rate, betas=BETAS)
        ]

    def save(self, path: Path) -> None:
        save_lora(path, self.model, self.dtype)
