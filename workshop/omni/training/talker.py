"""Stage D, last: the talker learns to say words, frame by frame, and when each is over.

The voice's own times tell which word each frame belongs to. What the talker reads are the trained thinker's
states, so this stage comes after all others. Half of its sentences come out of a conversation, a quarter
without one, and a quarter are words at random: how a word is said should not depend on what was asked.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data.speech.voice import Utterance
from data.world.items import item
from data.world.sentences import WORDS
from helpers.omni.ear import front
from helpers.omni.spec import ANSWER, END, N_SPECIAL
from helpers.omni.talker import Spoken
from workshop.omni.training.eye import stacked
from workshop.omni.training.speech import HOP, n_frames, said_calmly, spectra
from workshop.omni.training.stage import Stage
from workshop.omni.training.thinker import IGNORED, numbered, padded
from workshop.omni.training.together import Sample, question, read

CONTEXTS = ("talk", "bare", "talk", "salad")
SALADS = 2, 9  # words at random: at least, and fewer than
MISHEARD = 0.1  # share of frames before that are random in training: later it hears its own mistakes
MOST_FRAMES = 100  # of a sentence in training: four seconds


class Speech(NamedTuple):
    """A batch of sentences, T frames."""

    words: Tensor  # int64 (B, T, 2): of each frame this word and the next
    states: Tensor  # (B, T, 2, width of the thinker)
    codes: Tensor  # int64 (B, T, K)
    over: Tensor  # (B, T): 1 in a word's last frame
    own: Tensor  # (B, T): whether the sentence has such a frame


class TalkerStage(Stage):
    """What `workshop.training.loop` runs."""

    part = "talker"
    needs = ("thinker", "eye", "codec")

    def __init__(self, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.front = front()

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        seed = self.recipe.seed
        speech = self._speech([self._sample(i) for i in numbers], [(16, seed, i) for i in numbers])
        speech = Speech(*(one[:, :MOST_FRAMES] for one in speech))
        wrong = torch.from_numpy(rng.random(speech.own.shape) < MISHEARD)[..., None]
        others = torch.from_numpy(rng.integers(self.config.codec.codebook_size, size=speech.codes.shape))
        return losses_of(self._say(speech, torch.where(wrong, others, speech.codes)), speech)

    def _sample(self, i: int) -> Sample:
        words, seed, context = self.config.words, self.recipe.seed, CONTEXTS[i % len(CONTEXTS)]
        if context == "salad":
            rng = np.random.default_rng((17, seed, i))
            text = " ".join(WORDS[k] for k in rng.integers(len(WORDS), size=rng.integers(*SALADS)))
            return Sample([ANSWER], [*numbered(words, text), END])
        asked = question(words, item("train", i, seed))
        return asked if context == "talk" else Sample([ANSWER], asked.answer)

    @torch.no_grad()
    def _speech(self, samples: Sequence[Sample], keys: Sequence[tuple[int, ...]]) -> Speech:
        """What they answer, said, and what the thinker has in mind at each word."""
        batch = padded([(one.prompt, one.answer) for one in samples])
        pictures = [one.picture for one in samples if one.picture is not None]
        seen = self.trained["eye"](stacked(pictures)).places if pictures else None
        _, states = read(self.trained["thinker"], batch, seen, [])
        # A word stands where the one behind it is asked for; the first target is asked for by ANSWER.
        of_words = [row[asked][1:] for row, asked in zip(states.float(), batch.targets != IGNORED)]
        words = [one.answer[:-1] for one in samples]
        texts = [" ".join(self.config.words[word - N_SPECIAL] for word in one) for one in words]
        some = [said_calmly(text, *key) for text, key in zip(texts, keys)]
        mel, own = spectra(self.front, some)
        codes = self.trained["codec"].encode(mel).transpose(1, 2)
        n = own.shape[1]
        places = [word_of_frames(one) for one in some]
        return Speech(
            torch.stack([pairs(torch.tensor(one), at, n, END) for one, at in zip(words, places)]),
            torch.stack([pairs(one, at, n, 0.0) for one, at in zip(of_words, places)]),
            codes,
            torch.stack([F.pad(over(at), (0, n - len(at))) for at in places]),
            own,
        )

    def _say(self, speech: Speech, heard: Tensor) -> Spoken:
        """What it says if it has heard these codes (B, T, K) of its own before."""
        first = torch.full_like(heard[:, :1], self.config.codec.codebook_size)
        before = torch.cat([first, heard[:, :-1]], dim=1)
        return self.model(speech.words, speech.states, before, codes=speech.codes)

    @cached_property
    def _held_out(self) -> Speech:
        asked = [question(self.config.words, item("valid", i)) for i in range(self.recipe.check_items)]
        return self._speech(asked, [(11, i) for i in range(len(asked))])

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Of held-out answers, each frame behind the right ones: losses, and shares of what is right."""
        self.model.eval()
        speech = self._held_out
        said = self._say(speech, speech.codes)
        losses = {f"held_out_{name}": loss.item() for name, loss in losses_of(said, speech).items()}
        right = (said.logits.argmax(-1) == speech.codes)[speech.own].float().mean(0)
        rows = {f"right_{k}": one.item() for k, one in enumerate(right)}
        ends = ((said.over > 0) == (speech.over > 0))[speech.own].float().mean().item()
        return losses | rows | {"right_ends": ends, "score": sum(losses.values())}


def losses_of(said: Spoken, speech: Speech) -> dict[str, Tensor]:
    """Cross-entropies of the codes, a mean over books, and of the words' ends."""
    own = speech.own
    codes = F.cross_entropy(said.logits[own].float().flatten(0, 1), speech.codes[own].flatten())
    return {
        "codes": codes,
        "ends": F.binary_cross_entropy_with_logits(said.over[own].float(), speech.over[own]),
    }


def word_of_frames(one: Utterance) -> Tensor:
    """Which word each code frame says, int64 (T,): the last that has begun in the middle of the frame.

    Silence in front belongs to the first word, silence behind to the last.
    """
    middles = (torch.arange(n_frames(one)) + 0.5) * HOP
    starts = torch.tensor([float(word.start) for word in one.words])
    return (torch.searchsorted(starts, middles, right=True) - 1).clamp(min=0)


def over(at: Tensor) -> Tensor:
    """1 in the last frame of each word, else 0."""
    return F.pad((at[1:] != at[:-1]).float(), (0, 1), value=1.0)


def pairs(some: Tensor, at: Tensor, n: int, end: float) -> Tensor:
    """Of each of n frames what belongs to its word and what to the next: (W, ...) -> (n, 2, ...).

    Behind the last word stands `end`, and behind the sentence too.
    """
    both = torch.cat([some, torch.full_like(some[:1], end)])
    at = F.pad(at, (0, n - len(at)), value=len(some))
    return torch.stack([both[at], both[(at + 1).clamp(max=len(some))]], dim=1)
