"""Which comparisons make a VampNet bundle's certificate.

Graphs below float32 can't compute the same: they are held to what their precision may lose, see `fidelity`.
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from helpers.quantize import PRECISIONS
from helpers.runtime.counter import hashed_noise
from helpers.runtime.sampling import token_noise
from helpers.runtime.session import OnnxGraph
from helpers.support.errors import InputError
from helpers.transfer import on_numpy
from helpers.vampnet import masks
from helpers.vampnet.codec import Codec
from helpers.vampnet.decoding import (
    Settings,
    State,
    advance,
    flatten,
    least_confident,
    n_remasked,
    remask_noise,
    start,
    unflatten,
)
from helpers.vampnet.fidelity import findings
from helpers.vampnet.files import NAMES
from helpers.vampnet.graphs import graph_precisions
from helpers.vampnet.one_file import settings_as_inputs
from helpers.vampnet.pipeline import GRAPHS, STAGES, Pipeline
from helpers.vampnet.transformer import VampNet
from helpers.vampnet.weights import Sources, pipeline_spec
from helpers.verify import (
    TIE,
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

SHAPES = ((1, 1), (3, 7), (2, 50), (1, 131), (1, 575), (1, 2000))  # batch, frames
CODEC_SHAPES = ((1, 1), (3, 7), (2, 50), (1, 575))
DECODE_SHAPE = (2, 50)
DECODINGS = {"12 steps, greedy": Settings(greedy=True), "12 steps, sampled": Settings()}


def verify_bundle(
    directory: str | os.PathLike,
    bundle: str | os.PathLike,
    loras: Iterable[str | os.PathLike] = (),
    on_row: Callable[[Comparison | Finding], object] = lambda row: None,
) -> Certificate:
    """Compare the checkpoints in `directory` with a bundle. `on_row` sees each comparison as it is made.

    A bundle made with LoRA overlays needs the same overlays here. Raises InputError for what can't be read.
    """
    manifest = read_claims(bundle, ["lora_sha256"], [graph_precisions(precision) for precision in PRECISIONS])
    precisions, onnx = manifest["precision"], Pipeline.open(bundle)
    for graph in onnx.graphs.values():
        graph.keeps_memory = False  # 2000 frames of the public size need 0.7 GB
        graph.sha256 = None  # files that were changed are told below, beside what they compute
    models = OneAtATime(directory, loras)
    torch_pipeline = models.pipeline()
    if torch_pipeline.spec != onnx.spec:
        raise InputError(f"{bundle} was made from a model of another shape than the one in {directory}.")
    whole = [name for name, precision in precisions.items() if precision == "fp32"]
    rows = compare(models, torch_pipeline, onnx, whole)
    if "vamp.onnx" in manifest["sha256"]:
        rows = chain(rows, compare_one_file(onnx, OnnxGraph(Path(bundle) / "vamp.onnx")))
    return certified(
        manifest,
        rows,
        findings(precisions, torch_pipeline, onnx),
        _file_problems(bundle, manifest, models),
        on_row,
    )


def _file_problems(bundle: str | os.PathLike, manifest: dict, models: "OneAtATime") -> Iterator[str]:
    sources = models.sources()
    files = ((f"{name}.pth", checkpoint.sha256()) for name, checkpoint in sources.files.items())
    yield from file_problems(bundle, manifest, GRAPHS, files)
    for name, overlays in sources.loras.items():
        if manifest["lora_sha256"].get(name, []) != [overlay.sha256() for overlay in overlays]:
            yield f"the bundle was made with other LoRA overlays of {name} than were given here (--lora)"


class OneAtATime:
    """The models of a directory, of which only the one last asked for is in memory.

    Pages of a checkpoint that were read stay as long as anything maps the file, so each model maps its own.
    """

    def __init__(self, directory: str | os.PathLike, loras: Iterable[str | os.PathLike] = ()):
        self.sources = partial(Sources.of, directory, list(loras))
        self.leave()

    def __call__(self, name: str) -> Codec | VampNet:
        """ "codec", "coarse" or "c2f". Raises InputError for what can't be read."""
        if name != self.name:
            self.leave()
            self.model, _ = self.sources().model(name)
            self.name = name
        return self.model

    def leave(self) -> None:
        """Nothing stays in memory."""
        self.name, self.model = "", None

    def pipeline(self) -> Pipeline:
        """PyTorch's. Every model is tried once: what can't be read is told now and not after minutes."""
        spec = pipeline_spec(*(self(name).config for name in NAMES))
        functions = {
            "codec_encoder": lambda audio: self("codec").encode(audio),
            "codec_decoder": lambda codes: self("codec").decode(codes),
            "coarse": lambda codes: self("coarse")(codes),
            "c2f": lambda codes: self("c2f")(codes),
        }
        return Pipeline(spec, {name: on_numpy(function) for name, function in functions.items()})


