"""Which comparisons make a MusicGen bundle's certificate.

The heart of it: the bundle generates greedily, column after column with its cache, from a text, from a prompt
and beyond one window; PyTorch, without a cache, is then asked what it would have chosen in every one of those
places. If both agree in every step they agree when left alone. Graphs below float32 can't compute the same:
they are held to what their precision may lose.
"""

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from helpers.musicgen.codec import separated
from helpers.musicgen.decoding import UNKNOWN, Settings, Step, delayed, guided, windows
from helpers.musicgen.fidelity import findings
from helpers.musicgen.generation import Generation
from helpers.musicgen.graphs import GRAPHS, graph_precisions
from helpers.musicgen.pipeline import STRIDE, Condition, Pipeline
from helpers.musicgen.reference import TorchPipeline
from helpers.musicgen.weights import load_models
from helpers.quantize import PRECISIONS
from helpers.support.errors import InputError
from helpers.transfer import on_numpy
from helpers.verify import (
    Certificate,
    Comparison,
    Exact,
    Finding,
    Ties,
    certified,
    choice_ties,
    codec_ties,
    compare_sound,
    file_problems,
    read_claims,
    relative_difference,
    tones,
)

CODEC_SHAPES = ((1, 1), (3, 7), (1, 131), (1, 575))  # batch, frames
TEXT_SHAPES = ((1, 1), (3, 17), (1, 140))  # batch, word pieces
COLUMN_SHAPES = ((1, 1), (3, 7), (2, 50), (1, 300))  # batch, columns
TEXT_LENGTH = 12  # word pieces of a text that generation is verified with
PROMPT_FRAMES, NEW_FRAMES = 40, 40


def verify_bundle(
    directory: str | os.PathLike,
    bundle: str | os.PathLike,
    text_encoder: str | os.PathLike | None = None,
    codec: str | os.PathLike | None = None,
    on_row: Callable[[Comparison | Finding], object] = lambda row: None,
) -> Certificate:
    """Compare the checkpoints in `directory` with a bundle. `on_row` sees each comparison as it is made.

    Raises InputError for what can't be read.
    """
    manifest = read_claims(bundle, [], [graph_precisions(precision) for precision in PRECISIONS])
    precisions, onnx = manifest["precision"], Pipeline.open(bundle)
    for graph in onnx.graphs.values():
        graph.sha256 = None  # files that were changed are told below, beside what they compute
    models = load_models(directory, text_encoder, codec)
    if models.spec != onnx.spec:
        raise InputError(f"{bundle} was made from a model of another shape than the one in {directory}.")
    ours = TorchPipeline(models)
    return certified(
        manifest,
        compare(ours, onnx, [name for name in GRAPHS if precisions[name] == "fp32"]),
        findings(precisions, ours, onnx),
        file_problems(bundle, manifest, GRAPHS, models.sha256().items()),
        on_row,
    )


def compare(ours: TorchPipeline, onnx: Pipeline, graphs: list[str]) -> Iterator[Comparison]:
    """All comparisons of the graphs named; generation is compared where all of them are float32."""
    rng = np.random.default_rng(0)
    spec = onnx.spec
    if "encodec_encoder" in graphs:
        for batch, frames in CODEC_SHAPES:
            yield compare_encoder(ours, onnx, batch, frames, rng)
    if "encodec_decoder" in graphs:
        for batch, frames in CODEC_SHAPES:
            yield compare_decoder(ours, onnx, random_codes(spec, batch, frames, rng))
    if "text_encoder" in graphs:
        for batch, length in TEXT_SHAPES:
            ids = rng.integers(0, spec.vocab_size, (batch, length))
            mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int64)
            expected, found = (one.text(ids=ids, mask=mask).states for one in (ours, onnx))
            yield Comparison("text_encoder", batch, length, 0, 0, 0, relative_difference(expected, found))
    if not {"text_encoder", "lm_text", "lm"} <= set(graphs):
        return
    condition = random_text(ours, rng)
    for batch, n_columns in COLUMN_SHAPES:
        columns = rng.integers(0, spec.codebook_size + 1, (batch, spec.n_codebooks, n_columns))
        yield compare_logits(ours, onnx, columns, repeated(condition, batch))
    longest = max(2 * PROMPT_FRAMES, int(1.5 * NEW_FRAMES))
    prompt = random_codes(spec, 1, PROMPT_FRAMES, rng)
    for what, given, n_frames in (
        ("greedy from a text", prompt[:, :, :0], NEW_FRAMES),
        ("greedy from a prompt", prompt, PROMPT_FRAMES + NEW_FRAMES),
        ("greedy beyond one window", prompt, longest + NEW_FRAMES),
    ):
        yield compare_generation(f"lm, {what}", ours, onnx, given, n_frames, longest, condition)


