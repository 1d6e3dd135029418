"""`export`, `verify`, `inspect` and `ask` as they are typed."""

import json
import os

import numpy as np
import pytest
import soundfile
from PIL import Image

import helpers
from helpers import rooms
from helpers.__main__ import main
from helpers.omni.pictures import load_picture
from helpers.omni.pipeline import Pipeline
from helpers.support.errors import InputError


def run(*arguments):
    return main([str(one) for one in arguments])


def fails(capsys, *arguments):
    capsys.readouterr()
    assert run(*arguments) == 2, arguments
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("error: "), said.err
    return said.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Questions: a spoken one, silence, ten minutes, none; pictures: a photograph, and what is none."""
    folder = tmp_path_factory.mktemp("asked")
    rng = np.random.default_rng(0)
    soundfile.write(folder / "question.wav", 0.1 * rng.standard_normal((30_000, 2)), 22050)
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16000)
    soundfile.write(folder / "ten.wav", np.zeros(600 * 8000), 8000, subtype="PCM_U8")
    soundfile.write(folder / "empty.wav", np.zeros(0), 16000)
    photograph = rng.integers(0, 256, (120, 200, 3), np.uint8)
    Image.fromarray(photograph).save(folder / "photograph.png")
    np.save(folder / "photograph.npy", photograph)
    np.save(folder / "grey.npy", photograph[..., 0])
    np.save(folder / "nan.npy", np.full((64, 64, 3), np.nan))
    np.save(folder / "objects.npy", np.array([None, "x"]), allow_pickle=True)
    whole = (folder / "photograph.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    (folder / "nothing.png").write_bytes(b"")
    wide = bytearray(whole)
    wide[16:24] = (60_000).to_bytes(4, "big") * 2  # a header that claims billions of pixels
    (folder / "bomb.png").write_bytes(wide)
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    return folder


def test_the_registry_knows_it(checkpoint, bundle, capsys):
    assert rooms.of_checkpoints(checkpoint) == rooms.of_bundle(bundle) == "omni"
    assert isinstance(helpers.open(bundle), Pipeline)
    assert run("inspect", checkpoint) == run("inspect", bundle) == 0
    said = capsys.readouterr().out
    assert "63 words" in said and "talker.onnx" in said


def test_eight_bit_is_within_its_limits(checkpoint, small_bundle, tmp_path, capsys):
    out = tmp_path / "certificate.json"
    assert run("verify", "--checkpoints", checkpoint, "--bundle", small_bundle, "--json", out) == 0
    findings = json.loads(out.read_text())["findings"]
    assert {one["graph"] for one in findings} == {"ear", "eye", "thinker", "talker", "voice"}
    assert json.loads((small_bundle / "bundle.json").read_text())["precision"]["talker"] == "int8"
    assert "6 of 6 within their limits" in capsys.readouterr().out


def test_a_question_typed_and_spoken(bundle, folder, checkpoint, tmp_path, capsys):
    asked = ["--text", "What is there?", "--picture", folder / "photograph.png"]
    found = []
    for models in (["--bundle", bundle], ["--checkpoints", checkpoint]):
        capsys.readouterr()
        assert run("ask", tmp_path / "answer.wav", *models, *asked) == 0
        said = capsys.readouterr()
        assert "the middle, 120 x 120, was made 64 x 64" in said.err
        found.append(said.out)
    assert found[0] == found[1] and found[0].startswith("answer: ")
    pipeline = Pipeline.open(bundle)
    picture, size = load_picture(folder / "photograph.npy", 64)
    assert size == (200, 120)
    expected = pipeline.ask("what is there", picture)
    audio, rate = soundfile.read(tmp_path / "answer.wav")
    np.testing.assert_allclose(audio, np.clip(expected.audio, -1, 1), atol=1e-6)
    assert rate == 16000 and f"answer: {expected.text}\n" in found[0]
    assert run("ask", "--bundle", bundle, "--speech", folder / "question.wav") == 0
    said = capsys.readouterr().out
    assert said.startswith("heard: ") and "answer: " in said and "wrote" not in said


def test_mistakes_are_one_line(bundle, folder, tmp_path, capsys):
    out = tmp_path / "out.wav"
    text = ["--text", "what is there"]
    for wrong, said in (
        ([], "--text"),
        ([*text, "--speech", folder / "question.wav"], "one of"),
        (["--text", "what is \x1b[31m love"], "none of the 63 words"),
        (["--text", "?"], "empty"),
        (["--speech", folder / "ten.wav"], "600.00 s"),
        (["--speech", folder / "empty.wav"], "empty"),
        (["--speech", folder / "text.png"], "text.png"),
        ([*text, "--picture", folder / "cut.png"], "damaged"),
        ([*text, "--picture", folder / "text.png"], "damaged"),
        ([*text, "--picture", folder / "nothing.png"], "damaged"),
        ([*text, "--picture", folder / "bomb.png"], "bomb.png"),
        ([*text, "--picture", folder / "folder.png"], "no file"),
        ([*text, "--picture", folder / "pipe.png"], "no file"),
        ([*text, "--picture", folder / "nowhere.png"], "no file"),
        ([*text, "--picture", folder / "question.wav"], "damaged"),
        ([*text, "--picture", folder / "grey.npy"], "(height, width, 3)"),
        ([*text, "--picture", folder / "nan.npy"], "between 0 and 1"),
        ([*text, "--picture", folder / "objects.npy"], "array"),
        ([*text, "--lora", "x"], "--lora"),
    ):
        assert said in fails(capsys, "ask", out, "--bundle", bundle, *wrong)
    assert not out.exists() and not list(tmp_path.iterdir())
    assert "--bundle" in fails(capsys, "ask", out, *text)
    same = folder / "question.wav"
    assert "same file" in fails(capsys, "ask", same, "--bundle", bundle, "--speech", same)
    assert "cannot tell" in fails(capsys, "ask", tmp_path / "x.txt", "--bundle", bundle, *text)
    assert "use it with ask" in fails(capsys, "page", bundle, "--out", tmp_path / "x.html")
    assert "nothing" in fails(capsys, "batch", "vamp", folder, tmp_path / "x", "--bundle", bundle)


def test_what_is_transparent_is_black_and_the_middle_is_kept(tmp_path):
    picture = np.zeros((10, 30, 4), np.uint8)
    picture[:, 10:20] = (200, 100, 50, 255)
    picture[:, :10] = (255, 255, 255, 0)
    Image.fromarray(picture).save(tmp_path / "p.png")
    seen, size = load_picture(tmp_path / "p.png", 64)
    assert size == (30, 10) and (seen == (200, 100, 50)).all()
    Image.fromarray(picture[:, :10]).save(tmp_path / "p.png")
    assert (load_picture(tmp_path / "p.png", 64)[0] == 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_whatever_a_file_counts_in(tmp_path, mode):
    """Bytes for each colour, or a line that says that it can't be read."""
    image = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
    path = tmp_path / ("p.png" if mode in ("1", "L", "P", "I;16") else "p.jpg")
    image.convert("L" if mode == "I;16" else mode).convert(mode).save(path)
    try:
        seen, _ = load_picture(path, 64)
    except InputError as error:
        assert "picture" in str(error)
    else:
        assert seen.shape == (64, 64, 3) and seen.dtype == np.uint8
