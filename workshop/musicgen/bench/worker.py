"""One way to compute MusicGen, and one operation that it is timed at.

A step is one column for two rows, with the text and without it, as guidance asks for. Its past is filled with
noise: how long a step takes depends on how much there is to read, not on what it says.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from helpers.musicgen.past import Past
from helpers.musicgen.pipeline import Pipeline
from helpers.runtime.cache import Cache
from helpers.runtime.session import OnnxGraph
from workshop.bench.worker import Run

STACKED = "lm_stacked.onnx"  # the form that teaches, beside the bundle's own
STEPS = {"step at 1 s": 1.0, "step at 15 s": 15.0, "step at 29 s": 29.0}  # seconds of past
PREFILL, CONTINUATION = "prefill of 15 s", "10 s, 5 of them given"
SOUND = ("encode 4 s", "decode 4 s")
READ = "read 800 MB"
OPERATIONS = (READ, *STEPS, PREFILL, *SOUND, CONTINUATION)
N_PIECES = 16  # word pieces of the text
READ_BYTES = 800_000_000
SPARE = 128  # columns that a buffer has room for beyond the past


@dataclass(frozen=True)
class Version:
    """A way to compute the models. home: the directory of its checkpoint or bundle.

    kind: "torch", "transformers", "onnx" or "stacked".
    """

    name: str
    kind: str
    precision: str
    home: Path
    compiled: bool = False


@dataclass(frozen=True)
class Job:
    """What to run, on how many threads."""

    operation: str
    threads: int


def prepare(version: Version, job: Job) -> Run:
    """Load what the operation needs; what comes back does it once. Raises InputError."""
    if job.operation == READ:
        return _run(np.ones(READ_BYTES // 4, np.float32).sum)
    if job.operation in STEPS:
        return _run(STEPPERS[version.kind](version, job))
    pipeline = opened(version, job)
    frames = round(4 * pipeline.frame_rate)
    if job.operation == PREFILL:
        columns = _codes(pipeline.spec, 2, _places(pipeline.spec, 15.0))
        condition = _condition(pipeline).with_null()
        return _run(lambda: pipeline.logits(columns, condition))
    if job.operation == "encode 4 s":
        return _run(partial(pipeline.encode, _sound(pipeline, 4.0), pipeline.sample_rate))
    if job.operation == "decode 4 s":
        return _run(partial(pipeline.decode, _codes(pipeline.spec, 1, frames)))
    prompt = _sound(pipeline, 5.0)
    return _run(lambda: pipeline.generate("slow piano", prompt, pipeline.sample_rate, seconds=10))


def _run(work: Callable[[], object]) -> Run:
    def run() -> dict[str, float]:
        work()
        return {}

    return run


def opened(version: Version, job: Job) -> Pipeline:
    """The version's pipeline on so many threads."""
    if version.kind != "torch":
        return Pipeline.open(version.home, threads=job.threads)
    import torch

    from helpers.musicgen.reference import TorchPipeline

    torch.set_num_threads(job.threads)
    return TorchPipeline.open(version.home)


def _places(spec, seconds: float) -> int:
    return round(seconds * spec.frame_rate)


def _codes(spec, batch: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, spec.codebook_size, (batch, spec.n_codebooks, columns))


def _condition(pipeline: Pipeline):
    ids = np.random.default_rng(0).integers(2, pipeline.spec.vocab_size, (1, N_PIECES))
    return pipeline.text(ids=ids)


def _sound(pipeline: Pipeline, seconds: float) -> np.ndarray:
    """Three tones and a little noise."""
    t = np.arange(round(seconds * pipeline.sample_rate)) / pipeline.sample_rate
    tones = sum(np.sin(2 * np.pi * pitch * t) for pitch in (220.0, 277.2, 329.6))
    return (0.1 * tones + 0.02 * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)


# --- a step, by library ------------------------------------------------------------------------------------


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return 0.1 * rng.standard_normal(shape, np.float32)


