"""Ear, eye and thinker: what is heard, read, seen and answered."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from data.speech.voice import RATE
from data.world.items import Item, signpost
from data.world.sentences import GUESSABLE, KINDS
from helpers.omni.pipeline import Pipeline
from workshop.omni.asked import START, Asked, aloud, considered, items, typed
from workshop.omni.evaluation.rows import AT_LEAST, AT_MOST, Row, errors, shares
from workshop.omni.training.ear import spoken
from workshop.omni.training.eye import digits_of
from workshop.scoring.listener import word_errors
from workshop.scoring.statistics import difference

SPLITS = {"seen combinations": "test", "unseen combinations": "unseen"}
SIGNPOSTS = 2  # the seed of pictures that nobody has practised or been checked by
FROM_THE_PICTURE = [kind for kind in KINDS if kind not in GUESSABLE]


def hearing_rows(pipeline: Pipeline, count: int) -> Iterator[Row]:
    """Word errors of the ear's letters, as they are: nothing is snapped to the words there are."""
    for what, most in (("question", 2.0), ("answer", 4.0)):
        counts = []
        for i, one in enumerate(items("test", count)):
            text = getattr(one, what)
            sound = spoken(text, np.random.default_rng((22, what == "answer", i)))
            heard = pipeline.hear(sound, RATE)[1]
            counts.append((word_errors(text.split(), heard.split()), len(text.split())))
        yield Row("ear: word errors (%)", f"{what}s, unheard voices", errors(counts), (AT_MOST, most))


def sign_rows(pipeline: Pipeline, count: int) -> Iterator[Row]:
    """Numbers that no training has shown, right to the last digit."""
    right = []
    for i in range(START, START + count):
        picture, scene = signpost(i, SIGNPOSTS, unseen=True)
        read = pipeline.see(picture)["digits"][0].argmax(-1)
        right.append(tuple(read.tolist()) == digits_of(scene.sign))
    yield Row("signs read (%)", "by the reader, unseen numbers", shares(right), (AT_LEAST, 97.0))
    asked = [one for one in items("unseen", count, ["sign"]) if one.scene.sign is not None]
    right = [considered(pipeline, typed(one)).text == one.answer for one in asked]
    yield Row("signs read (%)", "through the thinker, unseen numbers", shares(right), (AT_LEAST, 85.0))


def sight_rows(pipeline: Pipeline, count: int) -> Iterator[Row]:
    """Things with colour and shape right, as the eye's own readers say them."""
    for name, split in SPLITS.items():
        counts = []
        for one in items(split, count):
            seen, (colours, shapes) = pipeline.see(one.picture), one.scene.labels()
            is_right = (seen["colours"][0].argmax(-1) == colours) & (seen["shapes"][0].argmax(-1) == shapes)
            counts.append((int(is_right[colours > 0].sum()), int((colours > 0).sum())))
        asked = (AT_LEAST, 90.0) if split == "unseen" else None
        yield Row("eye: things right (%)", name, errors(counts), asked)


def answer_rows(pipeline: Pipeline, count: int) -> Iterator[Row]:
    """Answers about pictures, right to the last word: typed, aloud, of each kind, with the wrong input."""
    for (name, split), least in zip(SPLITS.items(), (90.0, 80.0)):
        asked = items(split, count)
        by_text = [considered(pipeline, typed(one)).text == one.answer for one in asked]
        by_ear = [considered(pipeline, aloud(one)).text == one.answer for one in asked]
        yield Row("answers right (%)", f"{name}, typed", shares(by_text), (AT_LEAST, least))
        yield Row("answers right (%)", f"{name}, aloud", shares(by_ear))
        apart = difference(100.0 * np.array(by_ear), 100.0 * np.array(by_text))
        yield Row("aloud, against typed (points)", name, apart, (AT_LEAST, -4.0))
        for kind in KINDS:
            right = [hit for hit, one in zip(by_text, asked) if one.kind == kind]
            yield Row("answers right (%)", f"{name}, typed: {kind}", shares(right))
    asked = items("test", count, FROM_THE_PICTURE)
    for of, wrong, most in (
        ("picture", with_another_picture, 20.0),
        ("question, aloud", asked_another, 10.0),
    ):
        right = [considered(pipeline, one).text == one.answer for one in wrong(asked)]
        yield Row("still right with the wrong (%)", f"{of}; kinds that can't be guessed", shares(right),
                  (AT_MOST, most))  # fmt: skip


def with_another_picture(some: Sequence[Item]) -> Iterator[Asked]:
    """Each question with the next one's picture."""
    for one, other in zip(some, (*some[1:], some[0])):
        yield replace(typed(one), picture=other.picture)


def asked_another(some: Sequence[Item]) -> Iterator[Asked]:
    """Each picture with the next question that is another, aloud; its answer is still the first one's."""
    for i, one in enumerate(some):
        others = (*some[i + 1 :], *some[:i])
        other = next((two for two in others if two.question != one.question), None)
        if other is not None:
            yield replace(aloud(other), picture=one.picture, answer=one.answer)
