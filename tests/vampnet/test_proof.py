"""The certificate: what passes, what fails, and which differences count as ties."""

import copy
import json
import shutil

import fabricate
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support.errors import InputError
from helpers.vampnet import proof as verify
from helpers.vampnet.decoding import Settings
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.proof import compare_decoding, compare_logits, count_encoder_ties, verify_bundle
from helpers.verify import TIE, TOLERANCE

# --- Bundles, whole and spoiled


@pytest.fixture
def brief(monkeypatch):
    """Fewer and smaller comparisons, for bundles that are to fail."""
    monkeypatch.setattr(verify, "SHAPES", ((1, 1), (2, 9)))
    monkeypatch.setattr(verify, "CODEC_SHAPES", ((2, 9),))
    monkeypatch.setattr(verify, "DECODE_SHAPE", (1, 20))


@pytest.fixture
def copied(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "bundle")


@pytest.fixture
def checkpoints(golden_dir, tmp_path):
    return shutil.copytree(golden_dir, tmp_path / "checkpoints", ignore=shutil.ignore_patterns("*.npz"))


def failed(certificate):
    return {row.what.split(",")[0] for row in certificate.rows if not row.passed}


def test_a_good_bundle_passes(golden_dir, bundle, monkeypatch):
    monkeypatch.setattr(verify, "CODEC_SHAPES", ((1, 1), (3, 7), (2, 20)))  # the codec is the slow part
    seen = []
    certificate = verify_bundle(golden_dir, bundle, on_row=seen.append)
    assert certificate.passed and not certificate.problems
    assert tuple(seen) == certificate.rows
    assert {row.frames for row in certificate.rows} >= {1, 7, 131, 2000} and {
        row.batch for row in certificate.rows
    } >= {1, 2, 3}
    assert {row.what.split(",")[0] for row in certificate.rows} == {
        "codec_encoder",
        "codec_decoder",
        "coarse",
        "c2f",
    }
    written = json.loads(json.dumps(certificate.to_json()))
    assert written["passed"] is True and len(written["rows"]) == len(seen)
    assert written["bundle_sha256"].keys() == {
        "codec_encoder.onnx",
        "codec_decoder.onnx",
        "coarse.onnx",
        "c2f.onnx",
    }
    assert str(certificate).splitlines()[-1].startswith("passed")
    assert certificate._repr_html_().count("<tr>") == len(seen) + 1


@pytest.mark.parametrize(
    ("graph", "weight"),
    [
        ("codec_encoder", "encoder.conv_in.weight"),
        ("codec_decoder", "decoder.conv_out.weight"),
        ("coarse", "layers.1.self_attn.w_qs.weight"),
        ("c2f", "classifier.bias"),
    ],
)
def test_one_changed_weight_fails(golden_dir, copied, brief, graph, weight):
    model = onnx.load(copied / f"{graph}.onnx")
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == weight)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.5
    tensor.CopyFrom(numpy_helper.from_array(values, weight))
    onnx.save(model, copied / f"{graph}.onnx")
    certificate = verify_bundle(golden_dir, copied)
    assert not certificate.passed and failed(certificate) == {graph}
    assert certificate.problems == (f"{graph}.onnx is not the file that {MANIFEST} describes",)
    assert certificate.to_json()["passed"] is False


def test_changed_bytes_fail_though_all_numbers_agree(golden_dir, copied, brief):
    model = onnx.load(copied / "coarse.onnx")
    model.doc_string = "changed on the way"
    onnx.save(model, copied / "coarse.onnx")
    certificate = verify_bundle(golden_dir, copied)
    assert not certificate.passed and not failed(certificate)
    assert certificate.problems == (f"coarse.onnx is not the file that {MANIFEST} describes",)


def test_a_manifest_without_checksums_fails(golden_dir, copied, brief):
    manifest = load_manifest(copied)
    manifest["sha256"].pop("c2f.onnx")
    (copied / MANIFEST).write_text(json.dumps(manifest))
    assert verify_bundle(golden_dir, copied).problems == (
        f"c2f.onnx is not the file that {MANIFEST} describes",
    )


