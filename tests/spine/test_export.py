"""Graphs that a stranger can run, and bundles that are whole or not there."""

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from refusals import refused

from helpers.export import bundle as bundle_files
from helpers.export import graph as export
from helpers.export.bundle import save_graph
from helpers.export.graph import to_onnx
from helpers.export.inspection import operators, weights_by_part
from helpers.runtime import session as session_module
from helpers.runtime.manifest import MANIFEST
from helpers.support import files
from helpers.support.files import ROOT
from helpers.vampnet.graphs import export_bundle, graphs_to_export
from helpers.vampnet.pipeline import GRAPHS, Pipeline

BUNDLE_FILES = sorted([MANIFEST, *(f"{name}.onnx" for name in GRAPHS)])
OPSETS = (17, 20, 23)
SHAPES = ((1, 1), (2, 50), (3, 131))


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def codes(shape, model):
    batch, frames = shape
    return np.random.default_rng(0).integers(
        0, model.config.vocab_size + 1, (batch, model.config.n_codebooks, frames)
    )


def logits_differ(path, model):
    """The largest difference from PyTorch at three shapes, as a share of the largest logit."""
    run, worst = session(path), 0.0
    for shape in SHAPES:
        tokens = codes(shape, model)
        with torch.inference_mode():
            expected = model(torch.from_numpy(tokens)).numpy()
        (actual,) = run.run(None, {"codes": tokens})
        assert actual.shape == expected.shape
        worst = max(worst, np.abs(actual - expected).max() / np.abs(expected).max())
    return worst


@pytest.fixture(scope="module")
def coarse(models, tmp_path_factory):
    """The coarse graph by opset."""
    directory = tmp_path_factory.mktemp("coarse")
    for opset in OPSETS:
        save_graph(
            to_onnx(graphs_to_export(models)["coarse"], opset),
            directory / f"{opset}.onnx",
            {},
            external_data=False,
        )
    return {opset: directory / f"{opset}.onnx" for opset in OPSETS}


# --- The graphs


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_gives_the_same_logits(coarse, models, opset, capfd):
    assert logits_differ(coarse[opset], models.coarse) < 1e-5
    assert capfd.readouterr().err == ""  # ONNX Runtime warns there of what a graph need not hold


@pytest.mark.parametrize("opset", OPSETS)
def test_only_standard_operators_of_that_opset(coarse, opset):
    model = onnx.load(coarse[opset])
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert not model.functions and {node.domain for node in model.graph.node} == {""}
    assert model.ir_version <= onnx.helper.find_min_ir_version_for(model.opset_import)
    operators = {node.op_type for node in model.graph.node}
    new = {"Attention": 23, "RMSNormalization": 23, "Gelu": 20}
    assert {name for name in new if name in operators} == {
        name for name, since in new.items() if opset >= since
    }
    n_layers = 3
    if opset == 23:
        assert [node.op_type for node in model.graph.node].count("Attention") == n_layers


@pytest.mark.parametrize("opset", [16, 24, 0, -1])
def test_other_opsets_are_refused(models, tmp_path, opset):
    with refused(f"opset {opset}", "17 to 23"):
        export_bundle(models, tmp_path / "below" / "bundle", opset=opset)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", GRAPHS)
def test_axes_have_names_and_no_size(bundle, models, name):
    graph = onnx.load(bundle / f"{name}.onnx").graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    n = 4 if name == "coarse" else 14
    frames, samples = ["batch", n, "frames"], ["batch", 1, "samples"]
    assert (
        shapes
        == {
            "codec_encoder": {"audio": samples, "codes": frames},
            "codec_decoder": {"codes": frames, "audio": samples},
            "coarse": {"codes": frames, "logits": ["batch", 4, "frames", 128]},
            "c2f": {"codes": frames, "logits": ["batch", 10, "frames", 128]},
        }[name]
    )


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_hold_no_trace_of_training(bundle, name):
    model = onnx.load(bundle / f"{name}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain for entry in model.opset_import} == {""} and not model.functions
    content = (bundle / f"{name}.onnx").read_bytes()
    for trace in (b"weight_g", b"weight_v", b"original0", b"original1", b"lora_A", b"lora_B", b"Dropout"):
        assert trace not in content
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"ReduceL2", "Norm", "LpNormalization", "Identity", "If", "Loop"}


