"""Smaller graphs: what is quantized, what stays, what a file says of itself, and what is lost."""

import json
import logging
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from refusals import refused

from helpers import quantize
from helpers.audio.clips import load_clips
from helpers.export import bundle as bundle_files
from helpers.export import graph as export
from helpers.export.bundle import save_graph
from helpers.quantize import (
    METHODS,
    PRECISIONS,
    matrix_products,
    static,
    write_smaller,
)
from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.runtime.session import OnnxGraph
from helpers.vampnet import fidelity
from helpers.vampnet.fidelity import Example, examples, findings, loss
from helpers.vampnet.graphs import KEEP_IN_FLOAT, export_bundle, graph_precisions, graphs_to_export
from helpers.vampnet.limits import LIMITS, limits
from helpers.vampnet.pipeline import GRAPHS, STAGES, Pipeline
from helpers.vampnet.proof import verify_bundle
from helpers.verify import (
    AGREEMENT,
    AT_LEAST,
    KL,
    NLL,
    SNR,
    Finding,
    log_softmax,
    relative_difference,
    snr_db,
)

CODES = np.random.default_rng(0).integers(0, 129, (2, 4, 50))
CLOSE = {"fp16": 1e-3, "int8": 0.1, "int8-block": 0.05, "int4": 0.5}  # of the largest logit; random weights


@pytest.fixture(scope="module")
def coarse(bundle):
    return bundle / "coarse.onnx"


@pytest.fixture(scope="module")
def small(coarse, tmp_path_factory):
    """The coarse graph by method."""
    folder = tmp_path_factory.mktemp("small")
    return {name: write_smaller(coarse, folder / f"{name}.onnx", name, KEEP_IN_FLOAT) for name in METHODS}


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def weights(path):
    return {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(path).graph.initializer}


# --- One graph


@pytest.mark.parametrize("name", METHODS)
def test_a_smaller_graph_gives_nearly_the_same(coarse, small, name, capfd):
    whole, reduced = (OnnxGraph(path)(CODES) for path in (coarse, small[name]))
    assert 0 < relative_difference(whole, reduced) < CLOSE[name]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "share"), [("fp16", 0.6), ("int8", 0.4), ("int8-block", 0.5), ("int4", 0.3)]
)
def test_it_is_smaller(coarse, small, name, share):
    assert small[name].stat().st_size < share * coarse.stat().st_size


@pytest.mark.parametrize("name", METHODS)
def test_what_a_file_says_of_itself_survives(coarse, small, name):
    before, after = (onnx.load(path) for path in (coarse, small[name]))
    onnx.checker.check_model(after)
    said = [{entry.key: entry.value for entry in model.metadata_props} for model in (before, after)]
    assert said[1] == {**said[0], "precision": name}
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert not after.graph.value_info


@pytest.mark.parametrize(("name", "operator"), [("int8", "MatMulInteger"), ("int4", "MatMulNBits")])
def test_all_matrix_products_but_those_kept(coarse, small, name, operator):
    products = matrix_products(coarse)
    kept = [product for product in products if product.startswith(KEEP_IN_FLOAT)]
    assert len(products) == 3 * 6 + 2 and len(kept) == 1
    found = operators(small[name])
    assert found.count(operator) == len(products) - len(kept) and found.count("MatMul") == len(kept)


def test_weights_are_signed_and_have_a_scale_for_each_output(small):
    found = weights(small["int8"])
    (name,) = (name for name in found if name.startswith("layers.1.feed_forward.w_1.weight_q"))
    assert found[name].dtype == np.int8
    assert found["layers.1.feed_forward.w_1.weight_scale"].shape == (256,)


def test_one_product_alone(coarse, tmp_path):
    product = matrix_products(coarse)[3]
    path = write_smaller(coarse, tmp_path / "one.onnx", "int8", products=[product])
    assert operators(path).count("MatMulInteger") == 1


def test_half_precision_is_how_weights_are_stored_not_how_they_are_used(coarse, small, tmp_path):
    """The same numbers come from a float32 graph whose large weights are rounded to float16."""
    model = onnx.load(coarse)
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.ndim > 1 and values.size >= quantize.FEWEST:
            weight.CopyFrom(
                numpy_helper.from_array(values.astype(np.float16).astype(np.float32), weight.name)
            )
    onnx.save(model, tmp_path / "rounded.onnx")
    rounded = OnnxGraph(tmp_path / "rounded.onnx")(CODES)
    np.testing.assert_array_equal(OnnxGraph(small["fp16"])(CODES), rounded)
    kinds = {name: values.dtype for name, values in weights(small["fp16"]).items()}
    assert kinds["embedding.table.half"] == np.float16 and kinds["norm.weight"] == np.float32


