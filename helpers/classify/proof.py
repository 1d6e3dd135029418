"""Which comparisons make a classifier bundle's certificate.

Both runtimes hear the same sounds, in batches and lengths that no export has seen: every output must agree,
and the label that comes first must be the same.
"""

import copy
import os
from collections.abc import Callable, Iterator

import numpy as np
import torch

from helpers.classify.fidelity import findings
from helpers.classify.files import find
from helpers.classify.graphs import GRAPHS
from helpers.classify.pipeline import Pipeline
from helpers.classify.reference import TorchPipeline
from helpers.classify.weights import load_models
from helpers.quantize import PRECISIONS
from helpers.support.errors import InputError
from helpers.transfer import on_numpy
from helpers.verify import (
    Certificate,
    Comparison,
    Finding,
    certified,
    choice_ties,
    compare,
    file_problems,
    read_claims,
    tones,
)

SECONDS = (0.7, 2.0, 5.3)
BATCHES = (3, 2, 1)


def verify_bundle(
    path: str | os.PathLike,
    bundle: str | os.PathLike,
    model: str | None = None,
    labels: str | os.PathLike | None = None,
    on_row: Callable[[Comparison | Finding], object] = lambda row: None,
) -> Certificate:
    """Compare a checkpoint with a bundle. `on_row` sees each comparison as it is made.

    model: which architecture the checkpoint is; None: what the bundle says it was. Raises InputError for
    what can't be read.
    """
    manifest = read_claims(bundle, ["front"], [{"classifier": precision} for precision in PRECISIONS])
    onnx = Pipeline.open(bundle)
    onnx.graphs["classifier"].sha256 = None  # a file that was changed is told below, beside what it computes
    model = model or (manifest["architecture"] if find(path).is_file() else None)
    models = load_models(path, model, labels)
    named = {} if labels else {"labels": onnx.spec.labels[: len(models.labels)]}
    if vars(models.spec) | named != vars(onnx.spec):
        raise InputError(f"{bundle} was made from a model of another shape, or other labels, than {path}.")
    ours = TorchPipeline(models)
    precisions = manifest["precision"]
    return certified(
        manifest,
        comparisons(ours, onnx) if precisions["classifier"] == "fp32" else (),
        findings(precisions, ours, onnx),
        file_problems(bundle, manifest, GRAPHS, models.sha256().items()),
        on_row,
    )


def comparisons(ours: TorchPipeline, onnx: Pipeline) -> Iterator[Comparison]:
    """Every output over batches and lengths, the shortest that there is among them."""
    spec, rng = onnx.spec, np.random.default_rng(0)
    lengths = [max(spec.shortest, int(seconds * spec.sample_rate)) for seconds in SECONDS]
    for batch, n_samples in zip((1, *BATCHES), (spec.shortest, *lengths)):
        audio = tones(batch, 1, n_samples, spec.sample_rate, spec.sample_rate / 4, rng)[:, 0]
        graph, classifier = onnx.graphs["classifier"], ours.models.classifier
        yield from compare("classifier", classifier, graph, torch.from_numpy(audio))
        best, other = (one.graphs["classifier"](audio)[0].argmax(-1) for one in (ours, onnx))

        def exact(audio=audio, classifier=classifier) -> np.ndarray:
            return on_numpy(copy.deepcopy(classifier).double())(audio.astype(np.float64))[0]

        different, ties, margin = choice_ties(best, other, exact)
        what = "classifier, first choice"
        yield Comparison(what, batch, n_samples, best.size, different, ties, margin=margin)