def test_another_checkpoint_fails(checkpoints, bundle, brief):
    content = torch.load(checkpoints / "coarse.pth", weights_only=True)
    content["state_dict"]["transformer.norm.weight"][3] += 0.5
    torch.save(content, checkpoints / "coarse.pth")
    certificate = verify_bundle(checkpoints, bundle)
    assert not certificate.passed and failed(certificate) == {"coarse"}
    assert certificate.problems == ("the bundle was not made from this coarse.pth",)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path, bundle):
    with pytest.raises(InputError, match="another shape"):
        verify_bundle(fabricate.checkpoints(tmp_path), bundle)


def test_a_lora_overlay_that_the_bundle_lacks_fails(golden_dir, bundle, tmp_path, brief):
    shape = fabricate.Shape(width=64, n_layers=3)
    torch.save(fabricate.lora_tensors(shape, "coarse"), tmp_path / "coarse-tuned.pth")
    certificate = verify_bundle(golden_dir, bundle, [tmp_path / "coarse-tuned.pth"])
    assert not certificate.passed and failed(certificate) == {"coarse"}
    assert len(certificate.problems) == 1 and "LoRA" in certificate.problems[0]


def test_two_graphs_that_changed_places_are_refused_in_one_line(golden_dir, copied, brief):
    shutil.copy(copied / "codec_decoder.onnx", copied / "codec_encoder.onnx")
    with pytest.raises(InputError, match="codec_encoder.onnx") as refusal:
        verify_bundle(golden_dir, copied)
    assert "\n" not in str(refusal.value)


# --- Ties, on stand-ins whose best tokens are set by hand


PLACE = (0, 0, 0)  # item, codebook, frame


def pipeline_with(best_two, largest=30.0, shift=0.0):
    """A stand-in in which tokens 2 and 3 have these logits at PLACE; elsewhere token 0 wins with the largest.

    30 makes the differences below small beside the largest logit, 3 makes places differ in confidence.
    """
    pipeline = fabricate.plain_pipeline()

    def logits(codes, kind=np.float32):
        values = np.zeros((len(codes), 2, codes.shape[-1], pipeline.codebook_size), kind)
        values[..., 0] = largest
        values[..., 1] = np.arange(values[..., 1].size).reshape(values.shape[:-1]) / 10
        values[PLACE] = [0, 0, *best_two, 0, 0, 0]
        values[0, 1, 0, 0] += shift
        return values

    pipeline.graphs["coarse"] = logits
    return pipeline


def exact(best_two, largest=30.0):
    return lambda codes: pipeline_with(best_two, largest).graphs["coarse"](codes, np.float64)


def compared_logits(ours, theirs, truth):
    rng = np.random.default_rng(0)
    answer = verify.ask("coarse", pipeline_with(ours), 2, 5, rng)
    return compare_logits("coarse", answer, exact(truth), pipeline_with(theirs))


def test_equal_logits_have_no_differences():
    row = compared_logits((0.05, 0.04), (0.05, 0.04), (0.05, 0.04))
    assert row.passed and (row.different, row.ties, row.margin, row.tokens) == (0, 0, None, 20)


def test_a_difference_between_equals_is_a_tie():
    row = compared_logits((0.05 + 1e-7, 0.05), (0.05, 0.05 + 1e-7), (0.05, 0.05))
    assert row.passed and (row.different, row.ties, row.margin) == (1, 1, 0.0)


@pytest.mark.parametrize("margin", [1e-3, 2e-5])
def test_a_difference_with_a_margin_is_a_failure(margin):
    row = compared_logits((0.05 + margin, 0.05), (0.05, 0.05 + 1e-7), (0.05 + margin, 0.05))
    assert row.difference < TOLERANCE  # the numbers alone would pass
    assert not row.passed and (row.different, row.ties) == (1, 0) and row.margin == pytest.approx(margin)


def test_logits_of_another_shape_are_refused():
    wrong = fabricate.plain_pipeline()
    wrong.graphs["coarse"] = lambda codes: np.zeros((len(codes), 1, codes.shape[-1], 7), np.float32)
    with pytest.raises(InputError, match="coarse.onnx"):
        answer = verify.ask("coarse", pipeline_with((1, 0)), 1, 3, np.random.default_rng(0))
        compare_logits("coarse", answer, exact((1, 0)), wrong)


class AllMasked:
    """In place of a random generator: every token 0, and masked."""

    def integers(self, low, high, shape):
        return np.zeros(shape, np.int64)

    def random(self, shape):
        return np.zeros(shape)