def test_what_float16_cannot_hold_stays(coarse, tmp_path):
    model = onnx.load(coarse)
    (table,) = (weight for weight in model.graph.initializer if weight.name == "embedding.table")
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) * 1e6, table.name))
    onnx.save(model, tmp_path / "large.onnx")
    write_smaller(tmp_path / "large.onnx", tmp_path / "small.onnx", "fp16")
    assert weights(tmp_path / "small.onnx")["embedding.table"].dtype == np.float32


def test_static_quantization_fixes_the_ranges_it_saw(coarse, tmp_path):
    products = [name for name in matrix_products(coarse) if not name.startswith(KEEP_IN_FLOAT)]
    method = partial(static, examples=[CODES[:1], CODES[1:]])
    path = write_smaller(coarse, tmp_path / "static.onnx", method, KEEP_IN_FLOAT)
    assert "DynamicQuantizeLinear" not in operators(path)
    assert operators(path).count("DequantizeLinear") >= 2 * len(products)
    assert relative_difference(*(OnnxGraph(one)(CODES) for one in (coarse, path))) < 0.15


@pytest.mark.parametrize("opset", [17, 20])
def test_older_opsets_too(models, tmp_path, opset):
    graph = graphs_to_export(models)["coarse"]
    save_graph(export.to_onnx(graph, opset), tmp_path / "whole.onnx", {}, external_data=True)
    path = write_smaller(tmp_path / "whole.onnx", tmp_path / "small.onnx", "int8", KEEP_IN_FLOAT)
    assert relative_difference(*(OnnxGraph(p)(CODES) for p in (tmp_path / "whole.onnx", path))) < 0.1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["small.onnx", "whole.onnx", "whole.onnx.data"]


def test_the_root_logger_stays_as_it_was(coarse, tmp_path, capfd):
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    for name in ("int8", "int4"):
        write_smaller(coarse, tmp_path / "small.onnx", name)
    assert (root.level, root.handlers) == before and logging.root.manager.disable == logging.NOTSET
    assert capfd.readouterr() == ("", "")


# --- A bundle


@pytest.fixture
def exported(monkeypatch, models, bundle, tmp_path):
    """Export the golden models in a precision; the float32 graphs are those of `bundle`."""

    def quick(graph, opset):
        return ir.load(bundle / f"{next(known)}.onnx")

    known = iter(GRAPHS)
    monkeypatch.setattr(bundle_files, "to_onnx", quick)
    return lambda precision: export_bundle(models, tmp_path / precision, precision=precision)


@pytest.fixture
def one_clip(monkeypatch):
    monkeypatch.setattr(fidelity, "load_clips", lambda longest: load_clips(longest=longest)[:1])
    monkeypatch.setattr("helpers.vampnet.proof.CODEC_SHAPES", ((2, 9),))


def test_a_small_bundle_is_opened_like_any_other(exported, bundle):
    small = exported("int8")
    manifest = load_manifest(small)
    assert manifest["precision"] == graph_precisions("int8") == {
        "codec_encoder": "fp32", "codec_decoder": "fp16", "coarse": "int8", "c2f": "int8"
    }  # fmt: skip
    assert (
        manifest["limits"]["coarse"] == limits("coarse", "int8") and manifest["limits"]["codec_encoder"] == {}
    )
    for name in GRAPHS:
        assert f"{name}.onnx" in manifest["sha256"]
        metadata = {one.key: one.value for one in onnx.load(small / f"{name}.onnx").metadata_props}
        assert metadata["precision"] == manifest["precision"][name] and metadata["graph"] == name
    assert sorted(path.name for path in small.iterdir()) == sorted(path.name for path in bundle.iterdir())
    whole, reduced = Pipeline.open(bundle), Pipeline.open(small)
    codes = whole.encode(np.sin(np.arange(44100) / 20).astype(np.float32), 44100, condition=False)
    np.testing.assert_array_equal(
        codes, reduced.encode(np.sin(np.arange(44100) / 20), 44100, condition=False)
    )
    assert reduced.vamp(codes, np.ones_like(codes), steps=2).shape == codes.shape
    assert np.abs(whole.decode(codes) - reduced.decode(codes)).max() < 0.05  # random weights amplify


