"""A classifier's graph, and the bundle that stands alone: audio goes in, the features are inside."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
import torch

from helpers import audio as sound
from helpers.audio.clips import load_clips
from helpers.classify.limits import limits
from helpers.classify.weights import Models
from helpers.export.bundle import write_bundle
from helpers.export.graph import DEFAULT_OPSET, GraphToExport
from helpers.layers.images import folded
from helpers.quantize import check_precision, static
from helpers.support.errors import InputError

GRAPHS = ("classifier",)
PRECISIONS = ("fp32", "fp16", "int8")
EXACT = ("front",)  # quiet bands lie a million times below loud ones: the ear's kernels bear no rounding
OPERATORS = ("Conv", "Relu", "Clip")
SECONDS = 6.0  # of each of the course's clips
AXES = {
    "audio": {0: "batch", 1: "samples"},
    "scores": {0: "batch"},
    "embedding": {0: "batch"},
    "framewise": {0: "batch", 1: "frames"},
}


def graphs_to_export(
    models: Models, precision: str = "fp32", examples: Iterable[np.ndarray] = ()
) -> dict[str, GraphToExport]:
    """The one graph of a bundle. examples: see `export_bundle`."""
    config = models.config
    audio = torch.zeros(2, 2 * config.shortest + 3 * config.front.hop + 1)
    classifier = folded(models.classifier) if precision == "int8" else models.classifier
    sounds = chain(examples, course_sounds(config.front.sample_rate))
    methods = {"int8": partial(in_eight_bits, examples=sounds)}
    graph = GraphToExport(
        classifier, {"audio": audio}, config.outputs, AXES, keep_exact=EXACT, methods=methods
    )
    return {"classifier": graph}


def in_eight_bits(source: Path, products: Sequence[str], examples: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Convolutions and their activations in 8 bit, ranges as in the examples; ear and head in float."""
    nodes = onnx.load(source, load_external_data=False).graph.node
    chosen = [one.name for one in nodes if one.op_type in OPERATORS and one.name.startswith("network")]
    return static(source, chosen, examples, OPERATORS)


def course_sounds(sample_rate: int) -> Iterator[np.ndarray]:
    """The course's clips as a classifier hears them, (1, N), one after the other."""
    for clip in load_clips(longest=SECONDS):
        yield sound.resample(sound.mono(clip.audio)[0], clip.sample_rate, sample_rate)


def export_bundle(
    models: Models,
    out: str | os.PathLike,
    opset: int = DEFAULT_OPSET,
    external_data: bool = False,
    on_graph: Callable[[str], object] = lambda name: None,
    precision: str = "fp32",
    examples: Iterable[np.ndarray] = (),
) -> Path:
    """Write `classifier.onnx` and `bundle.json` into the directory `out`, whole or not at all.

    `on_graph` is called with the graph's name before it is exported. examples: sounds (1, N) at the model's
    rate, as it will hear them: with int8 they and the course's clips fix the ranges of what is inside.
    Raises InputError.
    """
    if precision not in PRECISIONS:
        check_precision(precision)
        known = ", ".join(PRECISIONS)
        raise InputError(f"'{precision}' is for large matrix products; a classifier's is one of {known}.")
    sources, config = models.sha256(), models.config
    manifest = {
        "model": "classify",
        **asdict(models.spec),
        "n_labels": len(models.labels),
        "front": asdict(config.front),
        "activation": config.head.scores,
        "limits": {"classifier": limits(precision)},
        "source_sha256": sources,
    }
    metadata = {"source_sha256": json.dumps(sources)}
    graphs = graphs_to_export(models, precision, examples)
    precisions = dict.fromkeys(GRAPHS, precision)
    return write_bundle(
        out, graphs, precisions, manifest, opset, external_data, on_graph, lambda name: metadata
    )
