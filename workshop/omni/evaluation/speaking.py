"""Codec, talker and voice: what an independent listener understands, and how near the sound is."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from data.world.items import Item
from helpers.audio.griffin_lim import from_mel, griffin_lim
from helpers.omni.configs import CODE_FRAME, MEL_HOP
from helpers.omni.ear import MIDDLE, SPREAD, heard
from helpers.omni.pipeline import Pipeline
from helpers.omni.weights import Models
from workshop.omni.asked import items, typed
from workshop.omni.evaluation.rows import AT_LEAST, AT_MOST, Row, alone, errors, shares
from workshop.omni.training.speech import said_calmly, sounds
from workshop.scoring.listener import Listener, word_errors
from workshop.scoring.statistics import Score, difference, score

HOP = MEL_HOP * CODE_FRAME


def sentences(count: int) -> list[Item]:
    """Items whose answers are about combinations and numbers that nobody has said in training."""
    found = items("unseen", 4 * count)
    by_answer = {one.answer: one for one in found}
    return list(by_answer.values())[:count]


def misheard(listener: Listener, texts: Sequence[str], audio: Sequence[np.ndarray]) -> Score:
    """Word errors of the listener, in per cent."""
    counts = [
        (word_errors(text.split(), listener(one)), len(text.split())) for text, one in zip(texts, audio)
    ]
    return errors(counts)


def talker_rows(pipeline: Pipeline, listener: Listener, some: Sequence[Item]) -> Iterator[Row]:
    """The right answers, said from what the thinker has in mind at each word."""
    spoken, ends = [], []
    for one in some:
        audio, ended = said(pipeline, one)
        spoken.append(audio)
        ends.append(ended)
    found = misheard(listener, [one.answer for one in some], spoken)
    yield Row("talker: word errors (%)", "unseen sentences", found, (AT_MOST, 5.0))
    yield Row("talker: every word ends by itself (%)", "unseen sentences", shares(ends), (AT_LEAST, 100.0))


def said(pipeline: Pipeline, one: Item) -> tuple[np.ndarray, bool]:
    """Its answer aloud, and whether the talker ended every word before it had to."""
    question, ends = pipeline.take_in(**typed(one).given), []
    other = pipeline.guessing()
    other.graphs = {**pipeline.graphs, "talker": _noting(pipeline.graphs["talker"], ends)}
    words = one.answer.split()
    codes = list(other.talk(other.told(question.ids, question.soft, words)))
    return pipeline.sound(np.concatenate(codes, axis=2)), sum(ends) == len(words)


def _noting(talker: Callable, ends: list[bool]) -> Callable:
    def noted(*given: np.ndarray) -> tuple[np.ndarray, ...]:
        made = talker(*given)
        ends.append(bool(made[1][0, 0] > 0))
        return made

    return noted


def voice_rows(models: Models, pipeline: Pipeline, listener: Listener, some: Sequence[Item]) -> Iterator[Row]:
    """Codes in use; what neural voice and Griffin-Lim make of the same codes, beside the sound itself."""
    texts = [one.answer for one in some]
    originals = [said_calmly(text, 23, i) for i, text in enumerate(texts)]
    whole = [sounds([one]) for one in originals]
    mels = [heard(models.front, one) for one in whole]
    codes = [models.codec.encode(one) for one in mels]
    size = models.config.codec.codebook_size
    for k in range(models.config.codec.n_codebooks):
        used = len({int(code) for one in codes for code in one[0, k]})
        yield Row("codes in use (%)", f"book {k + 1}", alone(100 * used / size), (AT_LEAST, 95.0))
    versions = {
        "the sound itself": [one[0].numpy() for one in whole],
        "Griffin-Lim": [by_griffin_lim(models, one) for one in codes],
        "neural voice": [pipeline.sound(one.numpy()) for one in codes],
    }
    wrong = {name: misheard(listener, texts, made) for name, made in versions.items()}
    apart = {name: [distance(models, one, mel) for one, mel in zip(made, mels)]
             for name, made in versions.items() if name != "the sound itself"}  # fmt: skip
    for name, found in wrong.items():
        most = (AT_MOST, wrong["Griffin-Lim"].mean) if name == "neural voice" else None
        yield Row("word errors (%)", name, found, most)
    for name, found in apart.items():
        yield Row("log-mel distance (dB)", name, score(found))
    nearer = difference(apart["neural voice"], apart["Griffin-Lim"])
    yield Row("log-mel distance (dB)", "neural voice, against Griffin-Lim", nearer, (AT_MOST, 0.0))


def by_griffin_lim(models: Models, codes: torch.Tensor) -> np.ndarray:
    """Codes (1, K, T) -> sound (T * HOP,), by way of the codec's own log-mel."""
    mel = models.codec.decode(codes)[0].double().numpy()
    mel = np.pad(mel, ((0, 0), (0, 1)), mode="edge")  # one spectrum more than there are hops
    power = 10 ** ((mel * SPREAD + MIDDLE) / 10)
    return griffin_lim(from_mel(power, models.front.mel.double().numpy()), MEL_HOP)


def distance(models: Models, audio: np.ndarray, mel: torch.Tensor) -> float:
    """Mean absolute difference of a sound's log-mel from this one, in decibels."""
    made = heard(models.front, torch.from_numpy(audio)[None])
    return float(SPREAD * (made - mel).abs().mean())
