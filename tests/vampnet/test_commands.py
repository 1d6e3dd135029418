"""The commands as a user types them: what they write, what they print, and how they fail."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pyloudnorm
import pytest
import soundfile

from helpers import audio as sound
from helpers.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, golden):
    """Sounds to give to the commands: stereo at 48 kHz, three seconds with a pulse and a chord."""
    folder = tmp_path_factory.mktemp("sounds")
    time_axis = np.arange(3 * 48000) / 48000
    chord = sum(np.sin(2 * np.pi * pitch * time_axis) for pitch in (220, 277, 330))
    pulse = np.exp(-30 * (time_axis % 0.5))
    sound = 0.1 * chord * pulse
    soundfile.write(folder / "in.wav", np.stack([sound, 0.7 * sound], 1), 48000)
    soundfile.write(folder / "silence.wav", np.zeros((8000, 1)), 8000)
    soundfile.write(folder / "loud.wav", np.clip(20 * sound, -1, 1), 48000)
    soundfile.write(folder / "short.wav", sound[24000:24100], 48000)
    soundfile.write(folder / "surround.wav", np.tile(sound[:, None], (1, 6)), 48000)
    soundfile.write(folder / "empty.wav", np.zeros((0, 1)), 48000)
    (folder / "text.wav").write_text("not a sound")
    return folder


def run(*arguments):
    """One command in this process: its exit status."""
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """A command that must fail with one line and exit status 2: that line."""
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith("error: ")
    return printed.err


def loudness(path):
    samples, rate = soundfile.read(path)
    return pyloudnorm.Meter(rate).integrated_loudness(samples)


# --- vamp


def test_a_vamp_has_the_length_the_rate_and_the_loudness_of_its_input(folder, bundle, tmp_path):
    assert (
        run(
            "vamp",
            folder / "in.wav",
            tmp_path / "out.wav",
            "--bundle",
            bundle,
            "--tokens",
            tmp_path / "out.npz",
        )
        == 0
    )
    before, after = soundfile.info(folder / "in.wav"), soundfile.info(tmp_path / "out.wav")
    assert (after.frames, after.samplerate, after.channels) == (
        before.frames,
        before.samplerate,
        before.channels,
    )
    assert loudness(tmp_path / "out.wav") == pytest.approx(loudness(folder / "in.wav"), abs=1)
    assert np.abs(soundfile.read(tmp_path / "out.wav")[0]).max() <= 1
    with np.load(tmp_path / "out.npz") as tokens:
        shape = (1, 14, -(-int(3 * 44100) // 768))
        assert {name: tokens[name].shape for name in tokens.files} == dict.fromkeys(
            ("input", "mask", "masked", "codes"), shape
        )
        mask = tokens["mask"]
        assert (tokens["masked"] == np.where(mask == 1, 128, tokens["input"])).all()
        assert (mask[:, :3, ::7] == 0).all() and (mask[:, 3:, 1:-1] == 1).all()  # --periodic 7, --codebooks 3
        kept = mask == 0
        kept[:, :4, 0] = kept[:, :4, -1] = (
            True  # the coarse model keeps the ends of a chunk that keeps anything
        )
        assert (tokens["codes"][kept] == tokens["input"][kept]).all() and tokens["codes"].max() < 128


@pytest.mark.parametrize("name", ["silence.wav", "loud.wav", "short.wav", "surround.wav"])
def test_unusual_sounds_come_back_whole(name, folder, bundle, tmp_path):
    assert run("vamp", folder / name, tmp_path / "out.wav", "--bundle", bundle, "--steps", 2) == 0
    before, after = (
        soundfile.read(folder / name, always_2d=True)[0],
        soundfile.read(tmp_path / "out.wav", always_2d=True)[0],
    )
    assert after.shape == before.shape and np.isfinite(after).all() and np.abs(after).max() <= 1


@pytest.mark.parametrize(
    "options",
    [["--greedy"], ["--seed", 3, "--steps", 5, "--temperature", 0.9, "--onsets", 1, "--beats", 0.1]],
)
def test_pytorch_gives_the_same_tokens(options, folder, bundle, golden_dir, tmp_path):
    for models, name in ((["--bundle", bundle], "onnx"), (["--checkpoints", golden_dir], "torch")):
        command = [
            "vamp",
            folder / "in.wav",
            tmp_path / f"{name}.wav",
            *models,
            "--tokens",
            tmp_path / f"{name}.npz",
            *options,
        ]
        assert run(*command) == 0
    with np.load(tmp_path / "onnx.npz") as ours, np.load(tmp_path / "torch.npz") as theirs:
        assert all((ours[key] == theirs[key]).all() for key in ("input", "mask", "masked", "codes"))


def test_options_do_what_they_say(folder, bundle, tmp_path):
    def masks(*options):
        assert (
            run(
                "vamp",
                folder / "in.wav",
                tmp_path / "o.wav",
                "--bundle",
                bundle,
                "--steps",
                1,
                "--tokens",
                tmp_path / "o.npz",
                *options,
            )
            == 0
        )
        with np.load(tmp_path / "o.npz") as tokens:
            return tokens["mask"][0], tokens["codes"]

    none, codes = masks("--periodic", 0, "--codebooks", 14)
    assert none.all()
    assert (masks("--periodic", 0, "--codebooks", 14, "--seed", 1)[1] != codes).any()
    assert (masks("--periodic", 5, "--roll", 2)[0][0] == 0).nonzero()[0][:3].tolist() == [0, 2, 7]
    assert (masks("--periodic", 9, "--width", 3)[0][0] == 0).nonzero()[0][:5].tolist() == [0, 1, 8, 9, 10]
    ends = masks("--periodic", 0, "--prefix", 0.5, "--suffix", 0.25)[0][0]
    assert (ends == 0).nonzero()[0].tolist() == [*range(29), *range(len(ends) - 15, len(ends))]
    assert masks("--periodic", 0, "--random", 0.5, "--codebooks", 14)[0].mean() == pytest.approx(
        0.5, abs=0.05
    )
    assert masks("--periodic", 2, "--dropout", 1)[0].all()
    assert 0 < (masks("--periodic", 0, "--onsets", 2)[0][0] == 0).sum() < 100
    np.save(tmp_path / "mask.npy", np.tri(14, none.shape[1], dtype=np.int64))
    assert (masks("--mask", tmp_path / "mask.npy")[0] == np.tri(14, none.shape[1]))[:, 1:-1].all()


def test_without_pytorch_and_without_a_terminal(folder, bundle, tmp_path):
    """The vamp imports no PyTorch, and prints no progress where nobody watches."""
    code = (
        "import sys; from helpers.__main__ import main; "
        "status = main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(status)"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "vamp",
        folder / "in.wav",
        tmp_path / "out.wav",
        "--bundle",
        bundle,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False" and done.stderr == ""


def test_a_missing_provider_is_announced(folder, bundle, tmp_path, capsys):
    assert (
        run(
            "vamp",
            folder / "in.wav",
            tmp_path / "o.wav",
            "--bundle",
            bundle,
            "--steps",
            1,
            "--provider",
            "NoSuchProvider",
        )
        == 0
    )
    assert "NoSuchProvider" in capsys.readouterr().err


# --- inspect, download, export, verify


def test_inspect_tells_what_files_hold(golden_dir, bundle, capsys):
    assert run("inspect", golden_dir / "c2f.pth") == 0
    told = capsys.readouterr().out
    assert all(
        word in told
        for word in ("2 layers", "width 64", "14 codebooks of 128", "4 of them given", "20 LoRA matrices")
    )
    assert run("inspect", bundle / "coarse.onnx") == 0
    told = capsys.readouterr().out
    assert all(
        word in told
        for word in ("codes: int64 (batch, 4, frames)", "opset ai.onnx 23", "Attention", "fp32", "coarse.pth")
    )


def test_export_and_verify_with_an_overlay(golden_dir, tmp_path, capsys, monkeypatch):
    import torch

    overlay = {
        f"transformer.layers.2.self_attn.fc.{half}": torch.ones(shape) / 10
        for half, shape in (("lora_A", (8, 64)), ("lora_B", (64, 8)))
    }
    torch.save(overlay, tmp_path / "style.pth")
    bundle = tmp_path / "bundle"
    assert run("export", "--checkpoints", golden_dir, "--out", bundle, "--lora", tmp_path / "style.pth") == 0
    said = capsys.readouterr().out
    counted = [line for line in said.splitlines() if "accounted for" in line]
    assert [line.endswith("codebooks in the codec's file") for line in counted] == [False, True, True]
    assert "coarse.pth: 78 of 78 tensors" in said
    with monkeypatch.context() as short:  # what is wrong shows at any size
        short.setattr("helpers.vampnet.proof.SHAPES", ((2, 9),))
        short.setattr("helpers.vampnet.proof.CODEC_SHAPES", ((2, 9),))
        without = ("verify", "--checkpoints", golden_dir, "--bundle", bundle)
        assert run(*without, "--json", tmp_path / "c.json") == 1
    assert "overlays" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["passed"] is False
    command = (
        "verify",
        "--checkpoints",
        golden_dir,
        "--bundle",
        bundle,
        "--lora",
        tmp_path / "style.pth",
        "--json",
        tmp_path / "c.json",
    )
    assert run(*command) == 0
    assert json.loads((tmp_path / "c.json").read_text())["passed"] is True


# --- mistakes


def test_mistakes_are_one_line(folder, bundle, golden_dir, tmp_path, capsys):
    sound, out = folder / "in.wav", tmp_path / "out.wav"
    np.save(tmp_path / "narrow.npy", np.ones((14, 3), np.int64))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    vamp = ("vamp", sound, out, "--bundle", bundle)
    for arguments in [
        ("vamp", folder / "absent.wav", out, "--bundle", bundle),
        ("vamp", folder / "text.wav", out, "--bundle", bundle),
        ("vamp", folder / "empty.wav", out, "--bundle", bundle),
        ("vamp", folder, out, "--bundle", bundle),
        ("vamp", sound, tmp_path / "out.xyz", "--bundle", bundle),
        ("vamp", sound, out),
        ("vamp", sound, out, "--bundle", bundle, "--checkpoints", golden_dir),
        ("vamp", sound, out, "--bundle", tmp_path / "empty"),
        ("vamp", sound, out, "--checkpoints", tmp_path / "empty"),
        (*vamp, "--steps", 0),
        (*vamp, "--steps", "many"),
        (*vamp, "--temperature", 0),
        (*vamp, "--temperature", "nan"),
        (*vamp, "--top-p", 2),
        (*vamp, "--typical-mass", -1),
        (*vamp, "--seed", -1),
        (*vamp, "--periodic", -1),
        (*vamp, "--dropout", 2),
        (*vamp, "--prefix", "nan"),
        (*vamp, "--mask", tmp_path / "absent.npy"),
        (*vamp, "--mask", tmp_path / "narrow.npy"),
        (*vamp, "--mask", tmp_path / "pickle.npy"),
        (*vamp, "--mask", folder / "text.wav"),
        (*vamp, "--cfg-guidance", 3),
        ("inspect", tmp_path / "absent.pth"),
        ("inspect", tmp_path),
        ("inspect", tmp_path / "broken.onnx"),
        ("inspect", folder / "text.wav"),
        ("export", "--checkpoints", tmp_path / "empty", "--out", tmp_path / "bundle"),
        ("export", "--checkpoints", golden_dir, "--out", tmp_path / "bundle", "--precision", "int3"),
        ("export", "--checkpoints", golden_dir, "--out", tmp_path / "bundle", "--opset", 16),
        (
            "export",
            "--checkpoints",
            golden_dir,
            "--out",
            tmp_path / "bundle",
            "--lora",
            golden_dir / "coarse.pth",
        ),
        ("verify", "--checkpoints", golden_dir, "--bundle", tmp_path / "empty"),
        ("download", "no-such-model", "--to", tmp_path / "d"),
        ("download", "vampnet"),
        ("frobnicate",),
        (),
    ]:
        message = refused(capsys, *arguments)
        assert len(message) < 400, message
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "broken.onnx",
        "empty",
        "narrow.npy",
        "pickle.npy",
    ]


def test_onnx_files_that_lie_are_described_or_refused(bundle, tmp_path, capsys):
    whole = (bundle / "coarse.onnx").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(whole[: rng.integers(1, len(whole))])
        damaged[rng.integers(len(damaged))] ^= 255
        (tmp_path / "x.onnx").write_bytes(damaged)
        assert run("inspect", tmp_path / "x.onnx") in (0, 2)
    model = onnx.load(bundle / "coarse.onnx")
    weight = model.graph.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    capsys.readouterr()
    assert run("inspect", tmp_path / "x.onnx") == 0 and "MISSING" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_leaves_nothing(golden_dir, tmp_path, heard):
    command = [
        sys.executable,
        "-m",
        "helpers",
        "export",
        "--checkpoints",
        str(golden_dir),
        "--out",
        str(tmp_path / "out" / "bundle"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    while not list(tmp_path.rglob("*.onnx")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)  # until the first graph is there, and the second is being made
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and errors == "stopped.\n"
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_failed_vamp_leaves_neither_file(folder, bundle, tmp_path, capsys, monkeypatch):
    (tmp_path / "taken.wav").mkdir()
    vamp = ("vamp", folder / "in.wav", "--bundle", bundle, "--steps", 1)
    refused(capsys, *vamp, tmp_path / "taken.wav", "--tokens", tmp_path / "t.npz")
    refused(capsys, *vamp, tmp_path / "o.wav", "--tokens", tmp_path / "o.wav")

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sound, "save", full_disk)
    assert "No space left" in refused(capsys, *vamp, tmp_path / "o.wav", "--tokens", tmp_path / "t.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.wav"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_output_that_nobody_reads_or_that_has_no_room(golden_dir, tmp_path):
    inspect = [sys.executable, "-m", "helpers", "inspect", str(golden_dir / "coarse.pth")]
    reader, writer = os.pipe()
    os.close(reader)
    unread = subprocess.run(inspect, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (unread.returncode, unread.stderr) == (141, "")
    with open("/dev/full", "w") as full:
        no_room = subprocess.run(inspect, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert no_room.returncode == 2 and no_room.stderr.count("\n") == 1


def test_paths_that_a_plain_terminal_cannot_show(folder, bundle, tmp_path):
    command = [
        sys.executable,
        "-m",
        "helpers",
        "vamp",
        folder / "in.wav",
        tmp_path / "é 🎵.wav",
        "--bundle",
        bundle,
        "--steps",
        "1",
    ]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "wrote" in done.stdout and (tmp_path / "é 🎵.wav").is_file()
