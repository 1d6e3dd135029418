"""The golden classifiers: random weights, made and asked by the public implementation of PANNs."""

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "classify"
NAMES = ("Cnn14_16k", "Cnn14_DecisionLevelMax", "MobileNetV1", "MobileNetV2")


@pytest.fixture(scope="session", params=NAMES)
def name(request) -> str:
    """Which of the golden files."""
    return request.param


@pytest.fixture
def one_only(name):
    """For a test that asks nothing of the architecture: once is enough."""
    if name != "MobileNetV1":
        pytest.skip("the same with the other architectures")


@pytest.fixture(scope="session")
def golden(name):
    """The golden arrays by name."""
    with np.load(GOLDEN / name / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def classifier(name):
    """The golden models in PyTorch."""
    from helpers.classify.weights import load_models

    return load_models(GOLDEN / name)


@pytest.fixture(scope="session")
def reference(classifier):
    """The golden models behind the runtime's methods."""
    from helpers.classify.reference import TorchPipeline

    return TorchPipeline(classifier)


@pytest.fixture(scope="session")
def classifier_bundle(classifier, tmp_path_factory) -> Path:
    """The golden models exported, once a session; to change a file, copy the bundle first."""
    from helpers.classify.graphs import export_bundle

    return export_bundle(classifier, tmp_path_factory.mktemp("classify") / "bundle")


@pytest.fixture(scope="session")
def onnx(classifier_bundle):
    """The exported golden models in ONNX Runtime."""
    from helpers.classify.pipeline import Pipeline

    return Pipeline.open(classifier_bundle, threads=1)


@pytest.fixture(params=["PyTorch", "ONNX Runtime"])
def pipeline(request, reference, onnx):
    """The same methods over either runtime."""
    return reference if request.param == "PyTorch" else onnx
