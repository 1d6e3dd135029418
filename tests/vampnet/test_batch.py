"""VampNet over a folder: what one at a time gives, byte for byte; killed again and again, the same tree."""

import random
import subprocess
import sys
from pathlib import Path

import batches
import numpy as np
import pytest
import soundfile

from helpers import audio as sound
from helpers.__main__ import main

ROOT = Path(__file__).parents[2]
N_FILES = 500
OPTIONS = ("--steps", 2, "--seed", 3, "--onsets", 1)


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    """Sounds of several rates, channels and lengths, and one that is none."""
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name, rate, channels, seconds in (
        ("a.wav", 44100, 1, 0.5), ("a.flac", 22050, 2, 0.3), ("below/b.ogg", 44100, 1, 0.2),
    ):  # fmt: skip
        time_axis = np.arange(int(seconds * rate)) / rate
        tone = 0.2 * np.sin(2 * np.pi * 300 * time_axis) * np.exp(-5 * time_axis)
        soundfile.write(folder / name, np.stack([tone] * channels, 1), rate)
    (folder / "text.wav").write_text("not a sound")
    return folder


def test_a_folder_gives_what_one_at_a_time_gives(folder, bundle, tmp_path, capsys):
    out = tmp_path / "out"
    mask = tmp_path / "mask.npy"
    assert run("batch", "vamp", folder, out, "--bundle", bundle, "--tokens", "--processes", 2, *OPTIONS) == 1
    failure, *_ = capsys.readouterr().err.splitlines()
    assert failure.startswith("failed: text.wav: ")
    for name, written in (("a.wav", "a.wav"), ("a.flac", "a.flac"), ("below/b.ogg", "below/b.ogg.wav")):
        alone = tmp_path / Path(written).name
        command = ("vamp", folder / name, alone, "--bundle", bundle, "--tokens", tmp_path / "t.npz", *OPTIONS)
        assert run(*command) == 0
        assert alone.read_bytes() == (out / written).read_bytes()
        assert (tmp_path / "t.npz").read_bytes() == (out / f"{written}.npz").read_bytes()
    np.save(mask, np.ones((14, 29), np.int64))  # the frames of one of them; of the others it is a failure
    assert run("batch", "vamp", folder, tmp_path / "masked", "--bundle", bundle, "--mask", mask) == 1
    assert (tmp_path / "masked" / "a.wav").exists() and not (tmp_path / "masked" / "a.flac").exists()


def test_a_folder_of_tokens(folder, bundle, onnx_pipeline, tmp_path):
    assert run("batch", "encode", folder, tmp_path / "out", "--bundle", bundle, "--processes", 1) == 1
    with np.load(tmp_path / "out" / "below" / "b.ogg.npz") as tokens:
        np.testing.assert_array_equal(
            tokens["codes"], onnx_pipeline.encode(*sound.load(folder / "below" / "b.ogg"))
        )


def test_what_no_file_could_be_done_with_is_told_once(folder, bundle, tmp_path, capsys):
    batch = ("batch", "vamp", folder, tmp_path / "out", "--bundle", bundle)
    (tmp_path / "empty").mkdir()
    for arguments in [
        (*batch, "--temperature", 0),
        (*batch, "--fine-steps", 0),
        (*batch, "--periodic", -1),
        (*batch, "--seed", -1),
        (*batch, "--mask", tmp_path / "absent.npy"),
        (*batch[:-1], tmp_path / "empty"),
        ("batch", "generate", *batch[2:]),
        ("batch", "vamp"),
        ("batch",),
    ]:
        assert run(*arguments) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1 and printed.startswith("error: ") and len(printed) < 400
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_five_hundred_files_killed_at_random_and_resumed(bundle, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "in"
    for i in range(N_FILES):
        path = folder / f"{i % 7}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(rng.integers(1000, 4000)), 22050)

    def batch(target):
        command = ["batch", "encode", folder, target, "--bundle", bundle, "--processes", "2"]
        command = [sys.executable, "-m", "helpers", *map(str, command)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)

    assert batch(tmp_path / "whole").wait() == 0
    whole, chance, n_kills = batches.tree(tmp_path / "whole"), random.Random(0), 0
    while (process := batch(tmp_path / "out")).poll() is None:
        try:
            process.wait(timeout=chance.uniform(0.5, 3 + n_kills / 2))
        except subprocess.TimeoutExpired:
            process.kill()
            n_kills += 1
        if process.wait() == 0:
            break
    assert n_kills >= 3 and batches.tree(tmp_path / "out") == whole and len(whole) == N_FILES + 1
    sample = folder / "3" / "10.wav"
    command = ["batch", "encode", str(sample.parent), str(tmp_path / "alone"), "--bundle", str(bundle)]
    assert main(command) == 0
    assert (tmp_path / "alone" / "10.wav.npz").read_bytes() == whole["3/10.wav.npz"]
