"""A classifier's graph, and the bundle that stands alone: audio goes in, the features are inside."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from helpers.classify.limits import limits
from helpers.classify.weights import Models
from helpers.export.bundle import write_bundle
from helpers.export.graph import DEFAULT_OPSET, GraphToExport
from helpers.quantize import check_precision

GRAPHS = ("classifier",)
AXES = {
    "audio": {0: "batch", 1: "samples"},
    "scores": {0: "batch"},
    "embedding": {0: "batch"},
    "framewise": {0: "batch", 1: "frames"},
}


def graphs_to_export(models: Models) -> dict[str, GraphToExport]:
    """The one graph of a bundle."""
    config = models.config
    audio = torch.zeros(2, 2 * config.shortest + 3 * config.front.hop + 1)
    return {"classifier": GraphToExport(models.classifier, {"audio": audio}, config.outputs, AXES)}


def export_bundle(
    models: Models,
    out: str | os.PathLike,
    opset: int = DEFAULT_OPSET,
    external_data: bool = False,
    on_graph: Callable[[str], object] = lambda name: None,
    precision: str = "fp32",
) -> Path:
    """Write `classifier.onnx` and `bundle.json` into the directory `out`, whole or not at all.

    `on_graph` is called with the graph's name before it is exported. Raises InputError.
    """
    check_precision(precision)
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
    return write_bundle(
        out, graphs_to_export(models), {"classifier": precision}, manifest, opset, external_data, on_graph,
        lambda name: metadata,
    )  # fmt: skip
