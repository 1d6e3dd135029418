"""What codec, voice and talker learn from: the world's sentences, said in the one voice that the omni has."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data.speech.voice import Speaker, Utterance, say
from helpers.layers.spectrogram import LogMel
from helpers.omni.configs import CODE_FRAME, MEL_HOP
from helpers.omni.ear import heard

VOICE = Speaker()
HOP = MEL_HOP * CODE_FRAME  # samples a code frame


class Calm(np.random.Generator):
    """Draws what lies in the middle: one says a word the same way each time, but for the noise of breath."""

    def uniform(self, low=0.0, high=1.0, size=None):
        return (low + high) / 2 if size is None else np.full(size, (low + high) / 2)

    def normal(self, loc=0.0, scale=1.0, size=None):
        return loc if size is None else np.full(size, float(loc))


def said(text: str, *key: int) -> Utterance:
    """In that voice; a sentence has another melody and other lengths for each key."""
    return say(text, VOICE, np.random.default_rng(key))


def said_calmly(text: str, *key: int) -> Utterance:
    """In that voice, with the same melody and the same lengths each time: no talker could guess another."""
    return say(text, VOICE, Calm(np.random.PCG64(np.random.SeedSequence(key))))


def n_frames(one: Utterance) -> int:
    """Code frames that hold all of it."""
    return -(-len(one.audio) // HOP)


def sounds(some: Sequence[Utterance], frames: int | None = None) -> Tensor:
    """(B, frames * HOP) float32, silence behind the shorter ones; frames None: as many as the longest has."""
    n = (frames or max(map(n_frames, some))) * HOP
    return torch.from_numpy(
        np.stack([np.pad(one.audio[:n], (0, max(0, n - len(one.audio)))) for one in some])
    )


@torch.no_grad()
def spectra(front: LogMel, some: Sequence[Utterance]) -> tuple[Tensor, Tensor]:
    """Log-mel (B, N_MELS, CODE_FRAME * T), and which of the T code frames are each one's own (B, T)."""
    audio = sounds(some)
    own = torch.arange(audio.shape[1] // HOP) < torch.tensor([n_frames(one) for one in some])[:, None]
    return heard(front, audio), own


def apart(one: Tensor, other: Tensor, own: Tensor) -> Tensor:
    """Mean absolute difference of two log-mels in the code frames that are somebody's own."""
    each = F.avg_pool1d((one - other).abs().mean(1, keepdim=True), CODE_FRAME)[:, 0]
    return each[own].mean()
