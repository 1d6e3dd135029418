"""Questions to try an omni with: the world's own, and what is no question about the world."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from data.speech.phones import PHONES
from data.speech.voice import RATE, Speaker, say
from data.world.items import Item, item
from data.world.pictures import SIZE
from data.world.scenes import COLOURS, SHAPES
from data.world.sentences import DIGITS, KINDS, WORDS, pick
from helpers import audio as sound
from helpers.audio.clips import COURSE_CLIPS
from helpers.omni import doubt
from helpers.omni.pipeline import Pipeline
from helpers.omni.spec import N_SPECIAL
from workshop.omni.training.ear import spoken

START = 10_000  # the first item: those before it have been looked at while training
VOWELS = [name for name, phone in PHONES.items() if phone.is_vowel]
CONSONANTS = [name for name, phone in PHONES.items() if not phone.is_vowel and name != "HH"]


@dataclass(frozen=True, eq=False)
class Asked:
    """A question, typed or spoken, about a picture or none. answer: None where there is none."""

    kind: str
    answer: str | None
    text: str | None = None
    picture: np.ndarray | None = None
    speech: np.ndarray | None = None

    @property
    def given(self) -> dict:
        """As `Pipeline.ask` and `take_in` want it."""
        rate = None if self.speech is None else RATE
        return {"text": self.text, "picture": self.picture, "speech": self.speech, "speech_rate": rate}


@dataclass(frozen=True)
class Considered:
    """The answer that a pipeline would give, whatever its bounds, and how sure it is."""

    text: str
    heard: str | None
    sure: dict[str, float]


def considered(pipeline: Pipeline, asked: Asked) -> Considered:
    """Words alone: nothing is said aloud."""
    question = pipeline.take_in(**asked.given)
    thoughts = list(pipeline.think(question.ids, question.soft))
    text = " ".join(pipeline.words[one.word - N_SPECIAL] for one in thoughts)
    sure = question.sure | {"answered": doubt.sure_of_answer([one.log_p for one in thoughts])}
    return Considered(text, question.heard, sure)


def items(split: str, count: int, kinds: Sequence[str] = tuple(KINDS)) -> list[Item]:
    """The first of these kinds that have a picture."""
    found, i = [], START
    while len(found) < count:
        one = item(split, i)
        if one.scene is not None and one.kind in kinds:
            found.append(one)
        i += 1
    return found


def typed(one: Item) -> Asked:
    return Asked(one.kind, one.answer, one.question, one.picture)


def aloud(one: Item) -> Asked:
    """The same, by somebody new."""
    rng = np.random.default_rng((20, *one.key))
    return Asked(one.kind, one.answer, picture=one.picture, speech=spoken(one.question, rng))


# --- what is no question about the world ------------------------------------------------------------------


def photograph(split: str, rng: np.random.Generator) -> Asked:
    """A good question about a picture of nothing: noise, weaker the finer, as in photographs (Field 1987)."""
    one = _item(split, rng, [kind for kind in KINDS if kind != "sum"])
    return Asked("a photograph", None, one.question, like_a_photograph(rng))


def like_a_photograph(rng: np.random.Generator) -> np.ndarray:
    """uint8 (64, 64, 3)."""
    rates = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    rates[0, 0] = 1 / SIZE
    waves = np.fft.fft2(rng.standard_normal((SIZE, SIZE, 3)), axes=(0, 1))
    made = np.fft.ifft2(waves / rates[..., None] ** rng.uniform(0.8, 1.4), axes=(0, 1)).real
    made = made @ (rng.uniform(0, 1, (3, 3)) + np.eye(3))
    made = (made - made.mean()) / made.std() * rng.uniform(0.12, 0.25) + rng.uniform(0.25, 0.6)
    return (np.clip(made, 0, 1) * 255).round().astype(np.uint8)


def silence(split: str, rng: np.random.Generator) -> Asked:
    n = int(rng.uniform(0.5, 4) * RATE)
    noise = 10 ** rng.uniform(-5, -2.3) * rng.standard_normal(n)
    return _heard("silence", noise.astype(np.float32), split, rng)


def song(split: str, rng: np.random.Generator) -> Asked:
    """A stretch of the course's clips: every second is for choosing, the others for testing."""
    paths = sorted(COURSE_CLIPS.glob("*.flac"))[split == "test" :: 2]
    clip = course_clip(paths[rng.integers(len(paths))])
    n = int(rng.uniform(1, 4) * RATE)
    first = rng.integers(len(clip) - n)
    return _heard("a song", clip[first : first + n], split, rng)


@cache
def course_clip(path: Path) -> np.ndarray:
    """(N,) at the voice's rate."""
    audio, rate = sound.load(path)
    return sound.resample(sound.mono(audio)[0, 0], rate, RATE)


def language(split: str, rng: np.random.Generator) -> Asked:
    """Words that do not exist, by somebody new: consonants and vowels in turn."""
    words = {}
    for _ in range(rng.integers(3, 7)):
        n = rng.integers(2, 6)
        order = [VOWELS, CONSONANTS][:: rng.choice((1, -1))]
        phones = tuple(pick(order[k % 2], rng) for k in range(n))
        words[f"word{len(words)}"] = phones
    audio = say(" ".join(words), Speaker.born(rng), rng, words).audio
    return _heard("another language", audio, split, rng)


def outside(split: str, rng: np.random.Generator) -> Asked:
    """Words of the world that ask for nothing in it, or are no question at all."""
    colour, shape, digit, other = (pick(some, rng) for some in (COLOURS, SHAPES, DIGITS, DIGITS))
    salad = " ".join(WORDS[k] for k in rng.integers(len(WORDS), size=rng.integers(3, 8)))
    text = pick(
        (f"what colour is the {digit}", f"what shape is the {digit}", f"where is the {digit} {other}",
         f"how many {digit} are there", f"read the {colour} {shape}", f"is there a {digit} {other}",
         f"what is {shape} plus {colour}", f"which number is the {shape}", salad, salad, salad),
        rng,
    )  # fmt: skip
    return Asked("outside the world", None, text, _item(split, rng).picture)


STRANGE: dict[str, Callable[[str, np.random.Generator], Asked]] = {
    "a photograph": photograph, "silence": silence, "a song": song, "another language": language,
    "outside the world": outside,
}  # fmt: skip


def strange(kind: str, split: str, count: int) -> Iterator[Asked]:
    """Of one kind; "valid" to choose by, "test" to measure."""
    for i in range(count):
        yield STRANGE[kind](split, np.random.default_rng((21, split == "test", list(STRANGE).index(kind), i)))


def _item(split: str, rng: np.random.Generator, kinds: Sequence[str] = tuple(KINDS)) -> Item:
    while True:
        one = item(split, START + int(rng.integers(10**6)))
        if one.scene is not None and one.kind in kinds:
            return one


def _heard(kind: str, audio: np.ndarray, split: str, rng: np.random.Generator) -> Asked:
    return Asked(kind, None, picture=_item(split, rng).picture, speech=audio)
