"""The checkpoint that ships with the course: complete, small, exact on every clip, scored as it says."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers import audio as sound
from helpers.quantize import METHODS, write_smaller
from helpers.runtime.session import OnnxGraph
from helpers.support.files import sha256
from helpers.vampnet import masks
from helpers.vampnet.fidelity import Finding, clip_tokens, examples, loss
from helpers.vampnet.files import MODELS, NAMES, course_checkpoints
from helpers.vampnet.graphs import KEEP_IN_FLOAT, export_bundle
from helpers.vampnet.limits import limits
from helpers.vampnet.pipeline import STAGES, Pipeline
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.weights import load_models
from helpers.verify import AT_LEAST
from workshop.vampnet.evaluation.report import Requirement, requirements_section

CLIPS = sorted((Path(__file__).parents[2] / "data").rglob("*.flac"))
OVERLAYS = sorted(MODELS.glob("*.*.pth"))
SECONDS = 3  # of each clip that are vamped, to keep the test short
MB = 1e6


@pytest.fixture(scope="module")
def course_models():
    return load_models(MODELS)


@pytest.fixture(scope="module")
def pipelines(course_models, tmp_path_factory):
    """The course's models in ONNX Runtime and in PyTorch."""
    bundle = export_bundle(course_models, tmp_path_factory.mktemp("course") / "bundle")
    in_torch = TorchPipeline(course_models.codec, course_models.coarse, course_models.c2f)
    return Pipeline.open(bundle), in_torch


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((MODELS / "evaluation.json").read_text(encoding="utf-8"))


def test_the_course_uses_it():
    assert course_checkpoints() == MODELS


def test_it_is_small_enough_to_be_cloned():
    assert sum((MODELS / f"{name}.pth").stat().st_size for name in NAMES) <= 40 * MB
    assert OVERLAYS and sum(path.stat().st_size for path in OVERLAYS) < 2 * MB


def test_it_has_the_layout_of_the_public_checkpoints(course_models):
    config = course_models.codec.config
    assert (config.sample_rate, config.hop) == (44100, 768)
    assert (config.n_codebooks, config.codebook_size, set(config.codebook_dims)) == (14, 1024, {8})
    assert (course_models.coarse.config.n_codebooks, course_models.c2f.config.n_codebooks) == (4, 14)
    assert course_models.c2f.config.n_conditioning_codebooks == 4


def test_every_tensor_is_accounted_for(course_models):
    for name, report in course_models.reports.items():
        assert set(course_models.sources[name].tensors) <= set(report.sources)
        assert not [row for row in report.rows if row.status == "different"]


def test_the_overlays_belong_to_it():
    models = load_models(MODELS, OVERLAYS)
    assert all(models.loras.values())


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_onnx_runtime_gives_pytorchs_tokens_on_every_clip(path, pipelines):
    in_onnx, in_torch = pipelines
    clip, rate = sound.load(path)
    for cut in (clip, clip[:, rate : rate * (1 + SECONDS)]):
        codes, in_graph = (pipeline.encode(cut, rate) for pipeline in (in_torch, in_onnx))
        np.testing.assert_array_equal(codes, in_graph)
    mask = masks.codebook_mask(masks.periodic(codes.shape, 7), 3)
    vamps = [pipeline.vamp(codes, mask, seed=1) for pipeline in pipelines]
    np.testing.assert_array_equal(*vamps)
    assert (vamps[0] != codes).mean() > 0.3


@pytest.mark.parametrize("precision", METHODS)
def test_smaller_transformers_are_within_their_limits(precision, pipelines, tmp_path):
    in_onnx, in_torch = pipelines
    codes = clip_tokens(in_torch, n_clips=5)
    for name in STAGES:
        path = write_smaller(in_onnx.graphs[name].path, tmp_path / f"{name}.onnx", precision, KEEP_IN_FLOAT)
        lost = loss(OnnxGraph(path), in_onnx.graphs[name], examples(in_torch, name, codes))
        for measure, limit in limits(name, precision).items():
            assert Finding(
                name, precision, measure, lost.measures[measure], limit, measure in AT_LEAST
            ).passed, (name, measure)


def test_the_embeddings_projection_is_what_8_bit_would_cost(pipelines, tmp_path):
    """Why `KEEP_IN_FLOAT` is what it is: a checkpoint without this would not need it."""
    in_onnx, in_torch = pipelines
    graph, asked = in_onnx.graphs["coarse"], examples(in_torch, "coarse", clip_tokens(in_torch, n_clips=3))
    kl = {
        keep: loss(OnnxGraph(write_smaller(graph.path, tmp_path / "s.onnx", "int8", keep)), graph, asked).kl
        for keep in ((), KEEP_IN_FLOAT)
    }
    assert kl[()] > 2 * kl[KEEP_IN_FLOAT]


def test_the_scores_are_of_these_files(evaluation):
    for name in NAMES:
        assert evaluation["sha256"][name] == sha256(MODELS / f"{name}.pth"), name
    for path in OVERLAYS:
        assert evaluation["sha256"][path.name] == sha256(path), path.name


def test_the_card_says_what_was_measured(evaluation):
    """Each requirement with its figures and its verdict stands in the card as `evaluate` printed it."""
    requirements = [Requirement(**row) for row in evaluation["requirements"]]
    table = str(requirements_section(requirements))
    assert table in (MODELS / "README.md").read_text(encoding="utf-8")
    assert len(requirements) > 20
