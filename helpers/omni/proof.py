"""Which comparisons make an omni bundle's certificate.

Each graph is compared by itself, in batches and lengths that no export has seen; those with a past with it
cut in the middle. Then whole questions are answered: every choice of word and of code must be PyTorch's. A
bundle below float32 can't compute the same: each graph is held to what its precision may lose.
"""

import copy
import os
from collections.abc import Callable, Iterator

import numpy as np
import torch

from helpers.omni.fidelity import findings
from helpers.omni.graphs import GRAPHS, MODULES, PRECISIONS
from helpers.omni.pipeline import Pipeline
from helpers.omni.reference import TorchPipeline
from helpers.omni.spec import N_SPECIAL
from helpers.omni.weights import Models, load_models
from helpers.runtime.cache import Cache
from helpers.support.errors import InputError
from helpers.transfer import on_numpy
from helpers.verify import (
    Certificate,
    Comparison,
    Finding,
    certified,
    choice_ties,
    compare_sound,
    file_problems,
    read_claims,
    relative_difference,
    tones,
)

SOUNDS = ((1, 1600), (3, 16_000), (2, 33_333))  # batch, samples
PICTURES = (1, 3)
PLACES = ((1, 2), (3, 17), (1, 90))  # batch, places or frames
CODES = ((1, 1), (3, 7), (1, 120))  # batch, frames
QUESTIONS = 4  # of each kind: typed or spoken, with a picture or without
QUESTION_WORDS, QUESTION_SAMPLES = 5, 20_000


def verify_bundle(
    directory: str | os.PathLike,
    bundle: str | os.PathLike,
    on_row: Callable[[Comparison | Finding], object] = lambda row: None,
) -> Certificate:
    """Compare a checkpoint with a bundle. `on_row` sees each comparison as it is made.

    Raises InputError for what can't be read.
    """
    manifest = read_claims(bundle, [], list(PRECISIONS.values()))
    precisions, onnx = manifest["precision"], Pipeline.open(bundle)
    for graph in onnx.graphs.values():
        graph.sha256 = None  # files that were changed are told below, beside what they compute
    models = load_models(directory)
    if models.config.spec != onnx.spec:
        raise InputError(f"{bundle} was made from a model of another shape than the one in {directory}.")
    ours = TorchPipeline(models)
    return certified(
        manifest,
        comparisons(ours, onnx) if precisions == PRECISIONS["fp32"] else (),
        findings(precisions, ours, onnx),
        file_problems(bundle, manifest, GRAPHS, models.sha256().items()),
        on_row,
    )


def comparisons(ours: TorchPipeline, onnx: Pipeline) -> Iterator[Comparison]:
    """Every graph by itself, then questions."""
    rng, spec = np.random.default_rng(0), onnx.spec
    for batch, n_samples in SOUNDS:
        audio = tones(batch, 1, n_samples, spec.sample_rate, spec.sample_rate / 4, rng)[:, 0]
        yield from compare_outputs(ours, onnx, "ear", ("places", "letters"), audio)
    for batch in PICTURES:
        picture = rng.random((batch, 3, spec.picture_size, spec.picture_size), np.float32)
        yield from compare_outputs(ours, onnx, "eye", ("places", "colours", "shapes", "digits"), picture)
    for batch, n_places in PLACES:
        yield from compare_thinker(ours, onnx, batch, n_places, rng)
        yield compare_talker(ours, onnx, batch, n_places, rng)
    for batch, n_frames in CODES:
        codes = rng.integers(0, spec.codebook_size, (batch, spec.n_codebooks, n_frames))
        yield from compare_outputs(ours, onnx, "voice", ("audio",), codes)
    guessing = ours.guessing(), onnx.guessing()  # of questions at random they would not be sure
    for spoken in (False, True):
        for seen in (False, True):
            yield compare_answers(*guessing, spoken, seen, rng)


def compare_outputs(
    ours: TorchPipeline, onnx: Pipeline, name: str, outputs: tuple[str, ...], given: np.ndarray
) -> Iterator[Comparison]:
    """What a graph without a past gives, output by output."""
    expected, found = (one.graphs[name](given) for one in (ours, onnx))
    expected, found = (one if isinstance(one, tuple) else (one,) for one in (expected, found))
    if len(expected) != len(found):
        raise InputError(f"{name}.onnx gives {len(found)} outputs, PyTorch {len(expected)}.")

    def exact() -> tuple[np.ndarray, ...]:
        module = MODULES[name](copy.deepcopy(ours.models)).double()
        made = on_numpy(module)(given.astype(np.float64) if given.dtype == np.float32 else given)
        return made if isinstance(made, tuple) else (made,)

    for i, what in enumerate(outputs):
        yield compare_sound(
            f"{name}, {what}", len(given), given.shape[-1], expected[i], found[i], lambda i=i: exact()[i]
        )