def compare(
    models: OneAtATime, torch_pipeline: Pipeline, onnx: Pipeline, graphs: Sequence[str] = GRAPHS
) -> Iterator[Comparison]:
    """All comparisons of the graphs named, one after the other; each session ends before the next starts."""
    rng = np.random.default_rng(0)
    for name in (name for name in GRAPHS if name in graphs):
        if name in STAGES:
            yield from compare_transformer(name, models, torch_pipeline, onnx, rng)
        else:
            compare_half = compare_encoder if name == "codec_encoder" else compare_decoder
            for batch, frames in CODEC_SHAPES:
                yield compare_half(models("codec"), torch_pipeline, onnx, batch, frames, rng)
        onnx.graphs[name].close()


def compare_transformer(
    name: str, models: OneAtATime, torch_pipeline: Pipeline, onnx: Pipeline, rng: np.random.Generator
) -> Iterator[Comparison]:
    """All comparisons of one of STAGES: PyTorch is asked everything and leaves, then ONNX Runtime is."""
    answers = [ask(name, torch_pipeline, batch, frames, rng) for batch, frames in SHAPES]
    decodings = {
        label: (settings, list(ask_steps(name, torch_pipeline, settings, rng)))
        for label, settings in DECODINGS.items()
    }
    models.leave()
    exact = Exact(partial(models, name))  # comes back if float64 must decide
    for answer in answers:
        yield compare_logits(name, answer, exact, onnx)
    for label, (settings, steps) in decodings.items():
        yield compare_decoding(f"{name}, {label}", name, steps, exact, onnx, settings)


def compare_encoder(
    codec: Codec, torch_pipeline: Pipeline, onnx: Pipeline, batch: int, frames: int, rng: np.random.Generator
) -> Comparison:
    """Tokens of a sound with tones and noise, at every codebook."""
    n_samples = max(frames, onnx.spec.shortest_input) * onnx.hop
    audio = tones(batch, 1, n_samples, onnx.sample_rate, 2000, rng)
    ours, theirs = torch_pipeline.graphs["codec_encoder"](audio), onnx.graphs["codec_encoder"](audio)
    if ours.shape != theirs.shape:
        raise InputError(
            f"codec_encoder.onnx gives codes of shape {theirs.shape}, PyTorch {ours.shape}; export again."
        )
    different, ties, margin = count_encoder_ties(codec, audio, ours, theirs)
    return Comparison("codec_encoder", batch, ours.shape[-1], ours.size, different, ties, margin=margin)


