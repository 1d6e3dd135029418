"""What a smaller graph lost, measured against the float32 model.

The ear hears the course's clips, the eye and the thinker get pictures and questions at random, the talker
says what the float32 thinker answers them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from helpers import audio as sound
from helpers.audio.clips import load_clips
from helpers.omni.limits import limits
from helpers.omni.pipeline import Pipeline, Thought
from helpers.omni.spec import END, N_SPECIAL
from helpers.runtime.cache import Cache
from helpers.verify import AGREEMENT, AT_LEAST, SNR, Finding, loss_of, snr_db

SECONDS = 3.0  # of each clip
QUESTIONS, QUESTION_WORDS = 12, 5
FRAMES = 60  # of codes at random


class Asked(NamedTuple):
    """A question at random: the places before and in the answer, and which words those are (L,), END last."""

    ids: np.ndarray
    soft: np.ndarray
    answer: np.ndarray


def findings(precisions: dict[str, str], in_float: Pipeline, small: Pipeline) -> Iterator[Finding]:
    """Each graph below float32 beside its limits."""
    for name, precision in precisions.items():
        allowed = limits(name, precision)
        measures = MEASURES[name](in_float, small) if allowed else {}
        for measure, limit in allowed.items():
            yield Finding(name, precision, measure, measures[measure], limit, measure in AT_LEAST)


def hearing_lost(in_float: Pipeline, small: Pipeline) -> dict[str, float]:
    clips = [(sound.mono(clip.audio)[0], clip.sample_rate) for clip in load_clips(longest=SECONDS)]
    heard = [sound.resample(audio, rate, in_float.sample_rate) for audio, rate in clips]
    return {
        SNR: snr_db(*(lambda audio, one=one: one.graphs["ear"](audio)[0] for one in (small, in_float)), heard)
    }


def sight_lost(in_float: Pipeline, small: Pipeline) -> dict[str, float]:
    size = in_float.spec.picture_size
    pictures = np.random.default_rng(0).random((QUESTIONS, 1, 3, size, size), np.float32)
    eyes = (lambda picture, one=one: one.graphs["eye"](picture)[0] for one in (small, in_float))
    return {SNR: snr_db(*eyes, pictures)}


def thought_lost(in_float: Pipeline, small: Pipeline) -> dict[str, float]:
    def places() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for asked in questions(in_float):
            n = len(asked.answer)
            whole, other = (one.step(asked.ids, asked.soft)[0][0, -n:] for one in (in_float, small))
            yield whole, other, asked.answer

    return loss_of(places()).measures


def talk_lost(in_float: Pipeline, small: Pipeline) -> dict[str, float]:
    """Of the first book, all frames before given: the later ones are other questions where it differs."""
    rng, spec, same = np.random.default_rng(0), in_float.spec, []
    nothing = Cache.empty(1, spec.talker_layers, spec.talker_shared, spec.talker_size)
    for asked in questions(in_float):
        _, states, _ = in_float.step(asked.ids, asked.soft)
        n = len(asked.answer) - 1
        thoughts = [Thought(int(word), states[:, i - n :][:, :1]) for i, word in enumerate(asked.answer[:-1])]
        ends = [*thoughts[1:], Thought(END, np.zeros_like(states[:, :1]))]
        at = np.sort(rng.integers(0, n, FRAMES))
        words = np.array([[[thoughts[i].word, ends[i].word] for i in at]])
        both = np.stack(
            [np.concatenate([one[i].state for i in at], axis=1) for one in (thoughts, ends)], axis=2
        )
        before = rng.integers(0, spec.codebook_size, (1, FRAMES, spec.n_codebooks))
        given = (words, both, before, np.array(0), *nothing.held)
        codes, others = (one.graphs["talker"](*given)[0][..., 0] for one in (in_float, small))
        same.append((codes == others).mean())
    return {AGREEMENT: float(np.mean(same))}


def voice_lost(in_float: Pipeline, small: Pipeline) -> dict[str, float]:
    spec = in_float.spec
    codes = np.random.default_rng(0).integers(0, spec.codebook_size, (3, 1, spec.n_codebooks, FRAMES))
    return {SNR: snr_db(small.graphs["voice"], in_float.graphs["voice"], codes)}


def questions(pipeline: Pipeline) -> Iterator[Asked]:
    """Of words and pictures at random, every second with a picture; and what the model answers."""
    rng, spec = np.random.default_rng(0), pipeline.spec
    for i in range(QUESTIONS):
        text = " ".join(spec.words[k] for k in rng.integers(len(spec.words), size=QUESTION_WORDS))
        picture = rng.integers(0, 256, (spec.picture_size, spec.picture_size, 3), np.uint8)
        seen = pipeline.see(picture)["places"] if i % 2 else None
        ids, soft = pipeline.prompt(pipeline.read(text), seen)
        answer = [thought.word for thought in pipeline.think(ids, soft)] or [N_SPECIAL]
        given = np.array([answer])
        soft = np.concatenate([soft, np.zeros((1, len(answer), spec.width), np.float32)], axis=1)
        yield Asked(np.concatenate([ids, given], axis=1), soft, np.array([*answer, END]))


MEASURES = {
    "ear": hearing_lost, "eye": sight_lost, "thinker": thought_lost, "talker": talk_lost, "voice": voice_lost,
}  # fmt: skip
