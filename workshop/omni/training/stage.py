"""What all stages share: a stream of items by number, clipped and reported gradients, a learning rate.

Step k takes the items k * batch, k * batch + 1, ... of an endless stream in which each is a function of its
number. A run that goes on after a kill therefore draws what it would have drawn: nothing is skipped, read
again or lost, and there is no cache.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.world.sentences import WORDS
from helpers.omni.configs import Config
from helpers.omni.files import part_file
from helpers.omni.weights import fresh_part, load_part, save_part
from helpers.support.errors import InputError
from workshop.training.loop import take_step

CONFIG = Config(WORDS)
BETAS = (0.9, 0.98)
WARM_UP = 100  # steps
LAST_RATE = 0.02  # of the highest, at the end


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the shape and the budget."""

    batch: int = 48
    rate: float = 1e-3
    decay: float = 0.05
    largest_gradient: float = 1.0
    check_items: int = 200
    seed: int = 0


class Stage:
    """What `workshop.training.loop` runs, for one part of the omni; subclasses know data and losses."""

    part: str
    needs: tuple[str, ...] = ()  # the parts that must have been trained before

    def __init__(
        self,
        recipe: Recipe,
        config: Config = CONFIG,
        bfloat16: bool = False,
        trained: Mapping[str, nn.Module] | None = None,
    ):
        """`bfloat16` multiplies matrices in that format. trained: the parts that this stage needs."""
        self.recipe, self.config, self.bfloat16 = recipe, config, bfloat16
        self.settings = asdict(recipe)
        self.trained = {part: trained[part].eval().requires_grad_(False) for part in self.needs}
        self.model = self.beginning().train()
        self.scaffold = self.beside().train()
        self.parameters = [*self.model.parameters(), *self.scaffold.parameters()]
        thick = [p for p in self.parameters if p.dim() > 1]
        thin = [p for p in self.parameters if p.dim() <= 1]
        groups = [{"params": thick, "weight_decay": recipe.decay}, {"params": thin, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=BETAS)

    def beginning(self) -> nn.Module:
        """What is trained, as it is before the first step."""
        return fresh_part(self.part, self.config, self.recipe.seed)

    def beside(self) -> nn.Module:
        """What is trained with the part and is not kept: it only teaches."""
        return nn.Module()

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        """Of the items with these numbers; their sum is what is minimised. rng: for what a step alters."""
        raise NotImplementedError

    def check(self) -> dict[str, float]:
        raise NotImplementedError

    def step(self, step: int, progress: float) -> dict[str, float]:
        numbers = range(step * self.recipe.batch, (step + 1) * self.recipe.batch)
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            losses = self.losses(numbers, np.random.default_rng((self.recipe.seed, step)))
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.largest_gradient)
        fall = LAST_RATE + (1 - LAST_RATE) * math.cos(math.pi / 2 * progress) ** 2
        take_step(self.optimizer, self.recipe.rate * min(1.0, (step + 1) / WARM_UP) * fall)
        return {name: loss.item() for name, loss in losses.items()} | {"gradient": norm.item()}

    def save(self, path: Path) -> None:
        """The part's file, under its own name, in the directory of `path`."""
        save_part(path.parent, self.part, self.model, self.config)

    def state_dict(self) -> dict:
        modules = {"model": self.model.state_dict(), "scaffold": self.scaffold.state_dict()}
        return modules | {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.scaffold.load_state_dict(state["scaffold"])
        self.optimizer.load_state_dict(state["optimizer"])


def trained_parts(directory: Path, parts: tuple[str, ...], config: Config = CONFIG) -> dict[str, nn.Module]:
    """What earlier stages left in a directory. Raises InputError where one has left nothing."""
    for part in parts:
        if not part_file(directory, part).is_file():
            raise InputError(f"there is no {part_file(directory, part)}; train that part first.")
    return {part: load_part(directory, part, config)[0] for part in parts}
