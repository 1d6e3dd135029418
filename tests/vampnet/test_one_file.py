"""The whole vamp as one graph: token for token what the pipeline's loops give with the same noise."""

import shutil

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.__main__ import main
from helpers.export import noise
from helpers.export.nodes import Nodes
from helpers.quantize import write_smaller
from helpers.runtime.counter import hashed_noise, keys_of, mixed
from helpers.runtime.sampling import gumbel
from helpers.runtime.session import OnnxGraph
from helpers.support import files
from helpers.support.errors import InputError
from helpers.vampnet import masks, proof
from helpers.vampnet.files import MODELS
from helpers.vampnet.graphs import KEEP_IN_FLOAT, export_bundle
from helpers.vampnet.one_file import SETTINGS, settings_as_inputs, write_one_file
from helpers.vampnet.pipeline import STAGES, Pipeline
from helpers.verify import tones

LENGTHS = (1, 60, 600)  # frames: below a chunk, one of each kind, two of the coarse and four of the fine


def with_vamp(bundle, folder):
    """A copy of a bundle with vamp.onnx in it."""
    copied = shutil.copytree(bundle, folder / "bundle")
    write_one_file(Pipeline.open(copied).spec, False, copied, {})
    manifest = files.read_json(copied / "bundle.json")
    manifest["sha256"] = {path.name: files.sha256(path) for path in copied.glob("*.onnx")}
    files.write_json(copied / "bundle.json", manifest)
    return copied


def both(bundle):
    """The graph with everything inside, and a pipeline whose noise it has."""
    pipeline = Pipeline.open(bundle)
    pipeline.noise = hashed_noise
    return OnnxGraph(bundle / "vamp.onnx"), pipeline


@pytest.fixture(scope="module")
def golden_pair(bundle, tmp_path_factory):
    return both(with_vamp(bundle, tmp_path_factory.mktemp("one_file")))


@pytest.fixture(scope="module")
def course_pair(tmp_path_factory):
    bundle = tmp_path_factory.mktemp("course") / "bundle"
    assert main(["export", "--checkpoints", str(MODELS), "--out", str(bundle), "--one-file"]) == 0
    return both(bundle)


def sound_of(pipeline, frames):
    rng = np.random.default_rng(frames)
    return tones(1, 1, frames * pipeline.hop, pipeline.sample_rate, 2000, rng)


def agrees(pair, frames, make_mask=None, **how):
    """Whether all tokens and samples are equal; and that something was generated."""
    graph, pipeline = pair
    audio = sound_of(pipeline, frames)
    codes = pipeline.encode(audio, pipeline.sample_rate, condition=False)
    mask = make_mask(codes.shape) if make_mask else masks.codebook_mask(masks.periodic(codes.shape, 7), 3)
    expected = pipeline.vamp(codes, mask, **how)
    audio_out, found = graph(audio, mask, *settings_as_inputs(**how))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(audio_out, pipeline.decode(expected))
    return (found != codes).any()


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize(
    "how", [{"greedy": True, "steps": 4}, {"seed": 2**40 + 7, "steps": 5, "temperature": 0.5}]
)
def test_the_golden_checkpoint(golden_pair, frames, how):
    assert agrees(golden_pair, frames, **how)


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("how", [{"greedy": True, "steps": 2}, {"seed": 1, "steps": 3}])
def test_the_courses_checkpoint(course_pair, frames, how):
    assert agrees(course_pair, frames, **how)


@pytest.mark.parametrize("seed", range(6))
def test_masks_and_settings_of_any_kind(golden_pair, seed):
    rng = np.random.default_rng(seed)
    how = {
        "seed": int(rng.integers(2**62)),
        "steps": int(rng.integers(1, 9)),
        "fine_steps": int(rng.integers(1, 4)),
        "temperature": float(np.float32(rng.uniform(0.1, 2))),  # as the graph gets it
        "mask_temperature": float(np.float32(rng.uniform(0, 20))),
    }
    share = rng.uniform(0, 1)
    assert agrees(
        golden_pair, int(rng.integers(2, 200)), lambda shape: masks.random(shape, share, rng), **how
    )