def count_encoder_ties(codec: Codec, audio: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> Ties:
    """The encoder is asked again in float64 where tokens differ, see `verify.codec_ties`."""
    if (ours == theirs).all():
        return 0, 0, None
    exact = copy.deepcopy(codec).double()
    with torch.inference_mode():
        residual = exact.encoder(torch.from_numpy(audio).double())

    def margins(book: int, pair: torch.Tensor) -> torch.Tensor:
        nonlocal residual
        quantizer = exact.quantizer.quantizers[book]
        direction = torch.nn.functional.normalize(quantizer.in_proj(residual), dim=1).transpose(1, 2)
        # Between unit vectors the squared distance is 2 - 2 cos: its margin is twice that of the cosines.
        distance = -2 * direction @ torch.nn.functional.normalize(quantizer.codebook).T
        residual = residual - quantizer.decode(pair[..., 0])
        return distance.gather(-1, pair).diff(dim=-1).abs()[..., 0]

    return codec_ties(ours, theirs, margins)


def compare_decoder(
    codec: Codec, torch_pipeline: Pipeline, onnx: Pipeline, batch: int, frames: int, rng: np.random.Generator
) -> Comparison:
    """Samples of random tokens."""
    codes = rng.integers(0, onnx.codebook_size, (batch, onnx.n_codebooks, frames))
    ours, theirs = (one.graphs["codec_decoder"](codes) for one in (torch_pipeline, onnx))
    return compare_sound(
        "codec_decoder", batch, frames, ours, theirs,
        lambda: on_numpy(copy.deepcopy(codec).double().decode)(codes),
    )  # fmt: skip


def random_codes(
    name: str, pipeline: Pipeline, batch: int, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Random tokens for one of the transformers, a third of them MASK where it predicts."""
    n_books = pipeline.n_coarse_codebooks if name == "coarse" else pipeline.n_codebooks
    n_given = 0 if name == "coarse" else pipeline.n_conditioning_codebooks
    codes = rng.integers(0, pipeline.codebook_size, (batch, n_books, frames))
    codes[:, n_given:][rng.random((batch, n_books - n_given, frames)) < 1 / 3] = pipeline.mask_token
    return codes


@dataclass(frozen=True)
class Answer:
    """Tokens int64 (B, C, T), and PyTorch's logits for them (B, P, T, V)."""

    codes: np.ndarray
    logits: np.ndarray


def ask(name: str, torch_pipeline: Pipeline, batch: int, frames: int, rng: np.random.Generator) -> Answer:
    """What PyTorch makes of random tokens."""
    codes = random_codes(name, torch_pipeline, batch, frames, rng)
    return Answer(codes, torch_pipeline.graphs[name](codes))


def compare_logits(name: str, answer: Answer, exact: Exact, onnx: Pipeline) -> Comparison:
    """Logits, and the most probable token of every place."""
    ours, theirs = answer.logits, onnx.graphs[name](answer.codes)
    if ours.shape != theirs.shape:
        raise InputError(
            f"{name}.onnx gives logits of shape {theirs.shape}, PyTorch {ours.shape}; export again."
        )
    best, other = ours.argmax(-1), theirs.argmax(-1)
    different, ties, margin = choice_ties(best, other, lambda: exact(answer.codes))
    batch, _, frames = answer.codes.shape
    difference = relative_difference(ours, theirs)
    return Comparison(name, batch, frames, best.size, different, ties, difference, margin)


def compare_one_file(onnx: Pipeline, graph: OnnxGraph) -> Iterator[Comparison]:
    """The graph with the loops inside beside the pipeline's loops, with the noise that both can make.

    Their graphs are the same and their steps too, so that what PyTorch was compared with holds for both.
    """
    host, rng = Pipeline(onnx.spec, onnx.graphs, onnx.n_threads), np.random.default_rng(0)
    host.noise, graph.keeps_memory = hashed_noise, False
    lengths = (
        1,
        onnx.spec.c2f_chunk // 2,
        onnx.spec.coarse_chunk + 20,
    )  # the last takes two chunks of either
    for frames, steps, greedy in zip(lengths, (12, 12, 3), (True, False, False)):
        n_samples = max(frames, onnx.spec.shortest_input) * onnx.hop
        audio = tones(1, 1, n_samples, onnx.sample_rate, 2000, rng)
        codes = host.encode(audio, onnx.sample_rate, condition=False)
        mask = masks.codebook_mask(masks.periodic(codes.shape, 7), 3)
        ours = host.vamp(codes, mask, steps, greedy=greedy)
        heard, theirs = graph(audio, mask, *settings_as_inputs(steps=steps, greedy=greedy))
        if theirs.shape != ours.shape:
            raise InputError(
                f"vamp.onnx gives codes of shape {theirs.shape}, not {ours.shape}; export again."
            )
        what = f"vamp, {steps} steps, {'greedy' if greedy else 'sampled'}"
        difference = relative_difference(host.decode(ours), heard)
        different = int((ours != theirs).sum())
        yield Comparison(what, 1, codes.shape[-1], int(mask.sum()), different, 0, difference)
    for one in (graph, *onnx.graphs.values()):
        one.close()


NOISE = (0, 0)  # what the noise of a decoding depends on beside its seed: the transformer and the chunk
Step = tuple[State, Answer, tuple[np.ndarray, ...]]  # before it, PyTorch's logits, and what is made of them


def ask_steps(
    name: str, torch_pipeline: Pipeline, settings: Settings, rng: np.random.Generator
) -> Iterator[Step]:
    """The steps of masked decoding with PyTorch's answers, which alone lead it."""
    batch, frames = DECODE_SHAPE
    codes = random_codes(name, torch_pipeline, batch, frames, rng)
    n_given = 0 if name == "coarse" else torch_pipeline.n_conditioning_codebooks
    state = start(codes, np.zeros_like(codes), n_given, torch_pipeline.mask_token)
    for step in range(settings.steps):
        now = unflatten(state.tokens, codes)
        answer = Answer(now, torch_pipeline.graphs[name](now))
        ours = tokens, masked, *_ = _advance(state, answer.logits, step, settings)
        yield state, answer, ours
        state = State(np.where(masked, torch_pipeline.mask_token, tokens), masked, state.n_start)


def _advance(state: State, logits: np.ndarray, step: int, settings: Settings) -> tuple[np.ndarray, ...]:
    return advance(state, flatten(logits, 0), step, settings, [0] * len(logits), NOISE)


def compare_decoding(
    label: str, name: str, steps: list[Step], exact: Exact, onnx: Pipeline, settings: Settings
) -> Comparison:
    """Masked decoding step by step on the same noise: what is chosen, and what is masked again.

    Both start each step from the same tokens. If they agree in every step, they agree when left alone.
    """
    tokens = different = ties = 0
    first_margin = None
    for step, (state, answer, ours) in enumerate(steps):
        theirs = _advance(state, onnx.graphs[name](answer.codes), step, settings)
        tokens += int(state.masked.sum())
        unequal = (ours[0] != theirs[0]) | (ours[1] != theirs[1])
        if unequal.any():
            seeds = [0] * len(unequal)
            margin = decision_margin(
                state, flatten(exact(answer.codes), 0), step, settings, seeds, NOISE, ours, theirs
            )
            first_margin = margin if first_margin is None else max(first_margin, margin)
            different += int(unequal.sum())
            ties += int(unequal.sum()) if margin < TIE else 0
    return Comparison(label, *DECODE_SHAPE, tokens, different, ties, margin=first_margin)


def decision_margin(
    state: State, logits: np.ndarray, step: int, settings: Settings, seeds: list[int], keys: tuple[int, ...],
    ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...],
) -> float:  # fmt: skip
    """How far, in float64, the decisions of one step are from being equally good, at most.

    Where tokens differ: the distance between the two scores. What is masked again follows from the tokens,
    so each side is judged by its own: the distance of a wrongly sorted place from the threshold.
    """
    counts = n_remasked(step, settings.steps, state.n_start, state.masked.sum(1))
    margins = [0.0]
    for item, (seed, count) in enumerate(zip(seeds, counts)):
        scaled = logits[item] / settings.temperature
        noise = token_noise(seed, keys, step, scaled.shape) if settings.samples_at(step) else 0
        places = np.flatnonzero(ours[0][item] != theirs[0][item])
        first, second = ((scaled + noise)[places, run[0][item, places]] for run in (ours, theirs))
        margins += np.abs(first - second).tolist()
        log_p = scaled - np.logaddexp.reduce(scaled, axis=-1, keepdims=True)
        for tokens, masked, _ in (ours, theirs):
            token = np.where(state.masked[item], tokens[item], 0)
            certainty = np.where(
                state.masked[item], np.take_along_axis(log_p, token[:, None], 1)[:, 0], np.inf
            )
            certainty = certainty + remask_noise(seed, keys, step, settings, len(token))
            wrong = least_confident(certainty[None], np.array([count]))[0] != masked[item]
            threshold = np.sort(certainty)[min(count, len(certainty) - 1)]
            margins += np.abs(certainty[wrong] - threshold).tolist()
    return float(np.nan_to_num(margins, nan=np.inf).max())
