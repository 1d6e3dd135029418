"""Which comparisons make a classifier bundle's certificate.

Both runtimes hear the same sounds, in batches and lengths that no export has seen: every output must agree,
and the label that comes first must be the same.
"""

import copy
import os
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from helpers.classify.fidelity import findings
from helpers.classify.files import find
from helpers.classify.graphs import GRAPHS, PRECISIONS
from helpers.classify.pipeline import Pipeline
from helpers.classify.reference import TorchPipeline
from helpers.classify.weights import load_models
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
    several,
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
        yield from compare_outputs(ours, onnx, audio)


def compare_outputs(ours: TorchPipeline, onnx: Pipeline, audio: np.ndarray) -> Iterator[Comparison]:
    """What both give for sounds (B, N) at their rate; where that differs, float64 is asked too."""
    expected, found = (several(one.graphs["classifier"](audio)) for one in (ours, onnx))
    if len(found) != len(expected):
        raise InputError(f"classifier.onnx gives {len(found)} outputs, PyTorch {len(expected)}.")

    @cache
    def exact() -> tuple[np.ndarray, ...]:
        classifier = copy.deepcopy(ours.models.classifier).double()
        return on_numpy(classifier)(audio.astype(np.float64))

    for i, name in enumerate(onnx.spec.outputs):
        what = f"classifier, {name}"
        yield compare_sound(what, *audio.shape, expected[i], found[i], lambda i=i: exact()[i])
    best, other = expected[0].argmax(-1), found[0].argmax(-1)
    different, ties, margin = choice_ties(best, other, lambda: exact()[0])
    what = "classifier, first choice"
    yield Comparison(what, *audio.shape, best.size, different, ties, margin=margin)
