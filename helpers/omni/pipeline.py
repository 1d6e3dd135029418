"""The pipeline over a bundle of an omni's graphs: hear, see, think, talk. No PyTorch.

One question at a time. Arrays are numpy; places are float32 (1, P, width), codes int64 (1, K, T), sound
float32 (N,) at `sample_rate`.
"""

import copy
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from helpers import audio as sound
from helpers.audio.signal import as_batch, positive
from helpers.omni import doubt
from helpers.omni.spec import ANSWER, END, N_SPECIAL, PICTURE, QUESTION, SOFT, Spec, collapsed, read_spec
from helpers.runtime.cache import Cache
from helpers.runtime.session import open_graphs
from helpers.runtime.windows import Layout
from helpers.support.config import shown
from helpers.support.cores import n_cores
from helpers.support.errors import InputError

GRAPHS = ("ear", "eye", "thinker", "talker", "voice")
MOST_WORDS = 48  # of an answer
MOST_FRAMES = 50  # of a word: two seconds
STREAM_FRAMES = 6  # how much sound comes at once while it is made: 0.24 seconds
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 30  # of a spoken question


@dataclass(frozen=True)
class Answer:
    """What was answered: in words, aloud (N,), as codes (1, K, T); and what was heard, in letters.

    doubts: of what it was too little sure, see `doubt.Bounds`; then the answer is that it does not know.
    """

    text: str
    audio: np.ndarray
    codes: np.ndarray
    heard: str | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Thought:
    """A word of the answer, by its number, and the thinker's state (1, 1, width) once it has read it.

    log_p: how probable the word was, in nats.
    """

    word: int
    state: np.ndarray
    log_p: float = 0.0


@dataclass(frozen=True, eq=False)
class Question:
    """What stands before an answer, see `Pipeline.prompt`; what was heard; how sure, see `doubt.Bounds`."""

    ids: np.ndarray
    soft: np.ndarray
    heard: str | None
    sure: dict[str, float]


