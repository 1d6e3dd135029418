"""MusicGen's commands as a user types them: what they write, what they print, and how they fail."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import helpers
from helpers import audio as sound
from helpers.__main__ import main
from helpers.musicgen.pipeline import Pipeline

from .conftest import GOLDEN

ROOT = Path(__file__).parents[2]
RATE = 3200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings to go on from: another rate, stereo, silent, one sample, ten minutes, not a sound."""
    folder = tmp_path_factory.mktemp("sounds")
    time = np.arange(24000) / 48000
    tone = 0.1 * np.sin(2 * np.pi * 220 * time)
    soundfile.write(folder / "in.wav", np.stack([tone, 0.5 * tone], 1), 48000)
    soundfile.write(folder / "mono.wav", tone[: RATE // 2], RATE)
    soundfile.write(folder / "silence.wav", np.zeros((8000, 1)), 8000)
    soundfile.write(folder / "one.wav", np.full((1, 1), 0.1), 8000)
    soundfile.write(folder / "surround.wav", np.tile(tone[:, None], (1, 6)), 48000)
    soundfile.write(folder / "ten.wav", np.zeros((600 * 8000, 1)), 8000, subtype="PCM_U8")
    soundfile.write(folder / "empty.wav", np.zeros((0, 1)), 48000)
    (folder / "text.wav").write_text("not a sound")
    return folder


def run(*arguments):
    """One command in this process: its exit status."""
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """A command that must fail with one line and exit status 2: that line."""
    capsys.readouterr()
    assert run(*arguments) == 2, arguments
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith("error: "), printed.err
    assert len(printed.err) < 500
    return printed.err


# --- generate


def test_a_recording_goes_on(folder, musicgen_bundle, onnx, tmp_path, capsys):
    command = ("generate", tmp_path / "o.wav", "--bundle", musicgen_bundle, "--prompt", folder / "in.wav",
               "--text", "slow sad piano", "--seconds", 1.1, "--tokens", tmp_path / "o.npz")  # fmt: skip
    assert run(*command) == 0
    assert "1.10 s, 0.50 s of them the prompt" in capsys.readouterr().out
    written = soundfile.info(tmp_path / "o.wav")
    assert (written.frames, written.samplerate, written.channels) == (55 * onnx.hop, RATE, 1)
    with np.load(tmp_path / "o.npz") as tokens:
        assert {name: tokens[name].shape for name in tokens.files} == {
            "prompt": (1, 4, 25),
            "codes": (1, 4, 55),
        }
        assert tokens["codes"].dtype == np.int64 and (tokens["codes"][:, :, :25] == tokens["prompt"]).all()
        audio, rate = sound.load(folder / "in.wav")
        np.testing.assert_array_equal(tokens["prompt"], onnx.encode(audio, rate))


@pytest.mark.parametrize("options", [["--greedy"], ["--seed", 3, "--top-p", 0.9, "--guidance", 1.5]])
def test_pytorch_gives_the_same_tokens(options, folder, musicgen_bundle, family, tmp_path):
    found = []
    for models in (["--bundle", musicgen_bundle], ["--checkpoints", GOLDEN / family]):
        command = ["generate", tmp_path / "o.wav", *models, "--tokens", tmp_path / "o.npz", "--text", "drums",
                   "--prompt", folder / "mono.wav", "--seconds", 1.5, *options]  # fmt: skip
        assert run(*command) == 0
        with np.load(tmp_path / "o.npz") as tokens:
            found.append(tokens["codes"])
    np.testing.assert_array_equal(*found)


def test_greedy_tokens_are_the_reference_s(musicgen_bundle, golden, tmp_path):
    case = next(one for one in json.loads(str(golden["cases"])) if one["name"] == "text")
    command = ("generate", tmp_path / "o.wav", "--bundle", musicgen_bundle, "--text", case["text"][0],
               "--tokens", tmp_path / "o.npz", "--greedy")  # fmt: skip
    assert run(*command, "--seconds", case["frames"] / 50 + 0.001) == 0
    with np.load(tmp_path / "o.npz") as tokens:
        np.testing.assert_array_equal(tokens["codes"], golden["gen_text_codes"])


@pytest.mark.parametrize("name", ["silence.wav", "one.wav", "surround.wav"])
def test_unusual_prompts_go_on(name, folder, musicgen_bundle, tmp_path, audiocraft_only):
    command = ("generate", tmp_path / "o.flac", "--bundle", musicgen_bundle, "--prompt", folder / name)
    assert run(*command, "--seconds", 1.2) == 0
    samples, _ = soundfile.read(tmp_path / "o.flac")
    assert samples.shape == (60 * 64,) and np.isfinite(samples).all()


def test_ten_minutes_are_refused_before_they_are_coded(
    folder, musicgen_bundle, tmp_path, capsys, monkeypatch, audiocraft_only
):
    monkeypatch.setattr(Pipeline, "encode", None)
    command = ("generate", tmp_path / "o.wav", "--bundle", musicgen_bundle, "--prompt", folder / "ten.wav")
    assert "600.00 seconds of 10" in refused(capsys, *command)


def test_ten_minutes_go_on(folder, musicgen_bundle, tmp_path, audiocraft_only):
    command = ("generate", tmp_path / "o.wav", "--bundle", musicgen_bundle, "--prompt", folder / "ten.wav")
    assert run(*command, "--seconds", 600.5) == 0
    assert soundfile.info(tmp_path / "o.wav").frames == 30025 * 64


def test_a_text_may_be_empty_or_foreign(musicgen_bundle, tmp_path):
    for text in ("", "pi\u00e1no \U0001f3b5 \x00", "-"):
        command = ("generate", tmp_path / "o.wav", "--bundle", musicgen_bundle, f"--text={text}")
        assert run(*command, "--seconds", 0.1) == 0


def test_without_pytorch_and_without_a_terminal(folder, musicgen_bundle, tmp_path, audiocraft_only):
    code = (
        "import sys; from helpers.__main__ import main; status = main(sys.argv[1:]); "
        "print([name for name in ('torch', 'librosa') if name in sys.modules]); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "generate", tmp_path / "o.wav", "--bundle", musicgen_bundle,
               "--text", "drums", "--prompt", folder / "in.wav", "--seconds", "0.7"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(line.startswith("note: ") for line in done.stderr.splitlines())  # random weights are loud


def test_a_bundle_opens_by_what_it_says(musicgen_bundle, bundle):
    assert isinstance(helpers.open(musicgen_bundle), Pipeline)
    assert not isinstance(helpers.open(bundle), Pipeline)


# --- inspect, export, verify


def test_export_and_verify(family, tmp_path, capsys, monkeypatch):
    checkpoints, bundle = GOLDEN / family, tmp_path / "bundle"
    assert run("export", "--checkpoints", checkpoints, "--out", bundle, "--opset", 18) == 0
    printed = capsys.readouterr().out
    assert printed.count("tensors accounted for") == 3 and "5 graphs, opset 18, fp32" in printed
    assert run("inspect", bundle) == 0
    assert "encodec_encoder.onnx" in capsys.readouterr().out
    command = ("verify", "--checkpoints", checkpoints, "--bundle", bundle)
    assert run(*command, "--json", tmp_path / "c.json") == 0
    assert "passed:" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["passed"] is True
    name = json.loads((bundle / "bundle.json").read_text())["tokenizer"]
    (bundle / name).write_bytes((bundle / name).read_bytes() + b"\n")
    monkeypatch.setattr("helpers.musicgen.proof.compare", lambda *given: iter(()))  # which passed
    assert run(*command) == 1
    assert f"{name} is not the file" in capsys.readouterr().out


def test_what_is_only_named_is_named_to_the_commands(tmp_path, capsys, audiocraft_only):
    shutil.copytree(GOLDEN / "audiocraft", tmp_path / "home" / "checkpoints")
    shutil.copytree(GOLDEN / "t5", tmp_path / "reads")
    checkpoints = ("--checkpoints", tmp_path / "home" / "checkpoints")
    assert run("inspect", checkpoints[1]) == 0
    assert "--text-encoder DIR" in capsys.readouterr().out
    assert "--text-encoder DIR" in refused(capsys, "export", *checkpoints, "--out", tmp_path / "bundle")
    named = (*checkpoints, "--text-encoder", tmp_path / "reads")
    assert run("export", *named, "--out", tmp_path / "bundle") == 0
    assert run("generate", tmp_path / "o.wav", *named, "--text", "drums", "--seconds", 0.1) == 0
    both = ("--bundle", tmp_path / "bundle", "--text-encoder", tmp_path / "reads")
    assert "bundle has it inside" in refused(capsys, "generate", tmp_path / "p.wav", *both)


@pytest.mark.parametrize(
    "path, words",
    [("audiocraft", "the text encoder"), ("hf", "padding of texts: mask"),
     ("t5/model.safetensors", "tensors"),
     ("audiocraft/state_dict.bin", "language model of an audiocraft"),
     ("audiocraft/compression_state_dict.bin", "ratios = "),
     ("finetune/compression_state_dict.bin", "facebook/encodec_32khz")],
)  # fmt: skip
def test_inspect(path, words, capsys, audiocraft_only):
    assert run("inspect", GOLDEN / path) == 0
    assert words in capsys.readouterr().out


# --- mistakes, and what strangers write


def test_mistakes_are_one_line(folder, musicgen_bundle, bundle, tmp_path, capsys, audiocraft_only):
    (tmp_path / "empty").mkdir()
    out, checkpoints = tmp_path / "o.wav", ("--checkpoints", GOLDEN / "audiocraft")
    generate = ("generate", out, "--bundle", musicgen_bundle)
    for arguments in [
        ("generate", out),
        (*generate, *checkpoints),
        ("generate", tmp_path / "o.xyz", "--bundle", musicgen_bundle),
        ("generate", out, "--bundle", tmp_path / "empty"),
        ("generate", out, "--bundle", bundle),
        ("generate", out, "--checkpoints", tmp_path / "empty"),
        ("generate", out, *checkpoints, "--codec", tmp_path / "empty"),
        ("generate", out, *checkpoints, "--text-encoder", folder / "text.wav"),
        ("generate", out, *checkpoints, "--provider", "CUDAExecutionProvider"),
        *((*generate, "--prompt", folder / name) for name in ("absent.wav", "text.wav", "empty.wav", "")),
        *((*generate, "--seconds", value) for value in (0, -1, "nan", "inf", 1e9, 0.001, "long")),
        *((*generate, "--guidance", value) for value in ("nan", 1e9)),
        *((*generate, "--temperature", value) for value in (-1, "nan")),
        *((*generate, "--top-k", value) for value in (-1, 2.5)),
        *((*generate, "--top-p", value) for value in (2, -1, "nan")),
        (*generate, "--seed", -1),
        (*generate, "--text", "drums " * 10_000),
        (*generate, "--text", "\udcff"),
        (*generate, "--tokens", out),
        (*generate, "--lora", "x"),
        ("export", *checkpoints, "--out", tmp_path / "b", "--lora", "x"),
        ("export", *checkpoints, "--out", tmp_path / "b", "--precision", "int3"),
        ("export", "--checkpoints", GOLDEN / "t5", "--out", tmp_path / "b"),
        ("export", "--checkpoints", tmp_path / "empty", "--out", tmp_path / "b"),
        ("export", *checkpoints, "--out", tmp_path / "b", "--codec", GOLDEN / "t5"),
        ("export", *checkpoints, "--out", tmp_path / "b", "--text-encoder", GOLDEN / "hf"),
        ("verify", *checkpoints, "--bundle", bundle),
        ("verify", *checkpoints, "--bundle", musicgen_bundle, "--lora", "x"),
        ("inspect", GOLDEN / "finetune"),
        ("inspect", GOLDEN / "hf" / "tokenizer.json"),
    ]:
        refused(capsys, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def edit_json(change):
    return lambda path: path.write_text(json.dumps(change(json.loads(path.read_text()))))


def without(name):
    from safetensors.torch import load_file, save_file

    def change(path):
        tensors = load_file(path)
        del tensors[name]
        save_file(tensors, path)

    return change


def with_settings(text):
    return lambda path: torch.save(torch.load(path, weights_only=True) | {"xp.cfg": text}, path)


@pytest.mark.parametrize(
    "file, change",
    [
        ("hf/config.json", edit_json(lambda config: config | {"decoder": {"num_hidden_layers": 10**9}})),
        ("hf/config.json", edit_json(lambda config: config | {"model_type": "musicgen_melody"})),
        ("hf/config.json", lambda path: path.write_text("[" * 100_000)),
        ("hf/model.safetensors", without("decoder.lm_heads.0.weight")),
        ("hf/model.safetensors", lambda path: path.write_bytes(b"\xff" * 100)),
        ("hf/model.safetensors", lambda path: path.unlink()),
        ("audiocraft/state_dict.bin", with_settings("!!python/object/apply:os.abort []")),
        ("audiocraft/state_dict.bin", with_settings("lm_model: magnet")),
        ("audiocraft/state_dict.bin", lambda path: path.write_bytes(b"PK\x03\x04" * 9)),
        ("audiocraft/compression_state_dict.bin", lambda path: torch.save({"pretrained": "../x"}, path)),
        ("audiocraft/compression_state_dict.bin", lambda path: torch.save([1], path)),
        ("t5/config.json", edit_json(lambda config: config | {"d_ff": 2**40})),
    ],
)
def test_checkpoints_that_lie(file, change, tmp_path, capsys, audiocraft_only):
    family = file.partition("/")[0]
    for name in ("hf", "audiocraft", "t5"):
        shutil.copytree(GOLDEN / name, tmp_path / name)
    change(tmp_path / file)
    checkpoints = tmp_path / ("hf" if family == "hf" else "audiocraft")
    refused(capsys, "export", "--checkpoints", checkpoints, "--out", tmp_path / "bundle")
    refused(capsys, "generate", tmp_path / "o.wav", "--checkpoints", checkpoints, "--seconds", 0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audiocraft", "hf", "t5"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff" * 99, b"x" * (80 << 20)])
def test_tokenizers_that_are_not(content, musicgen_bundle, tmp_path, capsys):
    copied = shutil.copytree(musicgen_bundle, tmp_path / "bundle")
    manifest = json.loads((copied / "bundle.json").read_text())
    (copied / manifest["tokenizer"]).write_bytes(content)
    generate = ("generate", tmp_path / "o.wav", "--bundle", copied, "--seconds", 0.1)
    assert manifest["tokenizer"] in refused(capsys, *generate, "--text", "drums")
    assert run(*generate) == 0


@pytest.mark.parametrize(
    "change",
    [{"n_layers": 9}, {"n_heads": 3}, {"width": 7}, {"codebook_size": 99}, {"vocab_size": 9}, {"hop": 7},
     {"n_codebooks": 2, "delays": [0, 1]}, {"channels": 2}, {"codec_width": 1 << 20}, {"n_lstm": 5},
     {"decoder_context": 1 << 20}, {"delays": [0, 1, 2, 1 << 20]}, {"model": "vampnet"}, {"model": ["x"]}],
)  # fmt: skip
def test_bundles_that_lie(change, folder, musicgen_bundle, tmp_path, capsys, audiocraft_only):
    """One line, or sound: numbers that only describe the codec may be wrong without a word."""
    copied = shutil.copytree(musicgen_bundle, tmp_path / "bundle")
    manifest = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(manifest | change))
    command = ("generate", tmp_path / "o.wav", "--bundle", copied, "--text", "drums", "--seconds", 0.2,
               "--prompt", folder / "one.wav")  # fmt: skip
    status = run(*command)
    printed = capsys.readouterr().err
    assert status == 0 or (status == 2 and printed.count("\n") == 1 and not (tmp_path / "o.wav").exists())
