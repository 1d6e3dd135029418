"""Stage D, second: the voice learns to make sound of what is left of a spectrum once the codec has coded it.

A spectrum tells no phases, so it is asked for magnitudes: in mel bands, where all that is heard counts, and
line by line, each through windows of several lengths. (Siuzdak 2023, "Vocos"; Yamamoto et al. 2020,
"Parallel WaveGAN".)
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data.speech.voice import RATE, Utterance
from data.world.items import item
from helpers.omni.configs import CODE_FRAME
from helpers.omni.ear import front
from helpers.omni.voice import back
from workshop.omni.training.ear import sentence
from workshop.omni.training.speech import HOP, said, sounds, spectra
from workshop.omni.training.stage import Stage
from workshop.training.losses import MultiScaleMel
from workshop.training.spectra import LinearSpectra

FRAMES = 32  # code frames of each item that are made into sound: 1.28 s
WINDOWS = (256, 512, 1024, 2048)
LINES, CONVERGENCE = 0.5, 0.5  # weights, beside 1 of the mel bands


class VoiceStage(Stage):
    """What `workshop.training.loop` runs."""

    part = "voice"
    needs = ("codec",)

    def __init__(self, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.front, self.back = front(), back()
        self.bands, self.lines = MultiScaleMel(RATE), LinearSpectra(WINDOWS)

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        seed = self.recipe.seed
        some = [said(sentence(i, seed), 12, seed, i) for i in numbers]
        coded, audio = self._coded(some)
        coded, audio = cut(coded, audio, rng)
        made = self._sounded(coded)
        lines = self.lines(made, audio)
        return {
            "bands": self.bands(made, audio).mean(), "lines": LINES * lines.log.mean(),
            "convergence": CONVERGENCE * lines.convergence.mean(),
        }  # fmt: skip

    @torch.no_grad()
    def _coded(self, some: Sequence[Utterance]) -> tuple[Tensor, Tensor]:
        """What the codec leaves of their log-mels, and their sound (B, 1, N)."""
        codec = self.trained["codec"]
        return codec.decode(codec.encode(spectra(self.front, some)[0])), sounds(some)[:, None]

    def _sounded(self, mel: Tensor) -> Tensor:
        """Log-mel (B, N_MELS, M) -> sound (B, 1, N)."""
        real, imag = self.model(mel)
        return self.back(real.float(), imag.float())[:, None]

    @cached_property
    def _held_out(self) -> list[tuple[Tensor, Tensor]]:
        answers = [item("valid", i).answer for i in range(self.recipe.check_items)]
        return [self._coded([said(text, 11, i)]) for i, text in enumerate(answers)]

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """How far the sound of held-out answers, said by codes, is from the true one: both distances."""
        self.model.eval()
        made = [(self._sounded(coded), audio) for coded, audio in self._held_out]
        bands = float(np.mean([self.bands(*pair).item() for pair in made]))
        lines = float(np.mean([self.lines(*pair).log.item() for pair in made]))
        return {"held_out_bands": bands, "held_out_lines": lines, "score": bands + LINES * lines}


def cut(coded: Tensor, audio: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same FRAMES code frames of log-mel and sound, from another place in each item."""
    n = min(FRAMES, audio.shape[-1] // HOP)
    starts = rng.integers(audio.shape[-1] // HOP - n + 1, size=len(audio))
    mels = [one[:, CODE_FRAME * first :][:, : CODE_FRAME * n] for one, first in zip(coded, starts)]
    parts = [one[:, HOP * first :][:, : HOP * n] for one, first in zip(audio, starts)]
    return torch.stack(mels), torch.stack(parts)
