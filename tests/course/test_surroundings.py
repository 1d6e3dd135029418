"""The commands in odd surroundings: closed streams, signals, pipes, other people's files, absurd numbers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="shells, pipes and signals of POSIX")
SMALL = ["--steps", "1", "--fine-steps", "1"]


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "in.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(22050) / 20), 44100)
    return path


def shell(command, *arguments, cwd=ROOT, **env):
    """A line of shell with `$0` the Python of the tests and `"$@"` the arguments."""
    line = ["sh", "-c", command, sys.executable, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, env=os.environ | env)


def is_one_line(result):
    assert result.returncode == 2 and result.stderr.count("\n") == 1, (result.returncode, result.stderr)
    assert result.stderr.startswith("error: ") and result.stderr[:-1].isprintable(), repr(result.stderr)
    return result.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_a_closed_stream_changes_nothing(wav, bundle, tmp_path, closed):
    out = tmp_path / "out.wav"
    command = f'"$0" -m helpers vamp "$@" {closed}'
    result = shell(command, wav, out, "--bundle", bundle, *SMALL)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert soundfile.info(out).frames == 22050


def test_a_sound_may_come_through_a_pipe(wav, bundle, tmp_path):
    out = tmp_path / "out.wav"
    command = 'cat "$1" | "$0" -m helpers vamp /dev/stdin "$2" --bundle "$3" --steps 1 --fine-steps 1'
    result = shell(command, wav, out, bundle)
    assert result.returncode == 0, result.stderr
    assert soundfile.info(out).frames == 22050


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_ended_leaves_nothing(golden_dir, tmp_path, heard, number):
    command = [sys.executable, "-m", "helpers", "export", "--checkpoints", str(golden_dir)]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "bundle")], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    while not list(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(300) == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        ["--prefix", "1e308"], ["--suffix", "inf"], ["--beats", "nan"], ["--temperature", "1e39"],
        ["--mask-temperature", "1e39"], ["--temperature", "0"], ["--seed", "-1"], ["--top-p", "nan"],
        ["--periodic", "-3"], ["--random", "2"], ["--steps", "0"], ["--codebooks", "-1"],
    ],
)  # fmt: skip
def test_absurd_numbers_are_one_line(wav, bundle, tmp_path, options):
    result = shell('"$0" -m helpers vamp "$@"', wav, tmp_path / "out.wav", "--bundle", bundle, *options)
    is_one_line(result)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tokens", ["in.wav", "./out.wav", "sub/../out.wav", "sub", "pipe"])
def test_tokens_overwrite_nothing(wav, bundle, tmp_path, tokens):
    shutil.copy(wav, tmp_path / "in.wav")
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    arguments = ["in.wav", "out.wav", "--bundle", bundle, "--tokens", tokens]
    is_one_line(shell('"$0" -m helpers vamp "$@"', *arguments, cwd=tmp_path, PYTHONPATH=str(ROOT)))
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def changed(bundle, tmp_path, **entries):
    copied = shutil.copytree(bundle, tmp_path / "bundle")
    manifest = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(manifest | entries))
    return copied


def test_a_graph_that_is_another_file_is_not_played(wav, bundle, tmp_path):
    copied = changed(bundle, tmp_path)
    shutil.copy(copied / "coarse.onnx", copied / "c2f.onnx")
    result = shell('"$0" -m helpers vamp "$@"', wav, tmp_path / "out.wav", "--bundle", copied, *SMALL)
    assert "c2f.onnx is not the file" in is_one_line(result)
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "5", "1" * 5000, '{"model": "\\u001b[2J\\nerror: x"}'])
def test_an_absurd_manifest_is_one_line(wav, tmp_path, text):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text(text)
    for command in ("vamp", "verify"):
        arguments = [wav, tmp_path / "out.wav"] if command == "vamp" else ["--checkpoints", tmp_path]
        is_one_line(shell(f'"$0" -m helpers {command} "$@"', *arguments, "--bundle", tmp_path / "bundle"))


def test_names_in_a_bundle_cannot_forge_a_line(bundle, tmp_path):
    copied = changed(bundle, tmp_path, model="x\x1b[31m\nerror: all is lost", tool="\u202egnp.exe")
    result = shell('"$0" -m helpers inspect "$1"', copied)
    assert result.returncode == 0 and "\x1b" not in result.stdout and "\nerror" not in result.stdout
    assert all(line.isprintable() for line in result.stdout.splitlines())


def test_a_mask_with_a_gigantic_claim_is_one_line(wav, bundle, tmp_path):
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 14, 99999999999), }"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    (tmp_path / "mask.npy").write_bytes(body)
    arguments = [wav, tmp_path / "out.wav", "--bundle", bundle, "--mask", tmp_path / "mask.npy"]
    is_one_line(shell('"$0" -m helpers vamp "$@"', *arguments))


def test_where_nothing_can_be_cached_onsets_are_found(wav, bundle, tmp_path):
    """As on a system whose packages and home are read-only."""
    code = """
import runpy, sys
from helpers.support import libraries
libraries._can_write = lambda place: False
sys.argv = ["helpers", *sys.argv[1:]]
runpy.run_module("helpers", run_name="__main__")
"""
    (tmp_path / "run.py").write_text(code)
    arguments = [wav, tmp_path / "out.wav", "--bundle", bundle, "--onsets", "1", *SMALL]
    result = shell('"$0" "$@"', tmp_path / "run.py", "vamp", *arguments, PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("package", ["helpers", "workshop"])
@pytest.mark.parametrize(("before", "after"), [(None, "20000"), ("5", "5")])
def test_threads_spin_briefly_unless_the_user_says_so(package, before, after):
    code = f"import sys, os, {package}; print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {} if before is None else {"GOMP_SPINCOUNT": before}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == ["False", after]
