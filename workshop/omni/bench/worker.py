"""One way to run an omni, and one operation that it is timed at."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.omni.pipeline import Pipeline
from helpers.omni.spec import END, N_SPECIAL
from helpers.runtime.cache import Cache
from workshop.bench.worker import Run
from workshop.omni.asked import Asked, aloud, items

FIRST = "first sound"  # a stage
STREAM, WHOLE = "a spoken question, answer streamed", "a spoken question, answer at once"
THINKER, TALKER = "thinker: a step", "talker: a step"
PARTS = ("ear", "eye", "thinker: the question", "voice")
OPERATIONS = (STREAM, WHOLE, THINKER, TALKER, *PARTS)
STEPS = 20  # in a row: one is too short for the clock
FRAMES = 40  # of codes


@dataclass(frozen=True)
class Version:
    """A way to compute the models. home: the directory of its checkpoint or bundle."""

    name: str
    is_torch: bool
    home: Path


def opened(version: Version, threads: int) -> Pipeline:
    """The version's pipeline on so many threads."""
    if not version.is_torch:
        return Pipeline.open(version.home, threads=threads)
    import torch

    from helpers.omni.reference import TorchPipeline

    torch.set_num_threads(threads)
    return TorchPipeline.open(version.home)


def asked() -> Asked:
    """A question about a picture, by a voice that is new."""
    return aloud(items("test", 1, ["where"])[0])


def prepare(version: Version, operation: str, threads: int) -> Run:
    """Load what the operation needs; what comes back does it once. Raises InputError."""
    pipeline = opened(version, threads)
    if operation == STREAM:
        given = asked().given
        return lambda: _streamed(pipeline, given)
    works: dict[str, Callable[[Pipeline], Callable[[], object]]] = {
        WHOLE: _whole, THINKER: _thinker, TALKER: _talker, "ear": _ear, "eye": _eye,
        "thinker: the question": _question, "voice": _voice,
    }  # fmt: skip
    work = works[operation](pipeline)

    def run() -> dict[str, float]:
        work()
        return {}

    return run


def _streamed(pipeline: Pipeline, given: dict) -> dict[str, float]:
    start = time.perf_counter()
    pieces = pipeline.stream(**given)
    next(pieces)
    first = time.perf_counter() - start
    for _ in pieces:
        pass
    return {FIRST: first}


def _whole(pipeline: Pipeline) -> Callable[[], object]:
    given = asked().given
    return lambda: pipeline.ask(**given)


def _thinker(pipeline: Pipeline) -> Callable[[], object]:
    question = pipeline.take_in(**asked().given)
    _, _, cache = pipeline.step(question.ids, question.soft)

    def steps() -> None:
        now = cache
        for _ in range(STEPS):
            _, _, now = pipeline.step(np.array([[N_SPECIAL]]), cache=now)

    return steps


def _talker(pipeline: Pipeline) -> Callable[[], object]:
    spec = pipeline.spec
    words, states = np.array([[[N_SPECIAL, END]]]), np.zeros((1, 1, 2, spec.width), np.float32)
    empty = Cache.empty(1, spec.talker_layers, spec.talker_shared, spec.talker_size)

    def steps() -> None:
        cache, before = empty, np.zeros((1, 1, spec.n_codebooks), np.int64)
        for _ in range(STEPS):
            before, _, *new = pipeline.graphs["talker"](words, states, before, np.array(cache.n), *cache.held)
            cache = cache.longer(new)

    return steps


def _ear(pipeline: Pipeline) -> Callable[[], object]:
    one = asked()
    return lambda: pipeline.hear(one.speech, one.given["speech_rate"])


def _eye(pipeline: Pipeline) -> Callable[[], object]:
    picture = asked().picture
    return lambda: pipeline.see(picture)


def _question(pipeline: Pipeline) -> Callable[[], object]:
    question = pipeline.take_in(**asked().given)
    return lambda: pipeline.step(question.ids, question.soft)


def _voice(pipeline: Pipeline) -> Callable[[], object]:
    spec = pipeline.spec
    codes = np.random.default_rng(0).integers(0, spec.codebook_size, (1, spec.n_codebooks, FRAMES))
    return lambda: pipeline.sound(codes)