def test_chunks_that_keep_everything_and_chunks_that_keep_nothing(golden_pair):
    def by_chunks(shape):
        mask = np.ones(shape, np.int64)
        mask[..., :180] = 0  # the first chunk of the fine books is left as it is
        return mask

    assert agrees(golden_pair, 400, by_chunks, steps=2)
    assert agrees(golden_pair, 100, masks.full, steps=2, seed=1)
    assert not agrees(golden_pair, 100, masks.empty, steps=2)


def test_the_noise_of_the_pipeline_is_another_where_nobody_asks(onnx_pipeline, golden):
    codes, mask = golden["mask_tokens"], golden["mask_codebook_mask_3"]
    other = Pipeline(onnx_pipeline.spec, onnx_pipeline.graphs)
    other.noise = hashed_noise
    assert (other.coarse(codes, mask, steps=2) != onnx_pipeline.coarse(codes, mask, steps=2)).any()


def test_smaller_weights(bundle, tmp_path):
    small = shutil.copytree(bundle, tmp_path / "small")
    for name in STAGES:
        write_smaller(bundle / f"{name}.onnx", small / f"{name}.onnx", "int8", KEEP_IN_FLOAT)
    manifest = files.read_json(small / "bundle.json")
    manifest["sha256"] = {path.name: files.sha256(path) for path in small.glob("*.onnx")}
    files.write_json(small / "bundle.json", manifest)
    assert agrees(both(with_vamp(small, tmp_path)), 60, steps=3)


def test_an_opset_without_what_it_needs(models, tmp_path):
    with pytest.raises(InputError, match="opset 18"):
        export_bundle(models, tmp_path / "old", opset=17, one_file=True)
    assert not (tmp_path / "old").exists()


@pytest.mark.slow
def test_the_oldest_opset_that_has_it(models, tmp_path):
    assert agrees(both(export_bundle(models, tmp_path / "older", opset=18, one_file=True)), 60, steps=3)


# --- the file


def test_it_is_a_file_that_other_runtimes_can_take(golden_pair):
    graph, pipeline = golden_pair
    model = onnx.load(graph.path)
    onnx.checker.check_model(model, full_check=True)
    weights = {one.name for one in model.graph.initializer}
    assert [one.name for one in model.graph.input] == ["audio", "mask", *SETTINGS]
    assert not weights & {one.name for one in model.graph.input}  # no input has a default
    assert [one.name for one in model.graph.output] == ["audio_out", "codes"]

    def count(graph, kind):
        below = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
        return sum(node.op_type == kind for node in graph.node) + sum(count(one, kind) for one in below)

    assert count(model.graph, "Loop") == 4  # chunks, and in them steps, of two transformers
    parts = [onnx.load(one.path) for one in pipeline.graphs.values()]
    assert count(model.graph, "MatMul") == sum(
        count(one.graph, "MatMul") for one in parts
    )  # nothing unrolled
    n_bytes = sum(one.path.stat().st_size for one in pipeline.graphs.values())
    assert graph.path.stat().st_size < 1.1 * n_bytes


def test_the_bundle_has_it_and_verify_compares_it(
    course_pair, golden_pair, golden_dir, tmp_path, monkeypatch, capsys
):
    course = course_pair[0].path.parent
    assert files.read_json(course / "bundle.json")["sha256"]["vamp.onnx"] == files.sha256(
        course / "vamp.onnx"
    )
    assert main(["inspect", str(course)]) == 0 and "vamp.onnx" in capsys.readouterr().out
    monkeypatch.setattr(proof, "compare", lambda *given: iter(()))  # the four graphs alone, which take long
    bundle = shutil.copytree(golden_pair[0].path.parent, tmp_path / "bundle")
    certificate = proof.verify_bundle(golden_dir, bundle)
    assert certificate.passed and len(certificate.rows) == 3
    assert all(row.graph == "vamp" and row.tokens and row.difference == 0 for row in certificate.rows)
    model = onnx.load(bundle / "vamp.onnx")
    weight = next(one for one in model.graph.initializer if one.name.startswith("codec_decoder/"))
    weight.raw_data = bytes(len(weight.raw_data))
    onnx.save(model, bundle / "vamp.onnx")
    certificate = proof.verify_bundle(golden_dir, bundle)
    assert not certificate.passed and any("vamp.onnx" in line for line in certificate.problems)
    assert not any(row.passed for row in certificate.rows[1:])  # one frame alone keeps its ends


