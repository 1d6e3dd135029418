"""A small omni with random weights: it answers nonsense, the same in both runtimes."""

import numpy as np
import onnx_ir
import pytest
from fabricate_omni import SMALL

from helpers.__main__ import main
from helpers.omni import weights
from helpers.omni.graphs import MODULES, export_bundle
from helpers.omni.pipeline import Pipeline
from helpers.omni.reference import TorchPipeline


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    models = weights.fresh(SMALL, seed=7)
    models.thinker.head.weight.data *= 8  # so that choices are clear
    for module in models.talker.heads:
        module.weight.data *= 8
    return weights.save(tmp_path_factory.mktemp("omni") / "checkpoint", models)


@pytest.fixture(scope="session")
def models(checkpoint):
    return weights.load_models(checkpoint)


@pytest.fixture(scope="session")
def bundle(models, tmp_path_factory):
    return export_bundle(models, tmp_path_factory.mktemp("omni") / "bundle")


@pytest.fixture(scope="session")
def small_bundle(checkpoint, bundle, tmp_path_factory):
    """In 8 bit, by the command. Tracing is what takes long, and the bundle has these very graphs already."""
    out = tmp_path_factory.mktemp("small") / "bundle"

    def traced(graph, opset):
        (name,) = (name for name, kind in MODULES.items() if isinstance(graph.module, kind))
        return onnx_ir.load(bundle / f"{name}.onnx")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.export.bundle.to_onnx", traced)
        assert (
            main(["export", "--checkpoints", str(checkpoint), "--out", str(out), "--precision", "int8"]) == 0
        )
    return out


@pytest.fixture(scope="session")
def ours(models):
    return TorchPipeline(models)


@pytest.fixture(scope="session")
def onnx(bundle):
    return Pipeline.open(bundle, threads=1)


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture
def speech():
    return (0.1 * np.random.default_rng(2).standard_normal(13_333)).astype(np.float32)
