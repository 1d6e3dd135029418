"""One version of the models, and one operation that it is timed at.

Nothing here imports PyTorch before a version needs it: ONNX Runtime is measured without it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from helpers.audio.signal import seconds_to_frames
from helpers.runtime.session import CPU, Graph, OnnxGraph
from helpers.vampnet import masks
from helpers.vampnet.files import find
from helpers.vampnet.pipeline import STAGES, Pipeline
from helpers.vampnet.spec import Spec
from workshop.bench.worker import Run

PRODUCT = (
    575,
    1280,
    5120,
)  # rows, inner size, columns: ten seconds through the widest layer of the public size
NEEDS = {  # operation -> graphs
    "product": (),
    "coarse": ("coarse",),
    "c2f": ("c2f",),
    "encode": ("codec_encoder",),
    "encode, one piece": ("codec_encoder",),
    "decode": ("codec_decoder",),
    "decode, one piece": ("codec_decoder",),
    "vamp": ("codec_encoder", "coarse", "c2f", "codec_decoder"),
}
STAGE_NAMES = ("encode", "coarse", "c2f", "sampling", "decode")  # what a vamp's time goes to


@dataclass(frozen=True)
class Version:
    """A way to compute the models. home: the directory of its checkpoints or its bundle."""

    name: str
    library: str  # "PyTorch" or "ONNX Runtime"
    precision: str  # of the transformers
    home: Path
    compiled: bool = False


@dataclass(frozen=True)
class Job:
    """What to run, on how much sound and how many threads."""

    operation: str
    spec: Spec
    seconds: float
    threads: int

    @property
    def n_frames(self) -> int:
        """Codec frames of the sound."""
        return seconds_to_frames(self.seconds, self.spec.sample_rate, self.spec.hop)

    @property
    def audio(self) -> np.ndarray:
        """Tones and a little noise, (1, 1, N) float32, the same for every version."""
        time_axis = np.arange(self.n_frames * self.spec.hop) / self.spec.sample_rate
        tones = sum(np.sin(2 * np.pi * pitch * time_axis) for pitch in (220.0, 277.2, 329.6))
        noise = np.random.default_rng(0).standard_normal(len(time_axis))
        return (0.1 * tones + 0.02 * noise).astype(np.float32)[None, None]

    def codes(self, graph: str) -> np.ndarray:
        """Random tokens for one of the graphs, as many frames as it is given at once; a third are MASK."""
        books = self.spec.n_coarse_codebooks if graph == "coarse" else self.spec.n_codebooks
        chunk = {"coarse": self.spec.coarse_chunk, "c2f": self.spec.c2f_chunk}.get(graph, self.n_frames)
        rng = np.random.default_rng(1)
        codes = rng.integers(0, self.spec.codebook_size, (1, books, min(chunk, self.n_frames)))
        if graph in STAGES:
            given = 0 if graph == "coarse" else self.spec.n_conditioning_codebooks
            codes[:, given:][rng.random(codes[:, given:].shape) < 1 / 3] = self.spec.mask_token
        return codes


def prepare(version: Version, job: Job) -> Run:
    """Load what the operation needs; what comes back does it once. Raises InputError."""
    if job.operation == "product":
        return _without_stages(product(version, job.threads))
    in_torch = version.library == "PyTorch"
    names = NEEDS[job.operation]
    if in_torch:
        pipeline = Pipeline(job.spec, torch_graphs(version, names, job.threads))
    else:
        pipeline = Pipeline.open(version.home, threads=job.threads)
    if job.operation == "vamp":
        return partial(timed_vamp, pipeline, job.audio)
    name = names[0]
    given = job.audio if name == "codec_encoder" else job.codes(name)
    if job.operation == "encode":
        return _without_stages(partial(pipeline.encode, given, job.spec.sample_rate, condition=False))
    if job.operation == "decode":
        return _without_stages(partial(pipeline.decode, given))
    graph = (
        pipeline.graphs[name] if in_torch else OnnxGraph(version.home / f"{name}.onnx", threads=job.threads)
    )
    return _without_stages(partial(graph, given))


def _without_stages(work: Callable[[], object]) -> Run:
    def run() -> dict[str, float]:
        work()
        return {}

    return run


def torch_graphs(version: Version, names: tuple[str, ...], threads: int) -> dict[str, Graph]:
    """The graphs named as PyTorch functions on numpy arrays: weights folded, no gradients."""
    import torch

    from helpers import checkpoints
    from helpers.transfer import on_numpy
    from helpers.vampnet.weights import transfer_codec, transfer_vampnet

    torch.set_num_threads(threads)
    paths = find(version.home)
    codec_file = checkpoints.read(paths["codec"])
    functions = {}
    if {"codec_encoder", "codec_decoder"} & set(names):
        codec, _ = transfer_codec(codec_file)
        functions |= {"codec_encoder": codec.encode, "codec_decoder": codec.decode}
    for name in set(STAGES) & set(names):
        functions[name], _ = transfer_vampnet(checkpoints.read(paths[name]), codec_file)
        if version.precision == "bf16":
            functions[name] = _in_bfloat16(functions[name])
    if version.compiled:
        functions = {name: torch.compile(function) for name, function in functions.items()}
    return {name: on_numpy(function) for name, function in functions.items()}


def _in_bfloat16(model: Callable) -> Callable:
    model = model.bfloat16()
    return lambda codes: model(codes).float()


def product(version: Version, threads: int) -> Callable[[], object]:
    """A product of two matrices in the version's library and precision: what it can do at best."""
    rows, inner, columns = PRODUCT
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(shape, np.float32) for shape in ((rows, inner), (inner, columns)))
    if version.library == "PyTorch":
        return torch_product(left, right, version.precision, threads)
    return onnx_product(left, right, version.precision, threads)


