"""The benchmark: what it runs, in which order, what it refuses and what it says; never how long it took."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import fabricate
import numpy as np
import onnx
import pytest
from fabricate import Shape
from onnx import numpy_helper

from helpers.audio.clips import load_clips
from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support import files
from helpers.support.errors import InputError
from helpers.vampnet.graphs import export_bundle
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.spec import read_spec
from helpers.vampnet.weights import load_models
from workshop.__main__ import main
from workshop.bench import worker
from workshop.bench.worker import Measured, Worker
from workshop.vampnet.bench import benchmark, checkpoints, gate, quality, report, streaming, waiting
from workshop.vampnet.bench.benchmark import EAGER, HALF, Benchmark, NotTimed, Timing, interleaved
from workshop.vampnet.bench.worker import NEEDS, PRODUCT, STAGE_NAMES, Job, Version, prepare

SHAPE = Shape(
    encoder_rates=(8, 8),
    decoder_rates=(8, 8),
    n_codebooks=3,
    codebook_size=1024,
    width=32,
    sample_rate=8000,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Tiny checkpoints."""
    return fabricate.checkpoints(tmp_path_factory.mktemp("checkpoints"), SHAPE)


@pytest.fixture(scope="module")
def bundles(home, tmp_path_factory):
    """Bundles made from them by precision; to change a file, copy first."""
    models, folder = load_models(home), tmp_path_factory.mktemp("bundles")
    return {name: export_bundle(models, folder / name, precision=name) for name in ("fp32", "int8")}


@pytest.fixture
def job(bundles):
    """A job on half a second."""
    return lambda operation: Job(operation, read_spec(bundles["fp32"]), 0.5, 1)


# --- What runs


@pytest.mark.parametrize("operation", NEEDS)
@pytest.mark.parametrize("kind", ["eager", "bf16", "fp32", "int8"])
def test_every_version_runs_every_operation(operation, kind, home, bundles, job):
    version = {
        "eager": Version(EAGER, "PyTorch", "fp32", home),
        "bf16": Version(HALF, "PyTorch", "bf16", home),
    }.get(kind) or Version(f"ONNX Runtime {kind}", "ONNX Runtime", kind, bundles[kind])
    stages = prepare(version, job(operation))()
    assert set(stages) == (set(STAGE_NAMES) if operation == "vamp" else set())
    assert all(seconds > 0 for seconds in stages.values())


def test_all_versions_get_the_same_inputs(job):
    assert np.array_equal(job("encode").audio, job("vamp").audio)
    coarse, again, fine = job("coarse").codes("coarse"), job("vamp").codes("coarse"), job("c2f").codes("c2f")
    assert np.array_equal(coarse, again) and coarse.shape[1] == 2 and fine.shape[1] == 3
    mask_token = job("coarse").spec.mask_token
    assert (coarse == mask_token).any() and not (fine[:, :2] == mask_token).any()
    assert not (job("decode").codes("codec_decoder") == mask_token).any()


def test_versions_take_turns(monkeypatch, job):
    ran = []

    class Stub:
        def __init__(self, prepare):
            self.name = prepare.args[0].name
            if self.name == "broken":
                raise InputError("it does not start")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            ran.append(f"{self.name} ends")

        def run(self):
            ran.append(self.name)
            return Measured(0.5 + len(ran), 0.1, {}, 10)

    monkeypatch.setattr(worker, "Worker", Stub)
    versions = [Version(name, "PyTorch", "fp32", None) for name in ("a", "broken", "b")]
    not_timed = []
    timings = interleaved(versions, job("coarse"), 3, not_timed)
    assert ran == ["a", "b"] * 3 + ["b ends", "a ends"]
    assert [one.seconds for one in timings] == [[1.5, 3.5, 5.5], [2.5, 4.5, 6.5]]
    assert not_timed == [NotTimed("coarse", "broken", "it does not start")]


