"""MusicGen's golden models: made, and asked, by the two public implementations."""

import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "musicgen"
EXPECTED = {"audiocraft": "expected.npz", "hf": "expected_hf.npz"}


@pytest.fixture(scope="session", params=EXPECTED)
def family(request) -> str:
    """Which files, and whose answers; the weights are the same, edges and padding are not."""
    return request.param


@pytest.fixture
def audiocraft_only(family):
    """For a test that asks nothing of the files: once is enough."""
    if family != "audiocraft":
        pytest.skip("the same with the other family's files")


@pytest.fixture(scope="session")
def golden(family):
    """The golden arrays by name."""
    with np.load(GOLDEN / EXPECTED[family]) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def meta(golden):
    return json.loads(str(golden["meta"]))


@pytest.fixture(scope="session")
def musicgen(family):
    """The golden models in PyTorch."""
    from helpers.musicgen.weights import load_models

    return load_models(GOLDEN / family)


@pytest.fixture(scope="session")
def reference(musicgen):
    """The golden models behind the runtime's methods."""
    from helpers.musicgen.reference import TorchPipeline

    return TorchPipeline(musicgen)


@pytest.fixture(scope="session")
def musicgen_bundle(musicgen, tmp_path_factory) -> Path:
    """The golden models exported, once a session; to change a file, copy the bundle first."""
    from helpers.musicgen.graphs import export_bundle

    return export_bundle(musicgen, tmp_path_factory.mktemp("musicgen") / "bundle")


@pytest.fixture(scope="session")
def onnx(musicgen_bundle):
    """The exported golden models in ONNX Runtime."""
    from helpers.musicgen.pipeline import Pipeline

    return Pipeline.open(musicgen_bundle, threads=1)


@pytest.fixture(params=["PyTorch", "ONNX Runtime"])
def pipeline(request, reference, onnx):
    """The same methods over either runtime."""
    return reference if request.param == "PyTorch" else onnx