@pytest.mark.parametrize("opset", OPSETS)
def test_weights_keep_their_names_and_values(coarse, models, opset):
    stored = {
        value.name: onnx.numpy_helper.to_array(value) for value in onnx.load(coarse[opset]).graph.initializer
    }
    assert "layers.0.self_attn.w_qs.weight" in stored
    for name, parameter in models.coarse.named_parameters():
        module = models.coarse.get_submodule(name.rpartition(".")[0])
        expected = (
            parameter.numpy().T
            if isinstance(module, torch.nn.Linear) and name.endswith("weight")
            else parameter.numpy()
        )
        np.testing.assert_array_equal(stored[name], expected, err_msg=name)


@pytest.mark.parametrize("name", ["codec_encoder", "codec_decoder"])
def test_the_codecs_weights_keep_their_names(bundle, models, name):
    stored = {value.name for value in onnx.load(bundle / f"{name}.onnx").graph.initializer}
    module = graphs_to_export(models)[name].module
    expected = {
        parameter
        for parameter, _ in module.named_parameters()
        if parameter.endswith(("bias", "alpha", "v_in.weight"))
    }
    used = {parameter for parameter in expected if name == "codec_encoder" or ".in_proj." not in parameter}
    last = "quantizer.quantizers.13.out_proj.bias"  # what the last codebook leaves over is not needed
    assert used - stored <= ({last} if name == "codec_encoder" else set())


def test_nodes_are_named_after_their_modules(bundle):
    names = [node.name for node in onnx.load(bundle / "coarse.onnx").graph.node]
    assert len(set(names)) == len(names)
    for part in (
        "embedding.out_proj/MatMul_",
        "layers.2.self_attn.w_qs/MatMul_",
        "layers.0.norm_1/RMSNormalization_",
    ):
        assert any(name.startswith(part) for name in names), part


def test_the_same_model_gives_the_same_bytes(coarse, models, tmp_path):
    save_graph(
        to_onnx(graphs_to_export(models)["coarse"], 23), tmp_path / "again.onnx", {}, external_data=False
    )
    assert (tmp_path / "again.onnx").read_bytes() == coarse[23].read_bytes()


def test_the_models_are_as_before(models, bundle, golden):
    """Exporting shares the weights with the module: it must not turn or drop them."""
    with torch.inference_mode():
        logits = models.coarse(torch.from_numpy(golden["coarse_b2_t50_tokens"])).numpy()
    expected = golden["coarse_b2_t50_logits"]
    actual = logits.transpose(0, 3, 2, 1).reshape(expected.shape)
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()


def test_external_data(coarse, models, tmp_path):
    directory = tmp_path / "first"
    directory.mkdir()
    save_graph(
        to_onnx(graphs_to_export(models)["coarse"], 23),
        directory / "coarse.onnx",
        {"graph": "coarse"},
        external_data=True,
    )
    assert sorted(path.name for path in directory.iterdir()) == ["coarse.onnx", "coarse.onnx.data"]
    assert (directory / "coarse.onnx.data").stat().st_size > 10 * (directory / "coarse.onnx").stat().st_size
    moved = directory.rename(tmp_path / "moved")
    onnx.checker.check_model(str(moved / "coarse.onnx"), full_check=True)
    assert logits_differ(moved / "coarse.onnx", models.coarse) < 1e-5
    inside = onnx.load(moved / "coarse.onnx", load_external_data=False).graph.initializer
    places = {entry.value for value in inside for entry in value.external_data if entry.key == "location"}
    assert places == {"coarse.onnx.data"}


def test_too_big_for_one_file(models, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_files, "PROTOBUF_LIMIT", 1000)
    save_graph(tiny(), tmp_path / "tiny.onnx", {}, external_data=False)
    assert (tmp_path / "tiny.onnx.data").exists()


