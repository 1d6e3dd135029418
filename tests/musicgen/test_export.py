"""Graphs and bundles: other shapes, the older opset, both forms of the language model, smaller weights."""

import json
import shutil

import numpy as np
import onnx as onnx_library
import pytest
import torch
from fabricate_musicgen import modules, write_hugging_face
from refusals import refused

from helpers.export.bundle import save_graph
from helpers.export.graph import GraphToExport, to_onnx
from helpers.musicgen.graphs import GRAPHS, export_bundle, stacked_graph
from helpers.musicgen.pipeline import Pipeline
from helpers.musicgen.proof import verify_bundle
from helpers.musicgen.reference import TorchPipeline
from helpers.musicgen.weights import load_models
from helpers.quantize import write_smaller
from helpers.runtime.session import OnnxGraph

from .conftest import GOLDEN


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Stereo, odd ratios, one recurrent layer, two residual blocks, reflected edges: directory and bundle."""
    directory = tmp_path_factory.mktemp("other")
    write_hugging_face(directory / "checkpoints", *modules())
    models = load_models(directory / "checkpoints")
    export_bundle(models, directory / "bundle", opset=18)
    return directory


@pytest.fixture(scope="module")
def others(other):
    """The same in both runtimes."""
    return TorchPipeline.open(other / "checkpoints"), Pipeline.open(other / "bundle", threads=1)


def sound(batch, channels, n):
    return np.random.default_rng(n).standard_normal((batch, channels, n)).astype(np.float32) / 10


@pytest.mark.parametrize("n_samples", [1, 2, 7, 29, 30, 31, 95, 700, 1507])
def test_other_codecs_encode_alike(others, n_samples):
    torch_pipeline, onnx = others
    audio = sound(2, 2, n_samples)
    with torch.inference_mode():
        whole = torch_pipeline.models.codec.encode(torch.from_numpy(audio)).numpy()
    assert whole.shape == (2, 6, -(-n_samples // 30))
    np.testing.assert_array_equal(onnx.encode(audio, onnx.sample_rate), whole)
    np.testing.assert_array_equal(torch_pipeline.encode(audio, onnx.sample_rate), whole)
    left = torch_pipeline.encode(audio[:, :1].repeat(2, 1), onnx.sample_rate)
    np.testing.assert_array_equal(left[:, ::2], whole[:, ::2])  # book 2 k is the left channel's


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("size", [1, 3, 10])
def test_other_codecs_decode_alike_in_windows_of_any_size(others, n_frames, size):
    torch_pipeline, onnx = others
    codes = np.random.default_rng(n_frames).integers(0, 32, (2, 6, n_frames))
    with torch.inference_mode():
        whole = torch_pipeline.models.codec.decode(torch.from_numpy(codes), 2).numpy()
    assert whole.shape == (2, 2, 30 * n_frames)
    for pipeline in others:
        pieces = list(pipeline.decode_stream(iter(np.split(codes, n_frames, axis=2)), size))
        np.testing.assert_allclose(np.concatenate(pieces, axis=-1), whole, atol=1e-5)


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_other_codecs_encode_alike_in_windows_of_any_size(others, monkeypatch, piece):
    audio = sound(1, 2, 1507)
    at_once = [pipeline.encode(audio, pipeline.sample_rate) for pipeline in others]
    monkeypatch.setattr("helpers.musicgen.pipeline.PIECE_SECONDS", piece / others[0].frame_rate)
    for pipeline, whole in zip(others, at_once):
        np.testing.assert_array_equal(pipeline.encode(audio, pipeline.sample_rate), whole)


def test_other_models_generate_alike(others):
    options = {"text": ["drums", None], "prompt": sound(1, 1, 400), "prompt_rate": 1600, "seconds": 2.5,
               "window_seconds": 1.2, "seed": 2, "temperature": 0.9}  # fmt: skip
    ours, theirs = (pipeline.generate(**options) for pipeline in others)
    np.testing.assert_array_equal(ours.codes, theirs.codes)
    np.testing.assert_allclose(ours.audio, theirs.audio, atol=1e-4)
    assert ours.audio.shape == (2, 2, int(2.5 * 53) * 30)


def test_a_bundle_stands_alone_and_says_what_it_is(other):
    manifest = json.loads((other / "bundle" / "bundle.json").read_text())
    assert manifest["model"] == "musicgen" and manifest["opset"] == 18 and manifest["channels"] == 2
    assert manifest["delays"] == [0, 0, 1, 1, 2, 2] and manifest["text_padding"] == "mask"
    assert manifest["special_token"] == 32 and manifest["tokenizer"] == "tokenizer.json"
    files = {f"{name}.onnx" for name in GRAPHS} | {"tokenizer.json"}
    assert set(manifest["sha256"]) == files and files | {"bundle.json"} == {
        path.name for path in (other / "bundle").iterdir()
    }
    for name in GRAPHS:
        model = onnx_library.load(other / "bundle" / f"{name}.onnx")
        assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
        assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
        onnx_library.checker.check_model(model, full_check=True)


def test_what_the_codecs_graphs_need_is_one_input(others):
    _, onnx = others
    for name, given in (("encodec_encoder", "audio"), ("encodec_decoder", "codes")):
        assert onnx.graphs[name].inputs == [given]


def test_the_form_that_teaches_gives_the_same(musicgen, reference, tmp_path, audiocraft_only):
    save_graph(to_onnx(stacked_graph(musicgen.language)), tmp_path / "lm.onnx", {}, False)
    graph = OnnxGraph(tmp_path / "lm.onnx", threads=1)
    rng = np.random.default_rng(0)
    columns, condition = rng.integers(0, 129, (2, 4, 11)), reference.text(["slow sad piano", "drums"])
    whole, _ = reference.logits(columns, condition)
    mask = condition.attended(reference.spec.text_padding)
    keys = values = np.zeros((3, 2, 4, 0, 12), np.float32)
    for part in np.split(columns, [3, 4, 9], axis=2):
        first = keys.shape[3]
        logits, keys, values = graph(part, condition.states, mask, keys, values)
        np.testing.assert_allclose(logits, whole[:, :, first : keys.shape[3]], atol=1e-4)


def test_a_smaller_bundle_plays(reference, musicgen, musicgen_bundle, tmp_path, audiocraft_only):
    small = Pipeline.open(export_bundle(musicgen, tmp_path / "small", precision="int8"), threads=1)
    kept = json.loads((tmp_path / "small" / "bundle.json").read_text())["precision"]
    blocks = dict.fromkeys(GRAPHS[2:], "int8-block")
    assert kept == {"encodec_encoder": "fp32", "encodec_decoder": "fp16", **blocks}
    options = {"text": "drums", "prompt": sound(1, 1, 640), "prompt_rate": 3200, "seconds": 1}
    made, whole = (pipeline.generate(**options) for pipeline in (small, reference))
    np.testing.assert_array_equal(made.codes[:, :, :10], whole.codes[:, :, :10])  # the encoder is what it was
    assert np.isfinite(made.audio).all() and made.audio.shape == whole.audio.shape
    for name in ("lm", "lm_text"):
        size, before = (
            (bundle / f"{name}.onnx").stat().st_size for bundle in (tmp_path / "small", musicgen_bundle)
        )
        assert size < before


@pytest.mark.parametrize("precision, most", [("int8-block", 0.5), ("int4", 5)])
def test_fewer_bits_cost_something(
    reference, onnx, musicgen_bundle, tmp_path, precision, most, audiocraft_only
):
    path = write_smaller(musicgen_bundle / "lm.onnx", tmp_path / "lm.onnx", precision)
    small = Pipeline(onnx.spec, {**onnx.graphs, "lm": OnnxGraph(path, threads=1)})
    columns, condition = np.random.default_rng(0).integers(0, 129, (1, 4, 30)), reference.text("drums")
    whole, other = (pipeline.logits(columns, condition)[0] for pipeline in (reference, small))
    assert 1e-4 < np.abs(whole - other).max() < most


# --- the certificate


def test_a_bundle_proves_itself(other, musicgen_bundle, family):
    for directory, bundle in ((other / "checkpoints", other / "bundle"), (GOLDEN / family, musicgen_bundle)):
        certificate = verify_bundle(directory, bundle)
        assert certificate.passed, str(certificate)
        generated = [row for row in certificate.rows if "greedy" in row.what]
        assert len(generated) == 3 and all(row.tokens > 100 for row in generated)


def test_a_bundle_of_other_weights_does_not(musicgen_bundle, tmp_path, audiocraft_only):
    bundle = shutil.copytree(musicgen_bundle, tmp_path / "bundle")
    model = onnx_library.load(bundle / "lm.onnx")
    weight = next(one for one in model.graph.initializer if one.name.endswith("layers.1.norm_1.weight"))
    values = onnx_library.numpy_helper.to_array(weight).copy()
    values[0] *= 1.5
    weight.CopyFrom(onnx_library.numpy_helper.from_array(values, weight.name))
    onnx_library.save(model, bundle / "lm.onnx")
    certificate = verify_bundle(GOLDEN / "audiocraft", bundle)
    assert not certificate.passed and "lm.onnx" in certificate.problems[0]
    assert not all(row.passed for row in certificate.rows if row.graph == "lm")
    assert all(row.passed for row in certificate.rows if row.graph != "lm")
    with refused("lm.onnx", "export"):
        Pipeline.open(bundle).generate(seconds=0.1)


def test_a_bundle_of_another_model_is_refused(other, family, audiocraft_only):
    with refused("another shape"):
        verify_bundle(GOLDEN / family, other / "bundle")


@pytest.mark.parametrize(
    "change", [{"delays": None}, {"delays": [0, 1]}, {"delays": [0, 1, 2, -1]}, {"text_padding": "x"},
               {"hop": 0}, {"max_seconds": "long"}, {"channels": 3},
               {"tokenizer": "../x"}, {"sha256": 3}, {"hop": 2**70}]
)  # fmt: skip
def test_a_manifest_that_lies(musicgen_bundle, tmp_path, change, audiocraft_only):
    bundle = shutil.copytree(musicgen_bundle, tmp_path / "bundle")
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(manifest | change))
    with refused("bundle.json"):
        Pipeline.open(bundle)


def test_two_inputs_may_not_share_an_example():
    class Sum(torch.nn.Module):
        def forward(self, a, b):
            return a + b

    one = torch.zeros(2, 3)
    with refused("share"):
        to_onnx(GraphToExport(Sum(), {"a": one, "b": one}, ["c"], {}))
