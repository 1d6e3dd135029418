"""MusicGen's benchmark: what it runs, that a step is one, what the report says; never how long it took."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.musicgen.pipeline import Pipeline
from helpers.musicgen.reference import TorchPipeline
from helpers.musicgen.spec import read_spec
from workshop.__main__ import main
from workshop.bench.worker import Measured
from workshop.musicgen.bench import benchmark, checkpoints, report, worker
from workshop.musicgen.bench.benchmark import (
    EAGER,
    HALF,
    HUGGING_FACE,
    TEACHING,
    Benchmark,
    Timing,
    onnx_name,
)
from workshop.musicgen.bench.worker import OPERATIONS, READ, STEPS, Job, Version, prepare

GOLDEN = Path(__file__).parents[1] / "golden" / "musicgen" / "hf"
PRECISIONS = ("fp32",)
PLAYED = tuple(name for name in OPERATIONS if name not in (READ, *STEPS))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """One of the precisions: to export takes long, and all go the same way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "PRECISIONS", PRECISIONS)
        return benchmark.exported(GOLDEN, tmp_path_factory.mktemp("bundles"), lambda what: None)


@pytest.fixture(scope="module")
def versions(bundles):
    return {one.name: one for one in benchmark.versions_of(GOLDEN, bundles, compiled=False)}


@pytest.mark.parametrize("name", [EAGER, HALF, TEACHING, *map(onnx_name, PRECISIONS)])
def test_every_version_takes_steps(name, versions):
    run = prepare(versions[name], Job("step at 1 s", 1))
    assert [run() for _ in range(3)] == [{}] * 3


@pytest.mark.parametrize("kind", ["onnx", "stacked"])
def test_each_step_is_one_column_further_on(kind, bundles, monkeypatch):
    lengths = []

    class Watched(worker.OnnxGraph):
        def __call__(self, *arrays, **more):
            lengths.append(arrays[-1].shape[3])
            return super().__call__(*arrays, **more)

    monkeypatch.setattr(worker, "OnnxGraph", Watched)
    logits = Pipeline.logits
    monkeypatch.setattr(
        Pipeline,
        "logits",
        lambda self, *a: (lengths.append(a[2].cache.n if len(a) > 2 else None), logits(self, *a))[1],
    )
    run = prepare(Version("x", kind, "fp32", bundles["fp32"]), Job("step at 1 s", 1))
    lengths.clear()
    run(), run()
    second = read_spec(bundles["fp32"]).frame_rate
    assert lengths == [second, second + 1]


@pytest.mark.parametrize("operation", PLAYED)
def test_every_other_operation_runs_in_both_libraries(operation, versions):
    for name in (EAGER, onnx_name("fp32")):
        assert prepare(versions[name], Job(operation, 1))() == {}


def test_a_random_checkpoint_goes_through_the_same_code(tmp_path, capsys):
    small = checkpoints.LANGUAGE | {"width": 64, "n_heads": 2, "feed_forward": 64, "codebook_size": 32}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "LANGUAGE", small)
        patch.setattr(
            checkpoints, "TEXT", checkpoints.TEXT | {"width": 32, "inner": 32, "n_heads": 2, "projected": 64}
        )
        patch.setattr(checkpoints, "CODEC", checkpoints.CODEC.__class__(
            **{**vars(checkpoints.CODEC), "n_filters": 2, "dimension": 8, "codebook_size": 32}
        ))  # fmt: skip
        assert main(["checkpoints", "musicgen", str(tmp_path / "a"), "--layers", "1"]) == 0
    assert "random weights" in capsys.readouterr().out
    pipeline = TorchPipeline.open(tmp_path / "a")
    made = pipeline.generate("slow piano", seconds=0.2)
    assert made.codes.shape == (1, 4, 10) and np.isfinite(made.audio).all()


@pytest.fixture
def found(bundles):
    """A benchmark with times that are easy to reckon with."""
    spec = read_spec(bundles["fp32"])

    def timing(operation, version, seconds):
        return Timing(operation, version, [Measured(2 * seconds, seconds, {}, 10**9)])

    timings = [timing(READ, onnx_name("fp32"), 0.8)]
    for name, seconds in (
        (EAGER, 0.4),
        (HUGGING_FACE, 0.3),
        (onnx_name("fp32"), 0.1),
        (onnx_name("int8"), 0.05),
    ):
        timings += [timing(operation, name, seconds) for operation in OPERATIONS if operation != READ]
    sizes = {
        name: {"lm.onnx": size} for name, size in (("fp32", 10**8), ("int8", 3 * 10**7), ("int4", 10**7))
    }
    return Benchmark("x", spec, 1, timings, sizes, {"Hugging Face": "it is not installed"}, 0.1)


def test_ratios_and_the_limit(found):
    assert found.ratio("step at 15 s", onnx_name("fp32"), HUGGING_FACE) == pytest.approx(3)
    assert found.read_rate == pytest.approx(1e9)
    spec = found.spec
    cache = 16 * spec.n_layers * spec.width * 15 * spec.frame_rate
    embeddings = 4 * spec.n_codebooks * (spec.codebook_size + 1) * spec.width
    assert found.least_seconds("step at 15 s") == pytest.approx((1e8 - embeddings + cache) / 1e9)


def test_the_report_says_what_was_met_and_what_was_not(found, tmp_path):
    said = {goal.name: goal.verdict for goal in report.goals(found)}
    assert said["float32 step at 15 s, beside Hugging Face"] == "met"
    assert said["8-bit step at 15 s, beside float32"] == "NOT MET"
    text = report.markdown(found)
    assert "NOT MET" in text and "it is not installed" in text
    assert json.loads(json.dumps(found.to_json()))["timings"][0]["runs"][0]["cpu_seconds"] == 0.8
