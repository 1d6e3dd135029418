"""`export`, `verify`, `inspect` and `classify` as they are typed."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from fabricate_classify import GOLDEN, sound

from helpers.__main__ import main
from helpers.classify.pipeline import Pipeline

MODEL = GOLDEN / "MobileNetV1"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of two files, one of them below."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "below").mkdir()
    soundfile.write(folder / "a.wav", sound(1, 24000)[0], 8000)
    soundfile.write(folder / "below" / "b.flac", sound(2, 44100)[:, ::2].T, 22050)
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    path.write_text("index,mid,display_name\n" + "".join(f"{i},/m/{i},label {i}\n" for i in range(11)))
    return path


@pytest.fixture(scope="module")
def bundle(labels, tmp_path_factory):
    out = tmp_path_factory.mktemp("commands") / "bundle"
    assert main(["export", "--checkpoints", str(MODEL), "--out", str(out), "--labels", str(labels)]) == 0
    return out


def run(*arguments):
    return main([str(one) for one in arguments])


def fails(capsys, *arguments):
    assert run(*arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("error: ")
    return message


def test_a_bundle_says_what_it_is(bundle, capsys):
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["labels"] == [f"label {i}" for i in range(11)]
    assert manifest["sample_rate"] == 8000 and manifest["shortest"] == 31 * 80
    assert manifest["front"] == {
        "sample_rate": 8000, "n_fft": 256, "hop": 80, "n_mels": 64, "f_min": 50.0, "f_max": 4000.0,
        "level": False, "ear": "log_mel",
    }  # fmt: skip
    assert run("inspect", bundle) == run("inspect", MODEL) == 0
    said = capsys.readouterr().out
    assert "classifier.onnx" in said and "MobileNetV1" in said and "8000" in said


def test_verify(bundle, labels, tmp_path, capsys):
    out = tmp_path / "certificate.json"
    assert run("verify", "--checkpoints", MODEL, "--bundle", bundle, "--json", out) == 0
    assert json.loads(out.read_text())["passed"]
    capsys.readouterr()
    assert run("verify", "--checkpoints", MODEL, "--bundle", bundle, "--labels", labels) == 0
    other = tmp_path / "other.csv"
    other.write_text("\n".join(map(str, range(11))))
    capsys.readouterr()
    assert "labels" in fails(capsys, "verify", "--checkpoints", MODEL, "--bundle", bundle, "--labels", other)


def test_files_and_folders(recordings, bundle, tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert (
        run("classify", recordings / "a.wav", recordings, "--bundle", bundle, "--top", 2, "--json", out) == 0
    )
    said = capsys.readouterr().out.splitlines()
    assert [line.startswith("  ") for line in said] == [False, True, True] * 3
    content = json.loads(out.read_text())
    names = ["a.wav", "a.wav", "b.flac"]
    assert [one["file"].rpartition("/")[2] for one in content["files"]] == names
    pipeline = Pipeline.open(bundle)
    for one in content["files"]:
        audio, rate = soundfile.read(one["file"], dtype="float32", always_2d=True)
        expected = pipeline.scores(audio.T, rate)[0]
        (window,) = one["windows"]
        np.testing.assert_allclose(window["scores"], expected, atol=1e-6)
        assert window["start"] == 0 and window["end"] == pytest.approx(len(audio) / rate, abs=1e-3)
    best = np.argsort(-np.array(content["files"][0]["windows"][0]["scores"]))[:2]
    assert [line.rpartition("  ")[2] for line in said[1:3]] == [content["labels"][i] for i in best]


def test_one_that_cannot_be_read_does_not_end_the_others(recordings, bundle, tmp_path, capsys):
    folder = shutil.copytree(recordings, tmp_path / "folder")
    (folder / "a broken one.wav").write_text("no sound")
    (folder / "z.aiff").write_text("no sound either")  # what `batch` takes for a sound
    out = tmp_path / "scores.json"
    assert run("classify", folder, "--bundle", bundle, "--top", 1, "--json", out) == 1
    said = capsys.readouterr()
    errors = said.err.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)
    assert "a broken one.wav" in errors[0] and "z.aiff" in errors[1]
    names = [one["file"].rpartition("/")[2] for one in json.loads(out.read_text())["files"]]
    assert names == ["a.wav", "b.flac"] and len(said.out.splitlines()) == 4


def test_a_selection_table(recordings, bundle, tmp_path, capsys):
    out, limits, numbers = tmp_path / "night.txt", tmp_path / "limits.json", tmp_path / "scores.json"
    given = [recordings / "a.wav", recordings, "--bundle", bundle, "--window", 1, "--hop", 0.5]
    assert run("classify", *given, "--selections", out, "--threshold", 1, "--json", numbers) == 0
    assert len(out.read_text().splitlines()) == 1  # nothing is that sure
    scores = [window["scores"][3] for window in json.loads(numbers.read_text())["files"][0]["windows"]]
    limits.write_text(json.dumps({"label 3": max(scores)}))
    assert run("classify", *given, "--selections", out, "--threshold", 1, "--thresholds", limits) == 0
    heading, *rows = (line.split("\t") for line in out.read_text().splitlines())
    first = dict(zip(heading, rows[0]))
    assert first["Species"] == "label 3" and first["Begin Path"] == str(recordings / "a.wav")
    assert first["Begin Time (s)"] == first["File Offset (s)"] == f"{0.5 * np.argmax(scores) + 0.25:.3f}"
    again = next(row for row in rows if row[-2] == first["Begin Path"] and row != rows[0])
    assert float(again[3]) == pytest.approx(3 + float(again[-1]))  # the same file, after its three seconds
    assert [row[0] for row in rows] == [str(i + 1) for i in range(len(rows))]


def test_what_a_selection_table_needs(recordings, bundle, tmp_path, capsys):
    out, limits = tmp_path / "night.txt", tmp_path / "limits.json"
    given = ["classify", recordings / "a.wav", "--bundle", bundle, "--selections", out]
    assert "--window" in fails(capsys, *given)
    for content, said in (
        ("[]", "by label"),
        ('{"a wolf": 0.5}', "'a wolf'"),
        ('{"label 1": "x"}', "number"),
    ):
        limits.write_text(content)
        assert said in fails(capsys, *given, "--window", 1, "--thresholds", limits) and not out.exists()


def test_windows_and_pytorch_instead(recordings, bundle, tmp_path, capsys):
    found = []
    for source in (["--bundle", bundle], ["--checkpoints", MODEL]):
        out = tmp_path / "scores.json"
        options = ["--window", 1, "--hop", 0.75, "--json", out]
        assert run("classify", recordings / "a.wav", *source, *options) == 0
        found.append(json.loads(out.read_text())["files"][0]["windows"])
    assert [(one["start"], one["end"]) for one in found[0]] == [(0, 1), (0.75, 1.75), (1.5, 2.5), (2, 3)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-5)
    assert len(capsys.readouterr().out.splitlines()) == 2 * 5


def test_mistakes_are_one_line(recordings, bundle, tmp_path, capsys):
    wav = recordings / "a.wav"
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.wav").write_text("no sound")
    for wrong, said in (
        (["nowhere.wav", "--bundle", bundle], "nowhere.wav"),
        ([tmp_path / "empty", "--bundle", bundle], "no recordings"),
        ([tmp_path / "not.wav", "--bundle", bundle, "--json", tmp_path / "o.json"], "not.wav"),
        ([wav], "--bundle"),
        ([wav, "--bundle", bundle, "--hop", 1], "--window"),
        ([wav, "--bundle", bundle, "--window", -1], "window"),
        ([wav, "--bundle", bundle, "--window", 1, "--hop", 2], "hop"),
        ([wav, "--bundle", bundle, "--top", 0], "--top"),
        ([wav, "--bundle", bundle, "--model", "Cnn14"], "--model"),
        ([wav, "--bundle", bundle, "--json", wav], "same file"),
        ([wav, "--bundle", GOLDEN], "not a bundle"),
    ):
        assert said in fails(capsys, "classify", *wrong)
    assert not (tmp_path / "o.json").exists()


def test_options_of_one_room_are_refused_in_another(tmp_path, capsys):
    vampnet = GOLDEN.parent / "vampnet"
    options = ["--checkpoints", vampnet, "--out", tmp_path / "bundle", "--model", "Cnn14"]
    assert "classify" in fails(capsys, "export", *options)
    assert "vampnet" in fails(
        capsys, "export", "--checkpoints", MODEL, "--out", tmp_path / "b", "--lora", MODEL
    )


def test_a_broken_file_leaves_nothing(tmp_path, capsys):
    path = shutil.copy(MODEL / "MobileNetV1.pth", tmp_path / "MobileNetV1.pth")
    with open(path, "r+b") as file:
        file.truncate(100_000)
    fails(capsys, "export", "--checkpoints", path, "--out", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_folder_gives_what_one_at_a_time_gives(bundle, recordings, tmp_path, capsys):
    out, windows = tmp_path / "out", ("--window", 0.5, "--hop", 0.25)
    assert run("batch", "classify", recordings, out, "--bundle", bundle, "--processes", 1, *windows) == 0
    for name in ("a.wav", "below/b.flac"):
        alone = tmp_path / "alone.json"
        assert run("classify", recordings / name, "--bundle", bundle, "--json", alone, *windows) == 0
        [one] = json.loads(alone.read_text())["files"]
        written = json.loads((out / f"{name}.json").read_text())
        assert written["windows"] == one["windows"] and len(written["labels"]) == 11
    assert not (out / "notes.txt.json").exists()
    capsys.readouterr()
    says = fails(capsys, "batch", "classify", recordings, tmp_path / "x", "--bundle", bundle, "--hop", 1)
    assert "--hop goes with --window" in says and not (tmp_path / "x").exists()


def test_there_is_no_page_for_a_classifier(bundle, tmp_path, capsys):
    assert "use it with classify" in fails(capsys, "page", bundle, "--out", tmp_path / "x.html")


@pytest.mark.parametrize(
    "options",
    [("--window", "nan"), ("--window", 0), ("--window", 0.5, "--hop", 0), ("--window", 0.5, "--hop", 0.6)],
)
def test_windows_that_are_none_are_told_before_the_batch(bundle, recordings, tmp_path, capsys, options):
    fails(capsys, "batch", "classify", recordings, tmp_path / "x", "--bundle", bundle, *options)
    assert not (tmp_path / "x").exists()