def torch_product(left: np.ndarray, right: np.ndarray, precision: str, threads: int) -> Callable[[], object]:
    """In PyTorch, as a linear layer does it."""
    import torch

    torch.set_num_threads(threads)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, weight = torch.from_numpy(left).to(kind), torch.from_numpy(right.T.copy()).to(kind)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return torch.nn.functional.linear(left, weight)

    return run


def onnx_product(left: np.ndarray, right: np.ndarray, precision: str, threads: int) -> Callable[[], object]:
    """In ONNX Runtime, with a constant right side: float32, or unsigned by signed 8 bit."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    whole = precision == "int8"
    if whole:
        left, right = (left * 20 + 128).clip(0, 255).astype(np.uint8), (right * 20).astype(np.int8)
    kind, result = (TensorProto.UINT8, TensorProto.INT32) if whole else (TensorProto.FLOAT, TensorProto.FLOAT)
    node = helper.make_node("MatMulInteger" if whole else "MatMul", ["left", "right"], ["product"])
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("left", kind, left.shape)],
        [helper.make_tensor_value_info("product", result, (len(left), right.shape[1]))],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[CPU])
    return partial(session.run, None, {"left": left})


@dataclass
class Stopwatch:
    """Adds up the seconds spent in functions."""

    seconds: float = 0.0
    started: float = field(default=0.0, repr=False)

    def __enter__(self) -> "Stopwatch":
        self.started = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds += time.perf_counter() - self.started

    def around(self, function: Graph) -> Graph:
        """The function, its time added up here."""

        def run(array: np.ndarray) -> np.ndarray:
            with self:
                return function(array)

        return run


def timed_vamp(pipeline: Pipeline, audio: np.ndarray) -> dict[str, float]:
    """Audio to audio, 12 coarse steps and 2 fine ones; the seconds of each of STAGE_NAMES."""
    watches = {name: Stopwatch() for name in ("encode", "loop", "decode", *STAGES)}
    timed = {name: watches[name].around(pipeline.graphs[name]) for name in STAGES}
    loop = Pipeline(pipeline.spec, timed)
    with watches["encode"]:
        codes = pipeline.encode(audio, pipeline.sample_rate)
    mask = masks.codebook_mask(masks.periodic(codes.shape, 7), 3)
    with watches["loop"]:
        codes = loop.vamp(codes, mask)
    with watches["decode"]:
        pipeline.decode(codes)
    seconds = {name: watch.seconds for name, watch in watches.items()}
    sampling = seconds["loop"] - seconds["coarse"] - seconds["c2f"]
    return {name: sampling if name == "sampling" else seconds[name] for name in STAGE_NAMES}