# --- the noise


def noise_graph():
    """Gumbel noise for places, from a seed and two keys."""
    nodes = Nodes()
    named = {
        name: ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(shape))
        for name, kind, shape in (
            ("seed", ir.DataType.INT64, ()), ("a", ir.DataType.INT64, ()), ("b", ir.DataType.INT64, ()),
            ("places", ir.DataType.INT32, ("n",)),
        )
    }  # fmt: skip
    seed, a, b, places = named.values()
    out = noise.gumbel(nodes, noise.more(nodes, noise.stream(nodes, seed, a), b), places)
    out.name, out.type, out.shape = "noise", ir.TensorType(ir.DataType.FLOAT), ir.Shape(["n"])
    graph = nodes.graph("noise", list(named.values()), [out])
    graph.opset_imports[""] = 18
    return onnxruntime.InferenceSession(ir.to_proto(ir.Model(graph, ir_version=8)).SerializeToString())


@pytest.fixture(scope="module")
def in_a_graph():
    return noise_graph()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_graph_makes_the_same_noise(in_a_graph, seed, a, b):
    given_ = {
        "seed": np.array(seed),
        "a": np.array(a),
        "b": np.array(b),
        "places": np.arange(999, dtype=np.int32),
    }
    [found] = in_a_graph.run(None, given_)
    np.testing.assert_array_equal(found, gumbel(hashed_noise(seed, a, b, shape=(999,))))


def test_the_hash_loses_nothing_and_mixes_well():
    numbers = np.arange(1 << 20, dtype=np.uint32)
    assert len(np.unique(mixed(numbers, 12345))) == len(numbers)  # one to one
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 20000, dtype=np.uint32)
    for bit in range(32):  # one bit of the input changes each bit of the output in half of all cases
        changed = mixed(x) ^ mixed(x ^ np.uint32(1 << bit))
        share = np.array([((changed >> np.uint32(i)) & 1).mean() for i in range(32)])
        assert np.abs(share - 0.5).max() < 0.03


def test_the_noise_is_uniform_and_streams_are_unlike():
    streams = [hashed_noise(*keys, shape=(100_000,)) for keys in
               ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**32, 0, 0), (2**63 - 1, 5, 9))]  # fmt: skip
    for one in streams:
        assert one.dtype == np.float32 and 0 <= one.min() and one.max() < 1
        counts = np.histogram(one, 100, (0, 1))[0]
        assert (
            (counts - 1000) ** 2 / 1000
        ).sum() < 160  # chi squared of 99 degrees: 160 is one in ten thousand
        assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.015
    apart = np.abs(np.corrcoef(streams) - np.eye(len(streams)))
    assert apart.max() < 0.015
    assert len({keys_of(seed, a, b) for seed in range(20) for a in range(10) for b in range(10)}) == 2000
    np.testing.assert_array_equal(hashed_noise(3, 1, shape=(4, 5)).ravel(), hashed_noise(3, 1, shape=(20,)))


def test_the_noise_is_the_same_on_every_platform():
    """The numbers themselves, which a second implementation has to give."""
    found = hashed_noise(1, 2, 3, shape=(4,)) * 2**24
    assert found.tolist() == FIRST_FOUR


FIRST_FOUR = [6532287.0, 14893574.0, 16087254.0, 117982.0]