def compare_thinker(
    ours: TorchPipeline, onnx: Pipeline, batch: int, n_places: int, rng: np.random.Generator
) -> Iterator[Comparison]:
    """Random places: PyTorch gets all at once, ONNX Runtime in two parts."""
    spec, half = onnx.spec, n_places // 2
    ids = rng.integers(0, spec.vocabulary, (batch, n_places))
    soft = rng.standard_normal((batch, n_places, spec.width)).astype(np.float32)
    logits, states, _ = ours.step(ids, soft)
    first, first_states, cache = onnx.step(ids[:, :half], soft[:, :half])
    second, second_states, _ = onnx.step(ids[:, half:], soft[:, half:], cache)
    found = np.concatenate([first, second], axis=1)
    best, other = logits.argmax(-1), found.argmax(-1)
    different, ties, margin = choice_ties(best, other, lambda: exact_logits(ours.models, ids, soft))
    difference = relative_difference(logits, found)
    yield Comparison("thinker, logits", batch, n_places, best.size, different, ties, difference, margin)
    difference = relative_difference(states, np.concatenate([first_states, second_states], axis=1))
    yield Comparison("thinker, states", batch, n_places, 0, 0, 0, difference)


def exact_logits(models: Models, ids: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """The thinker's in float64."""
    thinker = copy.deepcopy(models.thinker).double()
    return on_numpy(lambda *given: thinker(*given)[0])(ids, soft.astype(np.float64))


def compare_talker(
    ours: TorchPipeline, onnx: Pipeline, batch: int, n_frames: int, rng: np.random.Generator
) -> Comparison:
    """Random frames, the past cut in the middle: the codes, and how near each is to a word's end."""
    spec, half = onnx.spec, n_frames // 2
    given = (
        rng.integers(N_SPECIAL, spec.vocabulary, (batch, n_frames, 2)),
        rng.standard_normal((batch, n_frames, 2, spec.width)).astype(np.float32),
        rng.integers(0, spec.codebook_size + 1, (batch, n_frames, spec.n_codebooks)),
    )
    cache, parts = Cache.empty(batch, spec.talker_layers, spec.talker_shared, spec.talker_size), []
    codes, over, *_ = ours.graphs["talker"](*given, np.array(cache.n), *cache.held)
    for part in (slice(half), slice(half, None)):
        *said, new = _frames(onnx, [one[:, part] for one in given], cache)
        parts.append(said)
        cache = cache.longer(new)
    found, found_over = (np.concatenate(one, axis=1) for one in zip(*parts))
    different, ties, margin = talker_ties(ours.models, given, codes, found)
    difference = relative_difference(over, found_over)
    return Comparison("talker", batch, n_frames, codes.size, different, ties, difference, margin)


def _frames(onnx: Pipeline, given: list[np.ndarray], cache: Cache) -> tuple[np.ndarray, np.ndarray, list]:
    codes, over, *new = onnx.graphs["talker"](*given, np.array(cache.n), *cache.held)
    return codes, over, new


def talker_ties(
    models: Models, given: tuple[np.ndarray, ...], codes: np.ndarray, found: np.ndarray
) -> tuple[int, int, float | None]:
    """Where codes differ, float64 decides; after a book that differs the next ones are other questions.

    codes, found: (B, S, K). A frame counts up to its first book that differs.
    """
    unequal = codes != found
    if not unequal.any():
        return 0, 0, None
    words, states, before = given
    talker = copy.deepcopy(models.talker).double()
    with torch.inference_mode():
        said = talker(*map(torch.from_numpy, (words, states.astype(np.float64), before)),
                      codes=torch.from_numpy(codes))  # fmt: skip
    first = unequal & (np.cumsum(unequal, axis=-1) == 1)
    different, ties, margin = choice_ties(
        np.where(first, codes, 0), np.where(first, found, 0), lambda: said.logits.numpy()
    )
    return different, ties, margin


def compare_answers(
    ours: TorchPipeline, onnx: Pipeline, spoken: bool, seen: bool, rng: np.random.Generator
) -> Comparison:
    """Questions from the ear or the eye to the last code: words and codes, one by one."""
    spec, counts, frames = onnx.spec, np.zeros(2, int), 0
    what = f"{'spoken' if spoken else 'typed'} questions, {'a picture' if seen else 'no picture'}"
    for _ in range(QUESTIONS):
        size = (spec.picture_size, spec.picture_size, 3)
        asked = {"picture": rng.integers(0, 256, size, np.uint8) if seen else None}
        if spoken:
            audio = tones(1, 1, QUESTION_SAMPLES, spec.sample_rate, spec.sample_rate / 4, rng)[0, 0]
            asked |= {"speech": audio, "speech_rate": spec.sample_rate}
        else:
            picks = rng.integers(len(spec.words), size=QUESTION_WORDS)
            asked["text"] = " ".join(spec.words[i] for i in picks)
        expected, found = (one.ask(**asked) for one in (ours, onnx))
        pairs = [(expected.text.split(), found.text.split())]
        pairs.append((expected.codes.flatten().tolist(), found.codes.flatten().tolist()))
        counts += [sum(len(one) for one, _ in pairs), sum(differing(*pair) for pair in pairs)]
        frames += expected.codes.shape[2]
    return Comparison(f"thinker and talker, {what}", QUESTIONS, frames, *map(int, counts), 0)


def differing(one: list, other: list) -> int:
    """At how many places two lists differ, the length included."""
    return sum(a != b for a, b in zip(one, other)) + abs(len(one) - len(other))