# --- The bundle


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_the_manifest(bundle, golden_dir):
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    assert sorted(path.name for path in bundle.iterdir()) == BUNDLE_FILES
    expected = {
        "format": 1, "model": "vampnet", "sample_rate": 44100, "hop": 768, "n_codebooks": 14,
        "codebook_size": 128, "n_coarse_codebooks": 4, "n_conditioning_codebooks": 4, "mask_token": 128,
        "coarse_chunk": 575, "c2f_chunk": 173, "opset": 23, "precision": dict.fromkeys(GRAPHS, "fp32"),
    }  # fmt: skip
    assert expected.items() <= manifest.items()
    assert manifest["sha256"] == {f"{name}.onnx": sha256(bundle / f"{name}.onnx") for name in GRAPHS}
    assert manifest["source_sha256"] == {
        f"{name}.pth": sha256(golden_dir / f"{name}.pth") for name in ("codec", "coarse", "c2f")
    }
    assert manifest["tools"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert manifest["tools"].keys() >= {"onnx", "onnxruntime", "onnxscript", "numpy"}


@pytest.mark.parametrize("name", GRAPHS)
def test_each_graph_says_where_it_came_from(bundle, golden_dir, name):
    model = onnx.load(bundle / f"{name}.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["graph"] == name and metadata["precision"] == "fp32" and model.producer_name
    sources = ["codec.pth"] if name.startswith("codec") else ["codec.pth", f"{name}.pth"]
    assert json.loads(metadata["source_sha256"]) == {
        source: sha256(golden_dir / source) for source in sources
    }
    assert "torch" in json.loads(metadata["tools"])


@pytest.mark.parametrize("name", BUNDLE_FILES)
def test_no_path_of_this_machine_travels_along(bundle, coarse, name):
    paths = [ROOT, bundle.parent, Path.home(), Path(torch.__file__).parent, Path(os.__file__).parent]
    contents = [(bundle / name).read_bytes(), *(path.read_bytes() for path in coarse.values())]
    for content in contents:
        for trace in [
            b"site-packages",
            b'.py", line',
            b"Traceback",
            *(str(path).encode() for path in paths if path != Path("/")),
        ]:
            assert trace not in content, trace


# --- A bundle is whole or not there. The graphs are stand-ins: what counts is how they are written.


def tiny():
    """A graph with 40 kB of weights."""
    weight = onnx.numpy_helper.from_array(np.arange(10_000, dtype=np.float32), "weight")
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch"]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "weight"], ["y"])
    graph = onnx.helper.make_graph([node], "tiny", value[:1], value[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return export.ir.from_proto(model)


@pytest.fixture
def quick(monkeypatch, models):
    """Export a bundle of small stand-ins, in no time; what it takes are the arguments of `export_bundle`."""
    monkeypatch.setattr(bundle_files, "to_onnx", lambda graph, opset: tiny())
    return lambda out, **options: export_bundle(models, out, **options)


def contents(directory):
    """Every file and directory below, with what is in it."""
    below = sorted(directory.rglob("*"))
    return {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in below}


def fail_at(monkeypatch, name, error):
    """Let writing the graph `name` fail half-way."""

    def save(model, path, metadata, external_data):
        if path.name == name:
            path.write_bytes(b"half a graph")
            raise error
        save_graph(model, path, metadata, external_data)

    monkeypatch.setattr(bundle_files, "save_graph", save)


FULL_DISK = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("below", ["", "not/yet/there"])
@pytest.mark.parametrize("name", ["codec_encoder.onnx", "c2f.onnx"])
@pytest.mark.parametrize("kind", ["new", "over another"])
def test_an_interrupted_export_leaves_things_as_they_were(quick, tmp_path, monkeypatch, below, name, kind):
    out = tmp_path / below / "bundle"
    if kind == "over another":
        quick(out, external_data=True)
        (out / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    fail_at(monkeypatch, name, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        quick(out)
    assert contents(tmp_path) == before
    fail_at(monkeypatch, name, FULL_DISK)
    with refused(str(out), "No space left"):
        quick(out)
    assert contents(tmp_path) == before


def test_interrupted_between_two_graphs(quick, tmp_path):
    def on_graph(name):
        seen.append(name)
        if name == "coarse":
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "bundle", on_graph=on_graph)
    assert not any(tmp_path.iterdir()) and seen == ["codec_encoder", "codec_decoder", "coarse"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FULL_DISK])
@pytest.mark.parametrize("n", range(1, 12))
def test_interrupted_while_an_old_bundle_is_replaced(quick, tmp_path, monkeypatch, error, n):
    """The n-th rename fails: five files leave, one is written whole, five arrive."""
    out, renames, replace = tmp_path / "bundle", [], os.replace
    quick(out)
    for name in GRAPHS:
        (out / f"{name}.onnx").write_bytes(name.encode())  # an older one, to tell them apart
    before = contents(tmp_path)

    def failing(source, target):
        renames.append(source)
        if len(renames) == n:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises((KeyboardInterrupt, export.InputError)):
        quick(out)
    assert contents(tmp_path) == before


def test_a_bundle_over_another(quick, tmp_path):
    out = tmp_path / "bundle"
    assert quick(out, external_data=True) == out
    assert sorted(contents(out)) == sorted([*BUNDLE_FILES, *(f"{name}.onnx.data" for name in GRAPHS)])
    assert json.loads((out / MANIFEST).read_text())["sha256"]["coarse.onnx.data"] == sha256(
        out / "coarse.onnx.data"
    )
    (out / "notes.txt").write_text("mine")
    (out / "songs").mkdir()
    quick(out)
    assert sorted(contents(out)) == sorted([*BUNDLE_FILES, "notes.txt", "songs"])
    assert list(tmp_path.iterdir()) == [out]
    Pipeline.open(out)


@pytest.mark.parametrize("first", ["new", "over another"])
def test_of_two_exports_at_once_the_later_one_stays(quick, tmp_path, first):
    out = tmp_path / "bundle"
    if first == "over another":
        quick(out)
    quick(out, on_graph=lambda name: name == "c2f" and quick(out, external_data=True))
    assert sorted(contents(out)) == BUNDLE_FILES  # no weights of the other's beside them
    graphs = session_module.open_graphs(out, dict.fromkeys(GRAPHS, 1))
    assert [graph.inputs for graph in graphs.values()] == [["x"]] * len(GRAPHS)


def test_another_model_s_bundle_that_came_meanwhile_is_kept(quick, tmp_path):
    out = tmp_path / "bundle"

    def came(name):
        if name == "c2f":
            out.mkdir()
            (out / MANIFEST).write_text('{"model": "musicgen", "sha256": {}}')

    with refused("of the kind 'musicgen'"):
        quick(out, on_graph=came)
    assert sorted(contents(out)) == [MANIFEST] and list(tmp_path.iterdir()) == [out]


def test_a_bundle_that_is_moved_while_it_is_open_is_named(quick, tmp_path):
    out = quick(tmp_path / "bundle")
    graphs = session_module.open_graphs(out, dict.fromkeys(GRAPHS, 1))
    x = np.ones(1, np.float32)
    made = graphs["coarse"](x)
    out.rename(tmp_path / "elsewhere")
    assert np.array_equal(graphs["coarse"](x), made)  # what was read stays read
    with refused("c2f.onnx", "not there any more"):
        graphs["c2f"](x)


def test_a_bundle_of_another_model_is_kept_and_not_played(quick, tmp_path):
    out = quick(tmp_path / "bundle")
    manifest = json.loads((out / MANIFEST).read_text())
    (out / MANIFEST).write_text(json.dumps(manifest | {"model": "musicgen"}))
    before = contents(tmp_path)
    with refused(str(out), "of the kind 'musicgen'; name another directory"):
        quick(out)
    assert contents(tmp_path) == before
    with refused(str(out), "of the kind 'musicgen', and this takes vampnet"):
        Pipeline.open(out)


def test_a_bundle_into_an_empty_directory_a_link_and_the_current_one(quick, tmp_path, monkeypatch):
    for name in ("empty", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "here")
    for out in ("../empty", "../link", ".", "below/it"):
        quick(out)
        assert set(BUNDLE_FILES) <= set(contents(Path(out)))
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second disk at hand")
def test_a_bundle_into_a_directory_on_another_disk(quick, tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        (tmp_path / "link").symlink_to(other)
        quick(tmp_path / "link")
        assert sorted(contents(Path(other))) == BUNDLE_FILES
    assert list(tmp_path.iterdir()) == [tmp_path / "link"]


def test_a_directory_under_the_name_of_a_graph_is_left_alone(quick, tmp_path):
    out = quick(tmp_path / "bundle")
    (out / "coarse.onnx").unlink()
    (out / "coarse.onnx").mkdir()
    (out / "coarse.onnx" / "mine").write_text("mine")
    before = contents(tmp_path)
    with refused(str(out)):
        quick(out)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["coarse.onnx", "mine.onnx", "c2f.onnx.data", MANIFEST])
def test_what_no_export_wrote_is_not_replaced(quick, tmp_path, name):
    (tmp_path / name).write_text('["mine"]')
    with refused(name, "no earlier bundle's"):
        quick(tmp_path)
    assert contents(tmp_path) == {name: b'["mine"]'}


def test_a_full_disk(quick, tmp_path):
    """No file may grow beyond 20 kB: writing fails in the midst of the weights."""
    resource = pytest.importorskip("resource", reason="limits the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        for external_data in (False, True):
            with refused(str(tmp_path / "bundle"), "File too large"):
                quick(tmp_path / "bundle", external_data=external_data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not any(tmp_path.iterdir())


def test_places_where_no_bundle_can_be(quick, tmp_path):
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for out in (
        tmp_path / "file",
        tmp_path / "file" / "bundle",
        tmp_path / "file" / "a" / "b",
        tmp_path / ("x" * 300),
    ):
        with refused(str(out)):
            quick(out)
    assert contents(tmp_path) == before


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(quick, tmp_path):
    tmp_path.chmod(0o500)
    with refused("Permission denied"):
        quick(tmp_path / "bundle")
    with refused("Permission denied"):
        quick(tmp_path)


def test_permissions_are_the_usual_ones(quick, tmp_path):
    out = quick(tmp_path / "bundle")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    assert out.stat().st_mode == (tmp_path / "directory").stat().st_mode
    assert {path.stat().st_mode for path in out.iterdir()} == {(tmp_path / "file").stat().st_mode}


# --- One file, the same way


def test_a_file_is_written_whole_or_not(tmp_path):
    path = tmp_path / "new" / "directory" / "file.txt"
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), files.written_whole(path) as temporary:
            temporary.write_text("half")
            raise error
        assert not any(tmp_path.iterdir())
    with refused(str(path), "No space left"), files.written_whole(path):
        raise FULL_DISK
    assert not any(tmp_path.iterdir())
    with files.written_whole(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
    assert contents(path.parent) == {"file.txt": b"whole"}
    with pytest.raises(KeyboardInterrupt), files.written_whole(path) as temporary:
        raise KeyboardInterrupt
    assert contents(path.parent) == {"file.txt": b"whole"}


def test_files_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for path in (
        tmp_path,
        tmp_path / "file" / "below",
        tmp_path / "file" / "further" / "below",
        tmp_path / ("x" * 300),
    ):
        with refused(str(path)), files.written_whole(path) as temporary:
            temporary.write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_json_is_readable(tmp_path):
    files.write_json(tmp_path / "x.json", {"name": "Größe", "n": [1]})
    assert "Größe" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert files.sha256(tmp_path / "x.json") == sha256(tmp_path / "x.json")


def test_a_graph_tells_its_operators_and_where_its_weights_are(bundle, models):
    n_layers = models.coarse.config.n_layers
    assert operators(bundle / "coarse.onnx")["Attention"] == n_layers
    assert operators(bundle / "coarse.onnx")["RMSNormalization"] == 2 * n_layers + 1
    parts = weights_by_part(bundle / "coarse.onnx")
    for i, layer in enumerate(models.coarse.layers):
        assert parts[f"layers.{i}"] == 4 * sum(weight.numel() for weight in layer.parameters())
    constants = parts.pop("constants")
    assert sum(parts.values()) == 4 * sum(weight.numel() for weight in models.coarse.parameters()) > constants