def onnx_step(version: Version, job: Job) -> Callable[[], object]:
    """The bundle's graph through `Pipeline.logits`: each call is one column further on."""
    pipeline = Pipeline.open(version.home, threads=job.threads)
    spec, condition = pipeline.spec, _condition(pipeline).with_null()
    column = _codes(spec, 2, 1)
    _, past = pipeline.logits(column, condition)
    n, rng = _places(spec, STEPS[job.operation]), np.random.default_rng(0)
    size = (2, spec.n_heads, n, spec.width // spec.n_heads)
    empty = Cache.empty(2, spec.n_layers, spec.n_heads, size[-1])
    past = Past(condition, past.text, empty.longer([_noise(size, rng) for _ in range(2 * spec.n_layers)]))

    def step() -> None:
        nonlocal past
        _, past = pipeline.logits(column, condition, past)

    return step


def stacked_step(version: Version, job: Job) -> Callable[[], object]:
    """The graph that teaches: the whole past goes in and comes out, one column longer."""
    pipeline = Pipeline.open(version.home, threads=job.threads)
    spec, condition = pipeline.spec, _condition(pipeline).with_null()
    graph = OnnxGraph(version.home.parent / STACKED, threads=job.threads)
    n, rng = _places(spec, STEPS[job.operation]), np.random.default_rng(0)
    shape = (spec.n_layers, 2, spec.n_heads, n, spec.width // spec.n_heads)
    past, column = [_noise(shape, rng), _noise(shape, rng)], _codes(spec, 2, 1)

    def step() -> None:
        past[:] = graph(column, condition.states, condition.mask, *past)[1:]

    return step


def torch_step(version: Version, job: Job) -> Callable[[], object]:
    """The same network in PyTorch, its cache a buffer that steps write into."""
    import torch

    from helpers.musicgen.graphs import FastLanguage, TextKeys
    from helpers.musicgen.weights import load_models

    torch.set_num_threads(job.threads)
    models = load_models(version.home)
    kind = torch.bfloat16 if version.precision == "bf16" else torch.float32
    language, spec = models.language.to(kind), models.spec
    run = FastLanguage(language)
    n = torch.tensor(_places(spec, STEPS[job.operation]))
    mask = torch.ones(2, N_PIECES, dtype=torch.long)
    size = (2, spec.n_heads, int(n) + SPARE, spec.width // spec.n_heads)
    with torch.inference_mode():
        text = TextKeys(language)(torch.randn(2, N_PIECES, spec.width, dtype=kind))
        held = [0.1 * torch.randn(size, dtype=kind) for _ in range(2 * spec.n_layers)]
    column = torch.from_numpy(_codes(spec, 2, 1))
    run = torch.compile(run) if version.compiled else run

    def step() -> None:
        with torch.inference_mode():
            _, *new = run(column, mask, n, *text, *held)
            for buffer, one in zip(held, new):
                buffer[:, :, int(n)] = one[:, :, 0]
            n.add_(1)

    return step


def transformers_step(version: Version, job: Job) -> Callable[[], object]:
    """Hugging Face's own `generate`, greedy with guidance, held between two steps."""
    import torch
    import transformers

    torch.set_num_threads(job.threads)
    transformers.logging.set_verbosity_error()
    model = transformers.MusicgenForConditionalGeneration.from_pretrained(version.home, dtype=torch.float32)
    config = model.decoder.config
    n = round(STEPS[job.operation] * model.audio_encoder.config.frame_rate)
    go_on, done = threading.Semaphore(0), threading.Semaphore(0)

    class Held(transformers.StoppingCriteria):
        """Called after every step."""

        def __call__(self, tokens, scores, **rest) -> torch.Tensor:
            done.release()
            go_on.acquire()
            return torch.zeros(len(tokens), dtype=torch.bool)

    given = torch.randint(config.vocab_size, (config.num_codebooks, n))
    ids = torch.randint(2, model.text_encoder.config.vocab_size, (1, N_PIECES))
    settings = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": given,
        "do_sample": False, "guidance_scale": 3.0, "max_new_tokens": SPARE,
        "stopping_criteria": transformers.StoppingCriteriaList([Held()]),
    }  # fmt: skip
    threading.Thread(target=lambda: model.generate(**settings), daemon=True).start()
    done.acquire()  # the first step is the prefill

    def step() -> None:
        go_on.release()
        done.acquire()

    return step


STEPPERS: dict[str, Callable[[Version, Job], Callable[[], object]]] = {
    "onnx": onnx_step, "stacked": stacked_step, "torch": torch_step, "transformers": transformers_step,
}  # fmt: skip