def random_codes(spec, batch: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, spec.codebook_size, (batch, spec.n_codebooks, frames))


def random_text(pipeline: TorchPipeline, rng: np.random.Generator) -> Condition:
    """One text of word pieces that mean nothing, read by PyTorch."""
    return pipeline.text(ids=rng.integers(0, pipeline.spec.vocab_size, (1, TEXT_LENGTH)))


def repeated(condition: Condition, batch: int) -> Condition:
    """The same text for each item."""
    return Condition(condition.states.repeat(batch, 0), condition.mask.repeat(batch, 0))


# --- the codec --------------------------------------------------------------------------------------------


def compare_encoder(
    ours: TorchPipeline, onnx: Pipeline, batch: int, frames: int, rng: np.random.Generator
) -> Comparison:
    """Tokens of tones and noise, at every codebook; the length is no multiple of the hop."""
    spec = onnx.spec
    n_samples = max(1, frames * spec.hop - spec.hop // 3)
    audio = tones(batch, spec.channels, n_samples, spec.sample_rate, spec.sample_rate / 8, rng)
    expected, found = (one.graphs["encodec_encoder"](audio)[0] for one in (ours, onnx))
    if expected.shape != found.shape:
        raise InputError(f"encodec_encoder.onnx gives codes {found.shape}, PyTorch {expected.shape}.")
    different, ties, margin = encoder_ties(ours.models.codec, audio, expected, found)
    return Comparison("encodec_encoder", batch, frames, expected.size, different, ties, margin=margin)


def encoder_ties(codec: torch.nn.Module, audio: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> Ties:
    """The encoder is asked again in float64 where tokens differ, see `verify.codec_ties`."""
    if (ours == theirs).all():
        return 0, 0, None
    exact, channels = copy.deepcopy(codec).double(), audio.shape[1]
    with torch.inference_mode():
        x = exact.encoder.before(torch.from_numpy(audio).double().flatten(0, 1)[:, None])
        residual = exact.encoder.after(exact.encoder.recurrent(x)[0]).transpose(1, 2)

    def margins(k: int, pair: torch.Tensor) -> torch.Tensor:
        nonlocal residual
        book = exact.quantizer.codebooks[k]
        distances = torch.stack([(residual - book(pair[..., i])).square().sum(-1) for i in (0, 1)], -1)
        residual = residual - book(pair[..., 0])
        return distances.diff(dim=-1).abs()[..., 0] / distances.amax(-1).clamp(min=1e-9)

    books = (separated(torch.from_numpy(one), channels).numpy() for one in (ours, theirs))
    return codec_ties(*books, margins)


def compare_decoder(ours: TorchPipeline, onnx: Pipeline, codes: np.ndarray) -> Comparison:
    """Samples of random tokens."""
    expected, found = (one.graphs["encodec_decoder"](codes)[0] for one in (ours, onnx))

    def exact() -> np.ndarray:
        codec = copy.deepcopy(ours.models.codec).double()
        return on_numpy(lambda given: codec.decode(given, onnx.spec.channels))(codes)

    return compare_sound("encodec_decoder", len(codes), codes.shape[-1], expected, found, exact)


# --- the language model -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class AllAtOnce:
    """PyTorch asked for all columns at once, in float32 or, where that must decide, in float64."""

    ours: TorchPipeline
    condition: Condition
    guidance: float = 1.0

    def __call__(self, columns: np.ndarray, exactly: bool = False) -> np.ndarray:
        """Columns (B, K, S) -> guided logits (B, K, S, V)."""
        spec, condition = self.ours.spec, self.condition
        if self.guidance != 1:
            condition, columns = condition.with_null(), np.concatenate([columns, columns])
        mask = condition.attended(spec.text_padding)
        states = condition.states.astype(np.float64 if exactly else np.float32)
        model = self.ours.models.language
        logits = (Exact(lambda: model) if exactly else on_numpy(model))(columns, states, mask)
        return logits if self.guidance == 1 else guided(logits, self.guidance)


def compare_logits(
    ours: TorchPipeline, onnx: Pipeline, columns: np.ndarray, condition: Condition
) -> Comparison:
    """Logits of random columns, and the most probable token of every place, the cache cut in the middle."""
    whole = AllAtOnce(ours, condition)
    expected, half = whole(columns), columns.shape[2] // 2
    parts, past = [], None
    for part in (columns[:, :, :half], columns[:, :, half:]):
        if part.size:
            logits, past = onnx.logits(part, condition, past)
            parts.append(logits)
    found = np.concatenate(parts, axis=2)
    best, other = expected.argmax(-1), found.argmax(-1)
    different, ties, margin = choice_ties(best, other, lambda: whole(columns, exactly=True))
    difference = relative_difference(expected, found)
    return Comparison("lm", len(columns), columns.shape[2], best.size, different, ties, difference, margin)


def compare_generation(
    what: str,
    ours: TorchPipeline,
    onnx: Pipeline,
    prompt: np.ndarray,
    n_frames: int,
    longest: int,
    condition: Condition,
    guidance: float = 3.0,
) -> Comparison:
    """Greedy generation by the bundle, each choice compared with PyTorch's in the same place."""
    steps: list[Step] = []
    stride = max(1, int(STRIDE * longest))
    spec, settings = onnx.spec, Settings(guidance, greedy=True)
    codes = np.full((1, spec.n_codebooks, n_frames), UNKNOWN, np.int64)
    codes[:, :, : prompt.shape[-1]] = prompt
    made = Generation(onnx.logits, spec, codes, [prompt.shape[-1]], condition, settings, [0],
                      (longest, stride), steps.append).finished()  # fmt: skip
    whole = AllAtOnce(ours, condition, guidance)
    counts, difference, margin, taken = np.zeros(3, int), 0.0, None, iter(steps)
    for first, length, n_known in windows(n_frames, prompt.shape[-1], longest, stride):
        codes = made[:, :, first : first + length]
        columns = delayed(codes, spec.delays, spec.special_token)
        asked = slice(n_known, columns.shape[2] - 1)  # what each of these says is of the column after it
        expected = whole(columns)[:, :, asked]
        found = np.stack([next(taken).logits for _ in range(expected.shape[2])], axis=2)
        known = np.arange(length) < n_known
        given = delayed(np.broadcast_to(known, codes.shape).astype(int), spec.delays, 1)
        free = given[:, :, n_known + 1 :] == 0
        best = np.where(free, expected.argmax(-1), 0)
        other = np.where(free, columns[:, :, n_known + 1 :], 0)
        *some, at_most = choice_ties(
            best, other, lambda seen=columns, part=asked: whole(seen, True)[:, :, part]
        )
        counts += [int(free.sum()), *some]
        difference = max(difference, relative_difference(expected, found))
        margin = at_most if margin is None or at_most is None else max(margin, at_most)
    return Comparison(what, 1, n_frames, *map(int, counts), difference, margin=margin)