class Pipeline:
    """An omni: five functions from arrays to arrays, and what to do with them."""

    def __init__(self, spec: Spec, graphs: Mapping[str, Callable]):
        self.spec, self.graphs = spec, graphs
        self.sample_rate, self.words, self.n_codebooks = spec.sample_rate, spec.words, spec.n_codebooks
        self.numbers = {word: N_SPECIAL + i for i, word in enumerate(spec.words)}

    @classmethod
    def open(
        cls, bundle: str | os.PathLike, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> "Pipeline":
        """Open a bundle. Sessions start when first used.

        providers: ONNX Runtime's execution providers, the preferred first; None = CPU. threads: None = one a
        core. Raises InputError for what is not a complete bundle.
        """
        threads = n_cores() if threads is None else positive("threads", threads)
        return cls(read_spec(bundle), open_graphs(bundle, dict.fromkeys(GRAPHS, threads), providers))

    def guessing(self) -> Self:
        """The same that answers whatever it is asked, however little sure it is."""
        other = copy.copy(self)
        other.spec = replace(self.spec, bounds=doubt.Bounds())
        return other

    # --- what goes in

    def read(self, text: str) -> np.ndarray:
        """A typed question as numbers of words, int64 (1, L). Raises InputError for a word it can't know."""
        found = re.findall(r"[^\s?.,!]+", text.lower()) if isinstance(text, str) else []
        if not found:
            raise InputError("the question is empty; type some words.")
        for word in found:
            if word not in self.numbers:
                raise InputError(
                    f"{shown(word)} is none of the {len(self.words)} words that this model knows."
                )
        return np.array([[self.numbers[word] for word in found]])

    def hear(self, audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, str]:
        """A spoken question, (N,) or (channels, N) float: its places, and what it says, letter by letter."""
        places, letters = self.listen(audio, sample_rate)
        return places, collapsed(letters[0].argmax(-1).tolist())

    def listen(self, audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with the logits of its letters, (1, T, 28)."""
        audio = as_batch(audio)[:1]
        seconds = audio.shape[-1] / positive("sample rate", sample_rate)
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            raise InputError(
                f"the question lasts {seconds:.2f} s; it should be {SHORTEST_SECONDS} to {LONGEST_SECONDS} s."
            )
        audio = sound.resample(sound.mono(audio), sample_rate, self.sample_rate)[:, 0]
        return self.graphs["ear"](audio)

    def see(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """A picture (64, 64, 3), uint8 or float 0 to 1: `places`, logits `colours`, `shapes`, `digits`."""
        picture, size = np.asarray(picture), self.spec.picture_size
        if picture.shape != (size, size, 3) or picture.dtype.kind not in "uf":
            raise InputError(
                f"a picture is ({size}, {size}, 3), uint8 or float, not {picture.dtype} {picture.shape}."
            )
        values = picture / 255 if picture.dtype.kind == "u" else picture
        if not (np.isfinite(values).all() and 0 <= values.min() and values.max() <= 1):
            raise InputError("a picture's values lie between 0 and 1, or, as uint8, between 0 and 255.")
        given = np.ascontiguousarray(values.astype(np.float32).transpose(2, 0, 1)[None])
        return dict(zip(("places", "colours", "shapes", "digits"), self.graphs["eye"](given)))

    # --- the thinker

    def prompt(self, question: np.ndarray, picture: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """All that stands before the answer: ids int64 (1, S), and soft (1, S, width).

        question: ids from `read`, or places from `hear`. picture: places from `see`.
        """
        parts = [] if picture is None else [np.array([[PICTURE]]), picture]
        parts += [np.array([[QUESTION]]), question, np.array([[ANSWER]])]
        ids = [part if part.ndim == 2 else np.full(part.shape[:2], SOFT) for part in parts]
        nothing = [np.zeros((*part.shape, self.spec.width), np.float32) for part in parts]
        soft = [part if part.ndim == 3 else empty for part, empty in zip(parts, nothing)]
        return np.concatenate(ids, axis=1), np.concatenate(soft, axis=1)

    def step(
        self, ids: np.ndarray, soft: np.ndarray | None = None, cache: Cache | None = None
    ) -> tuple[np.ndarray, np.ndarray, Cache]:
        """S places behind a cache -> logits (1, S, V), states (1, S, width), the longer cache.

        A cache may be gone on from more than once, and places cut anywhere: the numbers are the same.
        """
        spec = self.spec
        if cache is None:
            cache = Cache.empty(len(ids), spec.thinker_layers, spec.thinker_shared, spec.thinker_size)
        if soft is None:
            soft = np.zeros((*ids.shape, spec.width), np.float32)
        logits, states, *new = self.graphs["thinker"](ids, soft, np.array(cache.n), *cache.held)
        return logits, states, cache.longer(new)

    def think(self, ids: np.ndarray, soft: np.ndarray) -> Iterator[Thought]:
        """The answer, word by word, the most probable each time; at most MOST_WORDS."""
        logits, _, cache = self.step(ids, soft)
        for _ in range(MOST_WORDS):
            said = logits[0, -1, N_SPECIAL - 1 :]
            best = int(said.argmax()) + N_SPECIAL - 1
            if best == END:
                return
            logits, state, cache = self.step(np.array([[best]]), cache=cache)
            yield Thought(best, state, float(doubt.log_probabilities(said).max()))

    def told(self, ids: np.ndarray, soft: np.ndarray, words: Sequence[str]) -> Iterator[Thought]:
        """These words as the answer, whatever is probable."""
        _, _, cache = self.step(ids, soft)
        for word in words:
            _, state, cache = self.step(np.array([[self.numbers[word]]]), cache=cache)
            yield Thought(self.numbers[word], state)

    # --- the talker and the voice

    def talk(self, thoughts: Iterable[Thought]) -> Iterator[np.ndarray]:
        """Codes (1, K, 1) frame by frame, as soon as the word after the one being said is known."""
        spec = self.spec
        cache = Cache.empty(1, spec.talker_layers, spec.talker_shared, spec.talker_size)
        before = np.full((1, 1, spec.n_codebooks), spec.codebook_size)
        end = Thought(END, np.zeros((1, 1, spec.width), np.float32))
        for now, later in with_next(thoughts, end):
            words = np.array([[[now.word, later.word]]])
            states = np.stack([now.state, later.state], axis=2)
            for _ in range(MOST_FRAMES):
                before, over, *new = self.graphs["talker"](
                    words, states, before, np.array(cache.n), *cache.held
                )
                cache = cache.longer(new)
                yield before.transpose(0, 2, 1)
                if over[0, 0] > 0:
                    break

    def sound(self, codes: np.ndarray) -> np.ndarray:
        """Codes int64 (1, K, T) -> sound (T * hop,)."""
        return self.graphs["voice"](codes)[0]

    def sounds(self, frames: Iterable[np.ndarray], size: int = STREAM_FRAMES) -> Iterator[np.ndarray]:
        """The same in pieces of `size` frames, while codes (1, K, t) arrive."""
        layout = Layout(1, self.spec.hop, self.spec.voice_context, shortest=1)
        for piece in layout.of_stream(self.graphs["voice"], frames, positive("size", size), 1):
            yield piece[0]

    # --- all together

    def ask(
        self,
        text: str | None = None,
        picture: np.ndarray | None = None,
        speech: np.ndarray | None = None,
        speech_rate: int | None = None,
        on_word: Callable[[str], object] = lambda word: None,
    ) -> Answer:
        """Answer a question, typed or spoken, about a picture or none.

        on_word is called with each word of the answer. Raises InputError for what can't be asked.
        """
        question = self.take_in(text, picture, speech, speech_rate)
        thoughts, doubts = self._start(question)
        heard, said, codes = question.heard, [], []
        for frame in self.talk(self._spelled(thoughts, said, on_word)):
            codes.append(frame)
        if not codes:  # nothing was answered
            empty = np.zeros((1, self.n_codebooks, 0), np.int64)
            return Answer("", np.zeros(0, np.float32), empty, heard, doubts)
        codes = np.concatenate(codes, axis=2)
        return Answer(" ".join(said), self.sound(codes), codes, heard, doubts)

    def stream(
        self,
        text: str | None = None,
        picture: np.ndarray | None = None,
        speech: np.ndarray | None = None,
        speech_rate: int | None = None,
        on_word: Callable[[str], object] = lambda word: None,
    ) -> Iterator[np.ndarray]:
        """The answer's sound while it is made: the first comes before the last word is thought of.

        Where the answer has a bound it is thought of whole before it is said: only then is it known how sure.
        """
        thoughts, _ = self._start(self.take_in(text, picture, speech, speech_rate))
        return self.sounds(self.talk(self._spelled(thoughts, [], on_word)))

    def take_in(
        self,
        text: str | None = None,
        picture: np.ndarray | None = None,
        speech: np.ndarray | None = None,
        speech_rate: int | None = None,
    ) -> Question:
        """A question as `ask` takes it, checked, heard and seen. Raises InputError."""
        if (text is None) == (speech is None):
            raise InputError("ask with words or with speech, one of the two.")
        if speech is not None and speech_rate is None:
            raise InputError("speech needs its sample rate: give speech_rate.")
        heard, sure = None, {}
        if speech is None:
            question = self.read(text)
        else:
            question, letters = self.listen(speech, speech_rate)
            heard = collapsed(letters[0].argmax(-1).tolist())
            sure["heard"] = doubt.sure_of_sound(letters[0])
        seen = None
        if picture is not None:
            seen, colours, shapes, _ = self.see(picture).values()
            sure["seen"] = doubt.sure_of_picture(colours[0], shapes[0])
        return Question(*self.prompt(question, seen), heard, sure)

    def _start(self, question: Question) -> tuple[Iterable[Thought], tuple[str, ...]]:
        """What to say, and what is in doubt."""
        prompt, bounds = (question.ids, question.soft), self.spec.bounds
        thoughts, doubts = self.think(*prompt), bounds.doubted(**question.sure)
        if bounds.answered is not None and not doubts:
            thoughts = list(thoughts)
            doubts = bounds.doubted(answered=doubt.sure_of_answer([one.log_p for one in thoughts]))
        return (self.told(*prompt, doubt.REFUSAL) if doubts else thoughts), doubts

    def _spelled(
        self, thoughts: Iterable[Thought], said: list[str], on_word: Callable[[str], object]
    ) -> Iterator[Thought]:
        for thought in thoughts:
            said.append(self.words[thought.word - N_SPECIAL])
            on_word(said[-1])
            yield thought


def with_next(thoughts: Iterable[Thought], end: Thought) -> Iterator[tuple[Thought, Thought]]:
    """Each with the one after it; the last with `end`."""
    before = None
    for thought in thoughts:
        if before is not None:
            yield before, thought
        before = thought
    if before is not None:
        yield before, end