def compared_decoding(ours, theirs, truth, settings, shift=0.0):
    steps = list(verify.ask_steps("coarse", pipeline_with(ours, 3.0), settings, AllMasked()))
    in_onnx = pipeline_with(theirs, 3.0, shift)
    return compare_decoding("label", "coarse", steps, exact(truth, 3.0), in_onnx, settings)


@pytest.mark.parametrize(
    "settings", [Settings(steps=1, greedy=True), Settings(steps=3, greedy=True)], ids=["1 step", "3 steps"]
)
def test_ties_while_decoding(settings, monkeypatch):
    monkeypatch.setattr(verify, "DECODE_SHAPE", (2, 6))
    tied = compared_decoding((0.05 + 1e-7, 0.05), (0.05, 0.05 + 1e-7), (0.05, 0.05), settings)
    assert tied.passed and tied.different == tied.ties >= 1
    wrong = compared_decoding((0.051, 0.05), (0.05, 0.0500001), (0.051, 0.05), settings)
    assert not wrong.passed and wrong.ties < wrong.different and wrong.margin == pytest.approx(1e-3)


def test_a_tie_between_tokens_does_not_excuse_what_is_masked_again(monkeypatch):
    monkeypatch.setattr(verify, "DECODE_SHAPE", (1, 6))
    row = compared_decoding(
        (0.05 + 1e-7, 0.05), (0.05, 0.05 + 1e-7), (0.05, 0.05), Settings(steps=2, greedy=True), shift=20.0
    )
    assert not row.passed and row.ties < row.different and row.margin > 0.01


def test_sampled_tokens_tie_by_their_noisy_scores(monkeypatch):
    """Noise is part of the choice: the margin is that of logits plus noise."""
    monkeypatch.setattr(verify, "DECODE_SHAPE", (1, 6))
    row = compared_decoding((9.0, 0.0), (0.0, 9.0), (9.0, 0.0), Settings(steps=1))
    assert not row.passed and row.margin > 5


# --- Ties in the codec


@pytest.fixture(scope="module")
def encoded(models, golden):
    audio = golden["audio"][None, None, : 768 * 10]
    with torch.inference_mode():
        return audio, models.codec.encode(torch.from_numpy(audio)).numpy()


def test_another_code_is_no_tie(models, encoded):
    audio, codes = encoded
    theirs = codes.copy()
    theirs[0, 2, 4] = (codes[0, 2, 4] + 1) % 128
    different, ties, margin = count_encoder_ties(models.codec, audio, codes, theirs)
    assert (different, ties) == (1, 0) and margin > TIE
    assert count_encoder_ties(models.codec, audio, codes, codes) == (0, 0, None)


def test_two_equal_rows_tie_and_what_follows_in_that_frame_too(models, encoded):
    audio, codes = encoded
    codec, twin = copy.deepcopy(models.codec), (codes[0, 2, 4] + 1) % 128
    table = codec.quantizer.quantizers[2].codebook
    table[twin] = table[codes[0, 2, 4]]
    theirs = codes.copy()
    theirs[0, 2, 4] = twin
    theirs[0, 7:9, 4] = (codes[0, 7:9, 4] + 1) % 128  # follows from the tie
    assert count_encoder_ties(codec, audio, codes, theirs) == (3, 3, 0.0)
    theirs[0, 1, 5] = (codes[0, 1, 5] + 1) % 128  # another frame: no excuse
    different, ties, margin = count_encoder_ties(codec, audio, codes, theirs)
    assert (different, ties) == (4, 3) and margin > TIE


def test_a_decoder_that_amplifies_rounding_is_judged_by_float64(models, torch_pipeline, monkeypatch):
    """Beyond the tolerance, ONNX Runtime may be as far from float64 as PyTorch is, and not much farther."""
    monkeypatch.setattr("helpers.verify.side_by_side.TOLERANCE", 1e-9)
    exact = torch_pipeline.graphs["codec_decoder"]

    def off_by(amount):
        graphs = {"codec_decoder": lambda codes: exact(codes) * np.float32(1 + amount)}
        scaled = Pipeline(torch_pipeline.spec, torch_pipeline.graphs | graphs)
        rng = np.random.default_rng(0)
        return verify.compare_decoder(models.codec, torch_pipeline, scaled, 1, 20, rng)

    assert off_by(5e-7).passed and off_by(5e-7).rounding is not None
    assert not off_by(1e-3).passed
