"""Stage D, first: the codec learns to say a spectrum in two codes a frame.

First it sees without codebooks, then they begin where its frames lie. Choosing a row has no gradient: the
straight-through estimator hands it one, and rows that nobody chooses any more move to where frames are
(`workshop.training.quantizing`). In three of ten items the first codebook speaks alone, so that it says the
most.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data.world.items import item
from helpers.omni.ear import front
from workshop.omni.training.ear import sentence
from workshop.omni.training.speech import apart, said, spectra
from workshop.omni.training.stage import Stage
from workshop.training.quantizing import Quantized, Revival, draw_depths, initialize, quantize

NAMES_FROM = 0.06  # of the run: when the codebooks begin
ALONE = 0.3  # share of items that use fewer codebooks than there are
COMMITMENT = 0.25  # of the loss that keeps frames near the rows
MEMORY, FADED = 30, 0.1  # of `Revival`: a run is short
FIRST_ITEMS = 40  # whose frames the codebooks begin from


class CodecStage(Stage):
    """What `workshop.training.loop` runs."""

    part = "codec"

    def __init__(self, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.front, self.revival = front(), Revival(self.model.quantizer, MEMORY, FADED)
        self.has_names = False
        self._used: Quantized | None = None

    def step(self, step: int, progress: float) -> dict[str, float]:
        generator = torch.Generator().manual_seed(step)
        if progress >= NAMES_FROM and not self.has_names:
            self._name(step * self.recipe.batch, generator)
        shown = super().step(step, progress)
        if self.has_names:
            self.revival.note(self._used, generator)
        return shown

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        mel, own = self._spoken(numbers)
        frames = self.model.encoder(mel)
        if not self.has_names:
            return {"mel": apart(self.model.decoder(frames), mel, own)}
        depths = draw_depths(len(mel), self.config.codec.n_codebooks, ALONE, rng)
        self._used = used = quantize(self.model.quantizer, frames, depths)
        return {
            "mel": apart(self.model.decoder(used.frames), mel, own), "codebook": used.codebook_loss,
            "commitment": COMMITMENT * used.commitment_loss,
        }  # fmt: skip

    def _spoken(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        seed = self.recipe.seed
        return spectra(self.front, [said(sentence(i, seed), 10, seed, i) for i in numbers])

    @torch.no_grad()
    def _name(self, first: int, generator: torch.Generator) -> None:
        mel, own = self._spoken(range(first, first + FIRST_ITEMS))
        initialize(self.model.quantizer, self.model.encoder(mel).transpose(1, 2)[own], generator)
        self.has_names = True

    def state_dict(self) -> dict:
        return super().state_dict() | {"uses": self.revival.uses, "has_names": self.has_names}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.revival.uses, self.has_names = state["uses"], state["has_names"]

    @cached_property
    def _held_out(self) -> tuple[Tensor, Tensor]:
        answers = [item("valid", i).answer for i in range(self.recipe.check_items)]
        return spectra(self.front, [said(text, 11, i) for i, text in enumerate(answers)])

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Of held-out answers: how far the rebuilt log-mel is off, and how much of each book is in use.

        There is no "score" while there are no codebooks.
        """
        self.model.eval()
        mel, own = self._held_out
        frames = self.model.encoder(mel)
        rows = {"unquantized": apart(self.model.decoder(frames), mel, own).item()}
        if not self.has_names:
            return rows
        codes = self.model.quantizer.encode(frames)
        rows["rebuilt"] = apart(self.model.decode(codes), mel, own).item()
        for k, book in enumerate(codes.unbind(1)):
            shares = torch.bincount(book[own], minlength=self.config.codec.codebook_size) / own.sum()
            rows[f"in_use_{k}"] = (shares > 0).float().mean().item()
            rows[f"perplexity_{k}"] = torch.special.entr(shares).sum().exp().item()
        return rows | {"score": rows["rebuilt"]}
