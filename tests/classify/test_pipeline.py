"""The pipeline: shapes and rates of sound, windows while it arrives, what is refused."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from fabricate_classify import sound
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

import helpers
from helpers.audio import resample
from helpers.classify.pipeline import Pipeline, windows
from helpers.classify.proof import verify_bundle

BATCH, CHANNELS, N = 2, 2, 20000


def test_both_runtimes_give_the_same(reference, onnx):
    for batch, n_samples in ((1, 1), (3, 7777), (2, 30001)):
        audio = sound(batch, n_samples)[:, None]
        ours, theirs = (one.scores(audio, one.sample_rate) for one in (reference, onnx))
        assert ours.shape == (batch, len(onnx.labels)) and ours.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_shapes_channels_and_rates(pipeline):
    rate, audio = pipeline.sample_rate, sound(BATCH, N)
    alone = pipeline.scores(audio[0], rate)
    np.testing.assert_array_equal(pipeline.scores(audio[0][None, None], rate), alone)
    both = pipeline.scores(audio, rate)  # two channels
    np.testing.assert_allclose(both, pipeline.scores(audio.mean(0), rate), atol=1e-6)
    other = resample(audio[0], rate, 44100)
    again = resample(other, 44100, rate)
    np.testing.assert_array_equal(pipeline.scores(other, 44100), pipeline.scores(again, rate))


def test_what_a_model_has_and_has_not(pipeline):
    audio = sound(1, N)[0]
    has, lacks = ("framewise", "embed") if "framewise" in pipeline.spec.outputs else ("embed", "framewise")
    made = getattr(pipeline, has)(audio, pipeline.sample_rate)
    if has == "framewise":
        assert made.shape == (1, N // pipeline.hop + 1, len(pipeline.labels))
        np.testing.assert_allclose(made.max(1), pipeline.scores(audio, pipeline.sample_rate), atol=1e-6)
    else:
        assert made.shape[0] == 1 and made.ndim == 2
    with refused(pipeline.spec.architecture, lacks[:5]):
        getattr(pipeline, lacks)(audio, pipeline.sample_rate)


def test_a_short_sound_is_filled_with_silence(pipeline):
    short = sound(1, 100)[0]
    filled = np.pad(short, (0, pipeline.spec.shortest - 100))
    rate = pipeline.sample_rate
    np.testing.assert_array_equal(pipeline.scores(short, rate), pipeline.scores(filled, rate))


@pytest.mark.parametrize(
    "audio", [np.zeros(0, np.float32), np.array([np.nan, 0]), np.zeros(9, np.int16), np.zeros((999, 2)), "x"]
)
def test_sound_that_is_none(onnx, audio, one_only):
    with refused("audio"):
        onnx.scores(audio, 8000)


# --- while sound arrives


def cut(x, *places):
    return [one for one in np.split(x, places, axis=-1)]


def test_a_stream_is_the_windows_of_the_whole(onnx):
    rate, audio = onnx.sample_rate, sound(1, 45000)[0]
    size, hop = rate // 2, rate // 5
    found = list(onnx.stream(cut(audio, 5, 5, 9000, 30001), window=0.5, hop=0.2))
    starts = [*range(0, len(audio) - size + 1, hop)]
    starts += [len(audio) - size] if starts[-1] + size < len(audio) else []
    assert [time for time, _ in found] == [start / rate for start in starts]
    for start, (_, scores) in zip(starts, found):
        np.testing.assert_array_equal(scores, onnx.scores(audio[start : start + size], rate)[0])


def test_a_stream_at_another_rate(onnx, one_only):
    audio = sound(1, 44100)[0]
    pieces = list(onnx.stream(cut(audio, 333, 20000), 44100, window=0.4, hop=0.4))
    whole = resample(audio, 44100, onnx.sample_rate)
    for time, scores in pieces:
        start = round(time * onnx.sample_rate)
        expected = onnx.scores(whole[start : start + round(0.4 * onnx.sample_rate)], onnx.sample_rate)[0]
        np.testing.assert_allclose(scores, expected, atol=1e-3)
    assert [round(time, 3) for time, _ in pieces] == [0, 0.4, 0.6]


def test_a_stream_answers_before_the_next_piece_is_asked_for(onnx, one_only):
    given = []

    def arriving():
        for piece in cut(sound(1, 16000)[0], 8000):
            given.append(len(piece))
            yield piece

    stream = onnx.stream(arriving(), window=0.5)
    next(stream)
    assert given == [8000]


@given(lengths=st.lists(st.integers(0, 40), max_size=9), size=st.integers(1, 30), data=st.data())
def test_windows_cover_everything_once(lengths, size, data):
    step = data.draw(st.integers(1, size))
    total = sum(lengths)
    x = np.arange(total, dtype=np.float32)
    pieces = np.split(x, np.cumsum(lengths)[:-1]) if lengths else []
    found = list(windows(pieces, size, step))
    for start, held in found:
        np.testing.assert_array_equal(held, x[start : start + size])
    heard = np.concatenate([held for _, held in found]) if found else np.zeros(0)
    assert set(heard) == set(x)
    assert [start for start, _ in found][:-1] == [i * step for i in range(len(found) - 1)]
    assert all(len(held) == min(size, total) for _, held in found)


@pytest.mark.parametrize(
    "options", [{"window": 0}, {"window": np.nan}, {"window": "1"}, {"hop": -1}, {"window": 1, "hop": 2},
                {"window": 1e9}, {"sample_rate": 0}, {"sample_rate": 10**9}]
)  # fmt: skip
def test_windows_that_are_none(onnx, options, one_only):
    with refused():
        list(onnx.stream([sound(1, 100)[0]], **options))


# --- the bundle


def test_a_bundle_proves_itself(name, classifier_bundle):
    from helpers.classify.files import GOLDEN

    certificate = verify_bundle(GOLDEN / name, classifier_bundle)
    assert certificate.passed and len(certificate.rows) == 12
    assert helpers.open(classifier_bundle).spec == Pipeline.open(classifier_bundle).spec


def test_a_bundle_of_other_weights_does_not(classifier_bundle, name, tmp_path, one_only):
    import onnx as onnx_library

    from helpers.classify.files import GOLDEN

    bundle = shutil.copytree(classifier_bundle, tmp_path / "bundle")
    model = onnx_library.load(bundle / "classifier.onnx")
    weight = next(one for one in model.graph.initializer if one.name.endswith("out.bias"))
    values = onnx_library.numpy_helper.to_array(weight).copy()
    values[0] += 0.01
    weight.CopyFrom(onnx_library.numpy_helper.from_array(values, weight.name))
    onnx_library.save(model, bundle / "classifier.onnx")
    certificate = verify_bundle(GOLDEN / name, bundle)
    assert not certificate.passed and "classifier.onnx" in certificate.problems[0]
    assert not all(row.passed for row in certificate.rows)
    with refused("another shape"):
        verify_bundle(GOLDEN / "Cnn14_DecisionLevelMax", bundle, "Cnn14")
    with refused("classifier.onnx", "export"):
        Pipeline.open(bundle).scores(sound(1, N)[0], 8000)


@pytest.mark.parametrize(
    "change", [{"labels": None}, {"labels": []}, {"labels": [1] * 11}, {"labels": ["x" * 999]}, {"hop": 0},
               {"sample_rate": 2**70}, {"window_seconds": True}, {"window_seconds": 1e99}, {"outputs": ["x"]},
               {"shortest": -1}, {"architecture": None}, {"sha256": 3}]
)  # fmt: skip
def test_a_manifest_that_lies(classifier_bundle, tmp_path, change, one_only):
    bundle = shutil.copytree(classifier_bundle, tmp_path / "bundle")
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(manifest | change))
    with refused("bundle.json"):
        Pipeline.open(bundle)


def test_labels_of_another_number_are_told(classifier_bundle, tmp_path, one_only):
    bundle = shutil.copytree(classifier_bundle, tmp_path / "bundle")
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(manifest | {"labels": ["a", "b"]}))
    with refused("classifier.onnx", "(1, 2)"):
        Pipeline.open(bundle).scores(sound(1, N)[0], 8000)


def test_playing_takes_no_pytorch(classifier_bundle, one_only):
    code = (
        "import sys, numpy as np, helpers\n"
        f"p = helpers.open({str(classifier_bundle)!r})\n"
        "p.scores(np.zeros(9000, np.float32), p.sample_rate)\n"
        "print([name for name in ('torch', 'onnx', 'scipy', 'soundfile') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


# --- fewer bits


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_bundle_keeps_its_limits(classifier, name, classifier_bundle, tmp_path, precision):
    if name not in ("Cnn14_16k", "MobileNetV2"):
        pytest.skip("one of each kind of block is enough")
    from helpers.classify.files import GOLDEN
    from helpers.classify.graphs import export_bundle

    small = export_bundle(classifier, tmp_path / "small", precision=precision)
    certificate = verify_bundle(GOLDEN / name, small)
    assert certificate.passed and len(certificate.findings) == 3, str(certificate)
    sizes = [(bundle / "classifier.onnx").stat().st_size for bundle in (small, classifier_bundle)]
    assert sizes[0] < sizes[1]
    audio = sound(2, N)[:, None]
    apart = np.abs(
        Pipeline.open(small).scores(audio, 8000) - Pipeline.open(classifier_bundle).scores(audio, 8000)
    )
    assert 1e-6 < apart.max() < 0.2
    assert json.loads((small / "bundle.json").read_text())["precision"] == {"classifier": precision}


def test_what_is_for_matrix_products_is_refused(classifier, tmp_path, one_only):
    from helpers.classify.graphs import export_bundle

    for precision in ("int4", "int8-block", "int3"):
        with refused(precision):
            export_bundle(classifier, tmp_path / "bundle", precision=precision)
    assert not (tmp_path / "bundle").exists()
