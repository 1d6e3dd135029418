"""What may be timed: float32 graphs in parity with PyTorch, smaller ones within their bundle's limits."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support import files
from helpers.support.errors import InputError
from helpers.vampnet.fidelity import findings
from helpers.vampnet.pipeline import GRAPHS, Pipeline
from helpers.vampnet.proof import ask, compare_decoder, compare_encoder, compare_logits
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.weights import Models, load_models
from helpers.verify import Comparison, Exact

SHAPE = (2, 50)  # batch, frames that parity is tried on; `verify` tries many


def refusals(checkpoints: Path, bundle: Path) -> dict[str, str]:
    """Graph -> why it is not timed. Raises InputError for a bundle that was made from other checkpoints.

    In a process of its own, so that the models are out of memory when the timing begins.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_refusals, checkpoints, bundle).result()


def _refusals(checkpoints: Path, bundle: Path) -> dict[str, str]:
    manifest, models = load_manifest(bundle), load_models(checkpoints)
    for name, source in models.sources.items():
        if manifest.get("source_sha256", {}).get(f"{name}.pth") != source.sha256():
            raise InputError(f"{bundle} was not made from the {name}.pth in {checkpoints}; export it again.")
    onnx, in_torch = Pipeline.open(bundle), TorchPipeline(models.codec, models.coarse, models.c2f)
    precisions = precisions_of(bundle)
    found = dict(_changed_files(bundle, manifest))
    for name in (name for name in GRAPHS if precisions[name] == "fp32" and name not in found):
        row = parity(name, models, in_torch, onnx)
        if not row.passed:
            found[name] = f"not in parity with PyTorch: {_said(row)}"
    small = {name: precision for name, precision in precisions.items() if name not in found}
    limits = manifest.get("limits", {})
    for row in findings(small, in_torch, onnx):
        limit = limits.get(row.graph, {}).get(row.measure)
        if limit is None:
            found[row.graph] = f"{MANIFEST} records no limit for its {row.measure}"
        elif not dataclasses.replace(row, limit=limit).passed:
            found[row.graph] = f"{row.measure} is {row.value:.3g}, beyond the limit {limit:g} of {MANIFEST}"
    return found


def precisions_of(bundle: Path) -> dict[str, str]:
    """The precision of each graph of a bundle. Raises InputError."""
    precisions = load_manifest(bundle).get("precision")
    if not isinstance(precisions, dict) or set(precisions) != set(GRAPHS):
        raise InputError(f"{bundle / MANIFEST} has no usable 'precision'; export the bundle again.")
    return precisions


def _changed_files(bundle: Path, manifest: dict) -> Iterator[tuple[str, str]]:
    for name in GRAPHS:
        if files.sha256(bundle / f"{name}.onnx") != manifest.get("sha256", {}).get(f"{name}.onnx"):
            yield name, f"it is not the file that {MANIFEST} describes"


def parity(name: str, models: Models, in_torch: Pipeline, onnx: Pipeline) -> Comparison:
    """One float32 graph beside PyTorch."""
    rng = np.random.default_rng(0)
    if name == "codec_encoder":
        return compare_encoder(models.codec, in_torch, onnx, *SHAPE, rng)
    if name == "codec_decoder":
        return compare_decoder(models.codec, in_torch, onnx, *SHAPE, rng)
    answer = ask(name, in_torch, *SHAPE, rng)
    return compare_logits(name, answer, Exact(lambda: getattr(models, name)), onnx)


def _said(row: Comparison) -> str:
    apart = "" if row.difference is None else f", {row.difference:.1e} apart"
    return f"{row.different} of {row.tokens} tokens differ, {row.ties} of them ties{apart}"
