"""One's own lines train the omni's first stages: read, refused, and killed in between."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from fabricate_omni import SMALL

from helpers import audio
from helpers.omni.weights import load_part
from workshop.__main__ import main
from workshop.omni.training import command, own
from workshop.omni.training.stage import Recipe
from workshop.training.loop import Budget, run

RECIPE = Recipe(batch=4, rate=3e-3)
LINES = {
    "thinker": [{"question": "what is there", "answer": "a red star"},
                {"scene": "blue ring", "question": "What  is", "answer": "a ring"}],
    "ear": [{"sound": "a.wav", "text": "red"}],
    "eye": [{"picture": "a.npy", "caption": "a red ring"}, {"picture": "a.npy", "number": "407"}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    audio.save(tmp_path / "a.wav", 0.1 * rng.standard_normal((1, 8000)).astype(np.float32), 16000)
    np.save(tmp_path / "a.npy", rng.integers(256, size=(64, 64, 3)).astype(np.uint8))
    return tmp_path


def written(folder, lines):
    path = folder / "lines.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


@pytest.mark.parametrize("part", LINES)
def test_a_run_on_own_lines_that_was_killed_ends_bit_equal(part, folder):
    manifest = own.read_manifest(written(folder, LINES[part] * 11), part)
    assert len(manifest.held_out) == len(LINES[part] * 11) // 10

    def trained(path, stop_at=None):
        stage = own.OWN[part](manifest, RECIPE, SMALL)
        step = stage.step

        def stopping(k, progress):
            if k == stop_at:
                raise InterruptedError
            return step(k, progress)

        stage.step = stopping
        run(stage, path, Budget(steps=3))
        return stage.model.state_dict()

    whole = trained(folder / "whole" / f"{part}.safetensors")
    path = folder / "killed" / f"{part}.safetensors"
    with pytest.raises(InterruptedError):
        trained(path, stop_at=2)
    resumed = trained(path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    load_part(path.parent, part, SMALL)


@pytest.mark.parametrize(
    "part, line, told",
    [
        ("thinker", "{", "is not JSON"),
        ("thinker", {"question": "what"}, "lacks 'question' and 'answer'"),
        ("thinker", {"question": "what", "answer": 3}, "should be a text, not 3"),
        ("thinker", {"question": "what", "answer": "42"}, "letters a to z"),
        ("ear", {"sound": "b.wav", "text": "red"}, "there is no file"),
        ("eye", {"picture": "a.npy", "number": "7"}, "three digits"),
        ("eye", {"picture": "a.npy"}, "lacks 'picture' and 'caption' or 'picture' and 'number'"),
    ],
)
def test_a_line_that_is_none_is_named(part, line, told, folder, capsys):
    path = written(folder, [*LINES[part] * 2, line])
    arguments = ["train", "omni", part, "--out", str(folder / "out"), "--manifest", str(path)]
    assert main([*arguments, "--steps", "1"]) == 2
    error = capsys.readouterr().err
    assert told in error and f"line {2 * len(LINES[part]) + 1} of" in error and error.count("\n") == 1
    assert not (folder / "out").exists()


def test_the_words_of_the_first_manifest_are_the_models(folder, monkeypatch, capsys):
    monkeypatch.setattr(command, "CONFIG", replace(SMALL, words=("one",)))
    path = written(folder, LINES["thinker"] * 5)
    arguments = ["train", "omni", "thinker", "--out", str(folder / "out"), "--steps", "1", "--batch", "2"]
    assert main([*arguments, "--manifest", str(path)]) == 0
    words = json.loads((folder / "out" / "config.json").read_text())["words"]
    assert words == ["a", "blue", "is", "red", "ring", "star", "there", "what"]
    path = written(folder, [{"picture": "a.npy", "caption": "a green ring"}] * 10)
    assert main(["train", "omni", "eye", "--out", str(folder / "out"), "--manifest", str(path)]) == 2
    assert "no word 'green'" in capsys.readouterr().err
    assert main(["train", "omni", "voice", "--out", str(folder / "out"), "--manifest", str(path)]) == 2
    assert "thinker, ear, eye" in capsys.readouterr().err
