"""The certificate of a bundle: it passes, and it can fail."""

import shutil

import numpy as np
import pytest
from fabricate_omni import SMALL

from helpers.omni import weights
from helpers.omni.graphs import export_bundle
from helpers.omni.proof import compare_talker, compare_thinker, differing, verify_bundle
from helpers.omni.reference import TorchPipeline
from helpers.support.errors import InputError


def test_a_bundle_passes(checkpoint, bundle):
    certificate = verify_bundle(checkpoint, bundle)
    assert certificate.passed, str(certificate)
    graphs = {row.graph for row in certificate.rows}
    assert graphs == {"ear", "eye", "thinker", "talker", "voice", "thinker and talker"}
    assert sum(row.tokens for row in certificate.rows if "questions" in row.what) > 100
    assert "0 ties" in certificate.summary()


def test_other_weights_are_found_out(onnx):
    """The same shape from another seed: neither words nor codes are the bundle's."""
    other = TorchPipeline(weights.fresh(SMALL, seed=4))
    rng = np.random.default_rng(0)
    assert not any(row.passed for row in compare_thinker(other, onnx, 1, 9, rng))
    assert not compare_talker(other, onnx, 1, 9, rng).passed


def test_a_changed_file_is_named(checkpoint, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    shutil.copy(bundle / "eye.onnx", tmp_path / "bundle" / "voice.onnx.data")
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    models = weights.load_models(checkpoint)
    models.ear.head.bias.data += 0.5
    weights.save_part(tmp_path / "checkpoint", "ear", models.ear, SMALL)
    certificate = verify_bundle(tmp_path / "checkpoint", tmp_path / "bundle")
    assert not certificate.passed and any("ear.safetensors" in problem for problem in certificate.problems)
    assert any(row.what == "ear, letters" and not row.passed for row in certificate.rows)


def test_only_what_is_proven_is_exported(models, tmp_path):
    with pytest.raises(InputError, match="fp32"):
        export_bundle(models, tmp_path / "bundle", precision="int4")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("one, other, count", [("abc", "abc", 0), ("abc", "abd", 1), ("abc", "ab", 1)])
def test_differing(one, other, count):
    assert differing(list(one), list(other)) == count
