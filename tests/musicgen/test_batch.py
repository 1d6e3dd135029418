"""MusicGen over a folder: what one at a time gives, byte for byte."""

import numpy as np
import pytest
import soundfile

from helpers import audio as sound
from helpers.__main__ import main

OPTIONS = ("--seconds", 0.6, "--text", "slow sad piano", "--seed", 3)


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, rate, seconds in (("a.wav", 48000, 0.3), ("b.flac", 22050, 0.2), ("long.wav", 3200, 2)):
        tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(int(rate * seconds)) / rate)
        soundfile.write(folder / name, tone, rate)
    return folder


def test_a_folder_gives_what_one_at_a_time_gives(
    folder, musicgen_bundle, onnx, audiocraft_only, tmp_path, capsys
):
    out, where = tmp_path / "out", ("--bundle", musicgen_bundle)
    assert run("batch", "generate", folder, out, *where, "--processes", 2, "--tokens", *OPTIONS) == 1
    assert capsys.readouterr().err.startswith("failed: long.wav: the prompt alone lasts")
    for name in ("a.wav", "b.flac"):
        alone, tokens = tmp_path / name, tmp_path / "t.npz"
        assert run("generate", alone, *where, "--prompt", folder / name, "--tokens", tokens, *OPTIONS) == 0
        assert alone.read_bytes() == (out / name).read_bytes()
        assert tokens.read_bytes() == (out / f"{name}.npz").read_bytes()
    assert run("batch", "encode", folder, tmp_path / "tokens", *where, "--processes", 1) == 0
    with np.load(tmp_path / "tokens" / "long.wav.npz") as written:
        np.testing.assert_array_equal(written["codes"], onnx.encode(*sound.load(folder / "long.wav")))


def test_what_no_file_could_be_done_with_is_told_once(
    folder, musicgen_bundle, audiocraft_only, tmp_path, capsys
):
    batch = ("batch", "generate", folder, tmp_path / "out", "--bundle", musicgen_bundle)
    for wrong in (
        ("--temperature", -1),
        ("--seconds", 0),
        ("--top-k", -3),
        ("--seed", -1),
        ("--text", "x" * 9999),
    ):
        assert run(*batch, *wrong) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1 and printed.startswith("error: ") and len(printed) < 400
    assert run("batch", "vamp", *batch[2:]) == 2 and not (tmp_path / "out").exists()