def test_a_worker_computes_in_its_own_process_and_says_what_stops_it(bundles, job, tmp_path):
    version = Version("x", "ONNX Runtime", "fp32", bundles["fp32"])
    with Worker(partial(prepare, version, job("coarse"))) as ready:
        found = ready.run()
        assert found.seconds > 0 and found.cpu_seconds > 0 and found.stages == {} and found.memory > 1e6
    assert not ready.process.is_alive()
    with pytest.raises(InputError, match="not a bundle"):
        Worker(partial(prepare, Version("x", "ONNX Runtime", "fp32", tmp_path), job("coarse")))


def test_peak_memory_is_what_was_once_used():
    code = (
        "import numpy as np; from workshop.bench.worker import peak_memory; before = peak_memory()\n"
        "block = np.ones(30_000_000); del block; print(peak_memory() - before)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(benchmark.__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert int(ran.stdout) > 200e6


# --- What is refused


@pytest.fixture
def copied(bundles, tmp_path):
    """A function that copies a bundle, and lets its graphs and manifest be changed."""

    def copy(precision, change_graph=None, described=True, **entries):
        bundle = shutil.copytree(bundles[precision], tmp_path / precision)
        manifest = load_manifest(bundle) | entries
        if change_graph:
            path = bundle / f"{change_graph}.onnx"
            model = onnx.load(path)
            weight = next(one for one in model.graph.initializer if len(one.dims) == 2 and one.dims[0] == 32)
            weight.CopyFrom(numpy_helper.from_array(1.01 * numpy_helper.to_array(weight), weight.name))
            onnx.save(model, path)
            if described:
                manifest["sha256"] |= {path.name: files.sha256(path)}
        (bundle / MANIFEST).write_text(json.dumps(manifest))
        return bundle

    return copy


def test_good_bundles_are_not_refused(home, bundles):
    assert gate.refusals(home, bundles["fp32"]) == {}


def test_a_float32_graph_that_is_not_in_parity_is_refused(home, copied):
    assert list(gate._refusals(home, copied("fp32", change_graph="coarse"))) == ["coarse"]


def test_a_graph_that_the_manifest_does_not_describe_is_refused(home, copied):
    refused = gate._refusals(home, copied("fp32", change_graph="c2f", described=False))
    assert list(refused) == ["c2f"] and MANIFEST in refused["c2f"]


@pytest.mark.parametrize(("limit", "says"), [(-1.0, "beyond the limit -1"), (None, "records no limit")])
def test_a_smaller_graph_is_held_to_the_limits_of_its_bundle(limit, says, home, copied, bundles):
    limits = {
        name: {
            measure: -1000.0 if measure in ("SNR (dB)", "same first choice") else 1000.0
            for measure in measures
        }
        for name, measures in load_manifest(bundles["int8"])["limits"].items()
    }
    bundle = copied("int8", limits=limits)
    assert gate._refusals(home, bundle) == {}
    limits["coarse"]["KL (nats)"] = limit
    manifest = load_manifest(bundle) | {"limits": limits}
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    refused = gate._refusals(home, bundle)
    assert list(refused) == ["coarse"] and says in refused["coarse"]


def test_a_bundle_of_other_checkpoints_is_refused(bundles, golden_dir, home, bundle):
    with pytest.raises(InputError, match="was not made from"):
        gate._refusals(golden_dir, bundles["fp32"])
    with pytest.raises(InputError, match="different shapes"):
        benchmark._spec([bundles["fp32"], bundle])
    with pytest.raises(InputError, match="same precision"):
        benchmark._spec([bundles["fp32"], bundles["fp32"]])


def test_what_is_refused_is_not_run_and_files_are_run_once(home, bundles):
    versions = [
        Version(EAGER, "PyTorch", "fp32", home),
        Version(HALF, "PyTorch", "bf16", home),
        *(Version(f"ONNX Runtime {name}", "ONNX Runtime", name, path) for name, path in bundles.items()),
    ]
    refused = {bundles["fp32"]: {}, bundles["int8"]: {"coarse": "too coarse"}}

    def run(operation):
        not_timed = []
        names = [one.name for one in benchmark._allowed(versions, operation, refused, not_timed)]
        return names, [(one.version, one.reason) for one in not_timed]

    reason = [("ONNX Runtime int8", "coarse.onnx: too coarse")]
    assert run("coarse") == ([EAGER, HALF, "ONNX Runtime fp32"], reason)
    assert run("vamp") == ([EAGER, HALF, "ONNX Runtime fp32"], reason)
    assert run("c2f")[0] == [EAGER, HALF, "ONNX Runtime fp32", "ONNX Runtime int8"]
    assert run("encode") == ([EAGER, "ONNX Runtime fp32"], [])  # the 8-bit bundle's encoder is the same file
    assert run("product")[0] == [EAGER, HALF, "ONNX Runtime fp32", "ONNX Runtime int8"]


# --- What is said


def timing(operation, version, seconds, stages=()):
    library, _, precision = version.rpartition(" ")
    library = "PyTorch" if library.startswith("PyTorch") else library
    return Timing(operation, version, library, precision, seconds, list(stages), 200_000_000)


@pytest.fixture
def found():
    """A benchmark with made-up times."""
    stages = {"encode": 1.0, "coarse": 4.0, "c2f": 2.0, "sampling": 1.0, "decode": 2.0}
    faster = {"encode": 1.0, "coarse": 0.5, "c2f": 0.3, "sampling": 0.2, "decode": 1.0}
    timings = [
        timing("product", EAGER, [0.1]),
        timing("product", "ONNX Runtime fp32", [0.05]),
        timing("coarse", EAGER, [3.0, 1.0, 2.0]),
        timing("coarse", "ONNX Runtime fp32", [0.5]),
        timing("encode", EAGER, [4.0]),
        timing("encode, one piece", EAGER, [2.0]),
        timing("encode", "ONNX Runtime fp32", [1.0]),
        timing("vamp", EAGER, [10.0], [stages]),
        timing("vamp", "ONNX Runtime int8", [3.0], [faster]),
    ]
    sizes = {
        "fp32": {"coarse.onnx": 80, "codec_encoder.onnx": 20},
        "int8": {"coarse.onnx": 20, "codec_encoder.onnx": 20},
    }
    flops = {"product": 2 * int(np.prod(PRODUCT)), "coarse": 4 * int(np.prod(PRODUCT))}
    not_timed = [NotTimed("coarse", "ONNX Runtime int4", "coarse.onnx: beyond the limit")]
    operators = {"ONNX Runtime fp32": {"MatMul": 0.9, "Attention": 0.096, "Cast": 0.004}}
    return Benchmark("tiny", 10.0, 2, timings, not_timed, flops, sizes, operators, load_before=0.5)


def test_ratios_are_to_the_faster_way_of_eager(found):
    assert found.ratio(found.find("coarse", "ONNX Runtime fp32")) == 4  # medians
    assert found.ratio(found.find("encode", "ONNX Runtime fp32")) == 2  # in one piece eager is faster
    assert found.ratio(found.find("encode", EAGER)) == 0.5


def test_the_ceiling_is_that_of_the_same_library(found):
    assert found.share(found.find("coarse", EAGER)) == pytest.approx(0.1)
    assert found.share(found.find("coarse", "ONNX Runtime fp32")) == pytest.approx(0.2)
    assert found.share(found.find("encode", EAGER)) is None
    assert found.bound(found.find("coarse", "ONNX Runtime fp32")) == pytest.approx(20)
    assert found.bound(found.find("encode", "ONNX Runtime fp32")) is None


def test_goals_are_met_or_not_or_not_measured(found):
    verdicts = {one.name: (one.measured, one.verdict) for one in report.goals(found)}
    assert verdicts["coarse, ONNX Runtime fp32"] == (4.0, "met")
    assert verdicts["coarse, 8 bit"] == (None, "not measured")
    assert verdicts["vamp, 8 bit, tokens to tokens"] == (7.0, "met")
    assert verdicts["bundle, 8 bit, smaller by"] == (pytest.approx(60), "NOT MET")
    assert verdicts["its transformers, smaller by"] == (pytest.approx(75), "met")


def test_the_report_says_where_and_with_what(found):
    text = report.markdown(found)
    for part in (found.processor, found.date, "2 threads", *found.versions.values(), "Ratios differ between"):
        assert part in text
    assert "| coarse | ONNX Runtime int4 | coarse.onnx: beyond the limit |" in text
    assert "| ONNX Runtime int8 | 3.00 | 3.33 | 1.00 | 7.00 | 33% | 17% | 10% | 7% | 33% | 200 |" in text
    assert "| coarse, ONNX Runtime fp32 | 2.30 x | 4.00 x | 20.00 x | met |" in text
    assert "| ONNX Runtime fp32 | MatMul 90%, Attention 10% |" in text
    rows = [
        line.count("|") for line in text.split("\n\n") for line in line.splitlines() if line.startswith("|")
    ]
    assert len(rows) > 20


def test_json_and_picture(found, tmp_path):
    content = json.loads(json.dumps(found.to_json()))
    assert content["timings"][2]["median"] == 2.0 and content["timings"][3]["times_eager"] == 4.0
    assert {"date", "processor", "versions", "threads"} <= set(content)
    report.draw(found, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_operations_are_counted(home, job):
    """Two for each weight of a matrix and each frame, and those of attention."""
    model, frames = load_models(home).coarse, job("coarse").n_frames
    weights = sum(module.weight.numel() for module in model.modules() if hasattr(module, "in_features"))
    expected = 2 * frames * weights + 4 * frames**2 * SHAPE.width
    assert benchmark.transformer_flops(home, "coarse", job("coarse")) == expected


def test_the_command(home, bundles, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "NEEDS", {name: NEEDS[name] for name in ("product", "coarse")})
    paths = {name: tmp_path / f"bench.{name}" for name in ("json", "md", "png")}
    options = ["--seconds", "0.5", "--rounds", "2", "--no-compile", "--json", paths["json"],
               "--markdown", paths["md"], "--picture", paths["png"]]  # fmt: skip
    assert (
        main(
            [
                "bench",
                "vampnet",
                "--checkpoints",
                str(home),
                "--bundle",
                str(bundles["fp32"]),
                *map(str, options),
            ]
        )
        == 0
    )
    assert capsys.readouterr().out == paths["md"].read_text(encoding="utf-8")
    content = json.loads(paths["json"].read_text(encoding="utf-8"))
    versions = [EAGER, HALF, "ONNX Runtime fp32"]
    assert [(one["operation"], one["version"]) for one in content["timings"]] == [
        (operation, version) for operation in ("product", "coarse") for version in versions
    ]
    assert content["operators"]["ONNX Runtime fp32"]["MatMul"] > 0
    assert all(len(one["seconds"]) == 2 and one["memory"] > 1e6 for one in content["timings"])
    assert (
        main(["bench", "vampnet", "--rounds", "0"]) == 2
        and "--rounds: it should be a whole number" in capsys.readouterr().err
    )


# --- Random checkpoints


def test_random_checkpoints_have_the_public_shape_and_load(tmp_path, monkeypatch, capsys):
    assert checkpoints.CODEC["encoder_dim"] == 64 and checkpoints.CODEC["decoder_dim"] == 512
    assert checkpoints.TRANSFORMER["embedding_dim"] == 1280 and checkpoints.TRANSFORMER["n_heads"] == 20
    monkeypatch.setattr(checkpoints, "CODEC", checkpoints.CODEC | {"encoder_dim": 2, "decoder_dim": 16})
    monkeypatch.setattr(checkpoints, "TRANSFORMER", checkpoints.TRANSFORMER | {"embedding_dim": 40})
    assert checkpoints.main([str(tmp_path / "a")]) == 0 and "random weights" in capsys.readouterr().out
    models = load_models(tmp_path / "a")
    assert (models.coarse.config.n_layers, models.c2f.config.n_layers) == (20, 16)
    assert (models.coarse.config.n_predicted, models.c2f.config.n_predicted) == (4, 10)
    assert models.codec.config.hop == 768 and models.codec.config.sample_rate == 44100
    one, two = (checkpoints.write(tmp_path / name, n_layers=1) for name in "bc")
    assert files.sha256(one / "c2f.pth") == files.sha256(two / "c2f.pth")
    assert load_models(one).c2f.config.n_layers == 1
    assert checkpoints.main([str(tmp_path / "d"), "--layers", "0"]) == 2


# --- What a smaller bundle costs


def test_rounding_is_told_from_another_seed(home):
    """The table has both distances; a bundle that turned every token would be as far off as another seed."""
    clip = load_clips(longest=3)[0]
    found = quality.measure(home, "int8", [clip])
    (row,) = found.distances
    assert row.clip == clip.name and len(row.rounding) == len(row.seeds) == 3
    assert found.seeds > 0 and {one.graph for one in found.findings} == {"coarse", "c2f"}
    text = found.markdown()
    assert f"{found.rounding:.3f}" in text and f"{found.seeds:.3f}, of two seeds" in text


def test_the_same_bundle_twice_is_no_distance(bundles, monkeypatch):
    """By a measure without levels: random weights are louder than its limiter lets pass."""
    monkeypatch.setattr(quality, "log_mel", lambda heard, reference: float(np.abs(heard - reference).mean()))
    pipeline = Pipeline.open(bundles["fp32"])
    row = quality.distances(pipeline, pipeline, load_clips(longest=3)[0])
    assert row.rounding == [0, 0, 0] and min(row.seeds) > 1e-3


# --- Decoding to a file


def test_lengths_are_decoded_whole_and_in_processes_of_their_own(bundles, tmp_path, capsys):
    found = streaming.measure(bundles["fp32"], (0.01, 0.05), rounds=1)
    spec = read_spec(bundles["fp32"])
    for minutes, (run,) in found.runs.items():
        assert abs(run.written - 60 * minutes * spec.sample_rate) <= spec.hop and run.seconds > 0
    if found.growth is not None:
        assert found.memory(0.01) > 10e6  # that of a process, not of a difference
    assert streaming.main(["--bundle", str(tmp_path)]) == 2 and "is not a bundle" in capsys.readouterr().err
    assert streaming.main(["--bundle", str(bundles["fp32"]), "--rounds", "0"]) == 2


@pytest.mark.parametrize(("more", "verdict"), [(49e6, ", met"), (51e6, "NOT MET"), (None, "nobody tells")])
def test_growth_is_held_to_its_goal(more, verdict):
    short = [streaming.Run(second, 100_000_000, 1) for second in (1.0, 3.0, 2.0)]
    long = [streaming.Run(22.0, None if more is None else int(100e6 + more), 10)] * 3
    text = streaming.Streaming("b", {1: short, 10: long}).markdown()
    assert verdict in text and "1.10 times as long" in text


# --- Threads that wait


@pytest.mark.parametrize("library", waiting.LIBRARIES)
def test_both_libraries_wait_in_both_ways(library, home):
    for spins in (True, False):
        assert waiting.prepare(library, spins, home)() == {}


def test_how_a_worker_waits_is_its_own(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")
    with waiting._environment({"GOMP_SPINCOUNT": "300000", "OTHER": "1"}):
        assert os.environ["GOMP_SPINCOUNT"] == "300000"
    assert os.environ["GOMP_SPINCOUNT"] == "20000" and "OTHER" not in os.environ


def test_the_report_on_waiting_has_ratios():
    seconds = {
        (library, name, is_busy): 0.1 * (1 + 3 * (name == "spin" and is_busy))
        for library in waiting.LIBRARIES for name in waiting.WAITING for is_busy in (False, True)
    }  # fmt: skip
    text = waiting.markdown(waiting.Waiting(seconds))
    assert "4.00" in text and "1.00" in text
