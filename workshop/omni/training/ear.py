"""Stage B: the ear learns to spell what it hears, by CTC (Graves et al. 2006).

Three in ten sentences are words at random: it cannot guess what it has not heard from how questions go.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data.speech.voice import Speaker, say
from data.world.items import item
from data.world.sentences import WORDS
from helpers.omni.configs import CODE_FRAME, MEL_HOP
from helpers.omni.ear import front, heard
from helpers.omni.spec import LETTERS, collapsed
from workshop.omni.training.stage import Stage
from workshop.scoring.listener import word_error_rate

SALAD = 0.3  # share of sentences that are words at random
MOST_SILENCE = 0.3  # seconds before and behind
BANDS, FRAMES = 12, 15  # at most so many of the log-mel are blanked at once (Park et al. 2019)
CHECKED = {"question": 0, "answer": 1}


def sentence(i: int, seed: int) -> str:
    """Sentence i: a question, an answer or a salad."""
    rng = np.random.default_rng((6, seed, i))
    if rng.random() < SALAD:
        return " ".join(WORDS[k] for k in rng.integers(len(WORDS), size=rng.integers(2, 9)))
    one = item("train", i, seed)
    return one.question if rng.random() < 0.5 else one.answer


def spoken(text: str, rng: np.random.Generator) -> np.ndarray:
    """By somebody new, somewhere in silence that is not quite silent, at some level: float32 (N,)."""
    audio = say(text, Speaker.born(rng), rng).audio
    before, after = (rng.uniform(0, MOST_SILENCE, 2) * 16000).astype(int)
    audio = np.pad(audio, (before, after)) * 10 ** (rng.uniform(-15, 3) / 20)
    return (audio + 10 ** rng.uniform(-4, -2.3) * rng.standard_normal(len(audio))).astype(np.float32)


def together(sounds: Sequence[np.ndarray]) -> Tensor:
    """(B, N), silence behind the shorter ones."""
    longest = max(map(len, sounds))
    return torch.from_numpy(np.stack([np.pad(sound, (0, longest - len(sound))) for sound in sounds]))


def n_frames(n_samples: int) -> int:
    """The ear's frames of a sound."""
    return -(-(n_samples // MEL_HOP) // CODE_FRAME)


def blanked(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Log-mel (B, n_mels, T) with a stretch of bands and one of time at its mean in each item."""
    mel, (_, n_mels, n_times) = mel.clone(), mel.shape
    for one in mel:
        mean = one.mean()
        band, width = rng.integers(n_mels), rng.integers(BANDS + 1)
        time, length = rng.integers(n_times), rng.integers(FRAMES + 1)
        one[band : band + width] = mean
        one[:, time : time + length] = mean
    return mel


class EarStage(Stage):
    """What `workshop.training.loop` runs."""

    part = "ear"

    def __init__(self, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.front = front()

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        seed = self.recipe.seed
        texts = [sentence(i, seed) for i in numbers]
        sounds = [spoken(text, np.random.default_rng((7, seed, i))) for i, text in zip(numbers, texts)]
        return self._ctc(texts, sounds, rng)

    def _ctc(
        self, texts: Sequence[str], sounds: Sequence[np.ndarray], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            mel = blanked(heard(self.front, together(sounds)), rng)
        letters = [[1 + LETTERS.index(letter) for letter in text] for text in texts]
        log_probabilities = self.model(mel)[1].float().log_softmax(-1).transpose(0, 1)
        loss = F.ctc_loss(
            log_probabilities,
            torch.tensor([one for text in letters for one in text]),
            torch.tensor([n_frames(len(sound)) for sound in sounds]),
            torch.tensor([len(text) for text in letters]),
            zero_infinity=True,
        )
        return {"ctc": loss}

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Word errors in held-out questions and answers, each by a new voice; "score" is their mean."""
        self.model.eval()
        rows = {}
        for what, seed in CHECKED.items():
            texts = [getattr(item("valid", i), what) for i in range(self.recipe.check_items)]
            sounds = [spoken(text, np.random.default_rng((8, seed, i))) for i, text in enumerate(texts)]
            rows[f"{what}_wer"] = self._wer(texts, sounds)
        return rows | {"score": sum(rows.values()) / len(rows)}

    def _wer(self, texts: Sequence[str], sounds: Sequence[np.ndarray]) -> float:
        """Word errors, each sound heard alone."""
        return word_error_rate(
            (text.split(), self._spell(sound).split()) for text, sound in zip(texts, sounds)
        )

    def _spell(self, sound: np.ndarray) -> str:
        """What it hears in one sound, as `pipeline.hear` would tell it."""
        letters = self.model(heard(self.front, torch.from_numpy(sound)[None]))[1]
        return collapsed(letters[0].argmax(-1).tolist())