def test_verify_holds_it_to_its_limits(exported, golden_dir, one_clip, monkeypatch):
    small = exported("int8")
    monkeypatch.setitem(LIMITS, "int8", {NLL: 0.05, KL: 0.05, AGREEMENT: 0.8})  # random weights
    certificate = verify_bundle(golden_dir, small)
    assert certificate.passed and not certificate.problems
    assert {row.graph for row in certificate.rows} == {"codec_encoder"}
    assert {row.graph for row in certificate.findings} == set(GRAPHS) - {"codec_encoder"}
    assert str(certificate).splitlines()[-1].startswith("passed")
    assert "same first choice" in str(certificate) and "same first choice" in certificate._repr_html_()
    assert len(json.loads(json.dumps(certificate.to_json()))["findings"]) == 7
    monkeypatch.setitem(LIMITS, "int8", {KL: 0.0})
    certificate = verify_bundle(golden_dir, small)
    assert not certificate.passed and "FAILED (2 rows)" in certificate.summary()


def test_a_manifest_without_a_known_precision_is_refused(bundle, golden_dir, tmp_path):
    copied = Path(shutil.copytree(bundle, tmp_path / "copied"))
    manifest = load_manifest(copied)
    for wrong in (None, "fp32", {**manifest["precision"], "codec_encoder": "fp16"}):
        (copied / MANIFEST).write_text(json.dumps({**manifest, "precision": wrong}))
        with refused("no usable 'precision'"):
            verify_bundle(golden_dir, copied)


def test_unknown_precisions_are_refused(models, tmp_path):
    with refused("no precision 'int3'", "int8-block"):
        export_bundle(models, tmp_path / "bundle", precision="int3")
    assert not any(tmp_path.iterdir())


def test_every_precision_has_limits():
    for precision in set(PRECISIONS) - {"fp32"}:
        for graph in STAGES:
            assert set(limits(graph, precision)) == {NLL, KL, AGREEMENT}
        assert set(limits("codec_decoder", precision)) == {SNR}


# --- What was lost, on stand-ins


def test_loss_of_a_graph_that_is_the_same_and_of_one_that_shrugs():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, 2, 9, 5)).astype(np.float32)
    masked, true = rng.random((2, 9)) < 0.5, rng.integers(0, 5, (2, 9))
    asked = [Example(np.zeros((1, 2, 9), int), masked, true)]
    same = loss(lambda codes: logits, lambda codes: logits, asked)
    assert (same.change, same.kl, same.agreement) == (0, 0, 1)
    shrug = loss(lambda codes: 0 * logits, lambda codes: logits, asked)
    log_p = log_softmax(logits)[0][masked]
    assert shrug.nll == pytest.approx(np.log(5))
    assert shrug.kl == pytest.approx(np.log(5) + (np.exp(log_p) * log_p).sum(-1).mean())
    assert same.nll_float == pytest.approx(-log_p[np.arange(len(log_p)), true[masked]].mean())


def test_examples_mask_half_of_what_is_predicted(torch_pipeline):
    codes = [np.random.default_rng(0).integers(0, 128, (1, 14, 400))]
    for name, n_given, length in (("coarse", 0, 400), ("c2f", 4, 173)):
        asked = examples(torch_pipeline, name, codes)
        assert len(asked) == 400 // length
        for example in asked:
            is_mask = example.codes[0] == torch_pipeline.mask_token
            assert not is_mask[:n_given].any() and (is_mask[n_given:] == example.masked).all()
            assert example.masked.mean() == pytest.approx(0.5, abs=0.01)
            kept = example.codes[0, n_given:][~example.masked]
            assert (kept == example.true[~example.masked]).all()


def test_snr_takes_the_worst_clip():
    codes = [np.full((1, 1, 4), value) for value in (1, 2)]

    def noisy(codes):
        return codes * 1.0 + (0.1 if codes.max() == 2 else 0.01)

    assert snr_db(noisy, lambda codes: codes * 1.0, codes) == pytest.approx(26.02, abs=0.01)


@pytest.mark.parametrize(
    "measure, good, bad", [(NLL, 0.009, 0.02), (AGREEMENT, 0.99, 0.5), (KL, 0.001, np.nan)]
)
def test_limits_are_on_the_right_side(measure, good, bad):
    limit = limits("coarse", "int8")[measure]
    assert Finding("coarse", "int8", measure, good, limit, measure in AT_LEAST).passed
    assert not Finding("coarse", "int8", measure, bad, limit, measure in AT_LEAST).passed


def test_float32_is_not_measured(torch_pipeline):
    assert list(findings(graph_precisions("fp32"), torch_pipeline, torch_pipeline)) == []
