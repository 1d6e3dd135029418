"""A folder of files: each done once, whatever ends it; hostile folders; a cluster that loses a worker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import batches
import pytest

from helpers.batch import cluster
from helpers.support.errors import InputError

ROOT = Path(__file__).parents[2]
SURROUNDINGS = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
NAMES = ("a.wav", "a.mp3", "b.flac", "deep/down/c.ogg", "deep/A.WAV")


@pytest.fixture
def source(tmp_path):
    """A folder with five sounds, as far as their names tell."""
    folder = tmp_path / "in"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the sound {name}")
    return folder


@pytest.fixture
def command(source, tmp_path):
    """The command's arguments for that folder, with one process unless something else is said."""
    return [source, tmp_path / "out", "--bundle", batches.bundle_in(tmp_path), "--log", tmp_path / "log"]


def run(command, *more):
    if "--cluster" not in more:
        more = ("--processes", 1, *more)
    return batches.main([*command, *more])


def refused(capsys, command, *more):
    """A batch that must not begin: the one line that says why."""
    assert run(command, *more) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.err.startswith("error: ") and len(printed.err) < 400
    return printed.err


def worked(tmp_path):
    """What was worked on, in order."""
    return [name for _, name in log(tmp_path)]


def log(tmp_path):
    """Who worked on what, in order: a process's number, and the last part of a sound's name."""
    path = tmp_path / "log"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [(int(number), json.loads(name)) for number, _, name in (line.partition(" ") for line in lines)]


def records(tmp_path):
    head, *rest = map(json.loads, (tmp_path / "out" / "batch.jsonl").read_text().splitlines())
    return head, {one["input"]: one for one in rest}


# --- what is written


def test_the_same_tree_comes_out_and_the_manifest_tells_of_each_file(command, source, tmp_path, capsys):
    (source / "deep" / "bad.wav").write_text("x")
    (source / "long.wav").write_text("x" * 200)
    (source / "notes.txt").write_text("x")
    (source / ".hidden.wav").write_text("x")
    assert run(command, "--tokens") == 1
    out = batches.tree(tmp_path / "out")
    sounds = {"a.wav", "a.mp3.wav", "b.flac", "deep/down/c.ogg.wav", "deep/A.WAV", "long.wav"}
    assert set(out) == sounds | {f"{name}.npz" for name in sounds} | {"batch.jsonl"}
    assert out["deep/down/c.ogg.wav"] == b"the sound deep/down/c.ogg"
    printed = capsys.readouterr()
    failure, note = printed.err.splitlines()
    assert failure.startswith("failed: deep/bad.wav: ") and "files that are no sound (1)" in note
    assert "6 sounds done, 1 failed" in printed.out
    head, found = records(tmp_path)
    assert head["settings"]["tokens"] is True and len(head["settings_sha256"]) == 64
    assert list(found) == sorted({*NAMES, "deep/bad.wav", "long.wav"})
    assert found["long.wav"]["note"] == "it is long." and "bad" in found["deep/bad.wav"]["error"]
    for name, record in found.items():
        if name != "deep/bad.wav":
            assert record["sha256"] == batches.files.sha256(source / name)
            for written, value in record["outputs"].items():
                assert value == batches.files.sha256(tmp_path / "out" / written)


def test_several_processes_give_what_one_gives(command, source, tmp_path):
    for i in range(10):
        (source / f"{i}.wav").write_text(f"number {i}")
    (source / "crash.wav").write_text("x")
    assert run(command) == 1
    first, done = batches.tree(tmp_path / "out"), worked(tmp_path)
    assert "ended (status 3)" in records(tmp_path)[1]["crash.wav"]["error"]
    command[1] = tmp_path / "again"
    assert run(command, "--processes", 3) == 1
    assert batches.tree(tmp_path / "again") == first
    assert sorted(worked(tmp_path)) == sorted(2 * done) and len(done) == 15


def test_nothing_is_done_twice_but_what_changed(command, source, tmp_path, capsys):
    assert run(command) == 0
    first = batches.tree(tmp_path / "out")
    capsys.readouterr()
    assert run(command) == 0 and batches.tree(tmp_path / "out") == first
    assert f"0 sounds done, {len(NAMES)} already there, 0 failed" in capsys.readouterr().out
    assert sorted(worked(tmp_path)) == sorted(Path(name).name for name in NAMES)
    (source / "a.wav").write_text("another")
    (tmp_path / "out" / "b.flac").write_text("damaged")
    (tmp_path / "out" / "deep" / "A.WAV").unlink()
    (source / "new.wav").write_text("new")
    (source / "a.mp3").unlink()
    assert run(command) == 0
    assert worked(tmp_path)[5:] == ["a.wav", "b.flac", "A.WAV", "new.wav"]
    assert "4 sounds done, 1 already there, 0 failed" in capsys.readouterr().out
    assert batches.tree(tmp_path / "out")["a.wav"] == b"another"
    assert "a.mp3" in records(tmp_path)[1]  # what was made of it is still there


def test_what_failed_is_tried_again(command, source, tmp_path):
    (source / "bug.wav").write_text("x")
    assert run(command) == 1
    assert "KeyError" in records(tmp_path)[1]["bug.wav"]["error"]
    (source / "bug.wav").rename(source / "fine.wav")
    assert run(command) == 0 and worked(tmp_path)[5:] == ["fine.wav"]


def test_other_settings_are_refused_and_named(command, tmp_path, capsys):
    (tmp_path / "beside").write_text("one")
    assert run(command, "--beside", tmp_path / "beside") == 0
    first = batches.tree(tmp_path / "out")
    capsys.readouterr()
    same = ("--beside", tmp_path / "beside")
    assert "shout was False and is True" in refused(capsys, command, *same, "--shout")
    assert "seconds was 0.0 and is 0.5" in refused(capsys, command, *same, "--seconds", 0.5)
    (tmp_path / "beside").rename(tmp_path / "moved")  # what counts is what is in it
    assert run(command, "--beside", tmp_path / "moved") == 0
    capsys.readouterr()
    (tmp_path / "moved").write_text("two")
    assert "beside was" in refused(capsys, command, "--beside", tmp_path / "moved")
    (tmp_path / "bundle" / "bundle.json").write_text('{"model": "nothing", "sha256": {}, "n": 1}')
    (tmp_path / "moved").write_text("one")
    assert "another bundle" in refused(capsys, command, "--beside", tmp_path / "moved")
    assert batches.tree(tmp_path / "out") == first


# --- killed


def started(command, *more):
    arguments = [sys.executable, str(ROOT / "tests" / "batches.py"), *map(str, (*command, *more))]
    return subprocess.Popen(
        arguments, cwd=ROOT, env=SURROUNDINGS, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def until(happened, seconds=300):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(number):
    try:
        os.kill(number, 0)
        return True
    except ProcessLookupError:
        return False


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_batch_that_was_killed_goes_on_and_gives_the_same_tree(command, source, tmp_path):
    for i in range(12):
        (source / f"{i}.wav").write_text(f"number {i}")
    assert run([command[0], tmp_path / "whole", *command[2:4], "--log", tmp_path / "log"]) == 0
    whole, n_files = batches.tree(tmp_path / "whole"), len(worked(tmp_path))
    (tmp_path / "log").unlink()
    slowly = ("--processes", 2)
    for kill_after in (1, 6, 10):
        process = started(command, *slowly)
        until(lambda: len(worked(tmp_path)) >= kill_after or process.poll() is not None)  # noqa: B023
        process.kill()
        process.communicate()
        workers = {number for number, _ in log(tmp_path)}
        until(lambda: not any(map(alive, workers)))  # noqa: B023  nobody goes on behind the user's back
    assert run(command) == 0
    assert batches.tree(tmp_path / "out") == whole
    # Done, and killed before that could be noted: at most one file for each process and kill.
    assert n_files <= len(worked(tmp_path)) <= n_files + 3 * 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_notes_what_was_done(command, source, tmp_path, heard):
    for i in range(20):
        (source / f"{i}.wav").write_text(f"number {i}")
    process = started(command, "--processes", 2, "--seconds", 0.2)
    until(lambda: len(worked(tmp_path)) >= 3)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "stopped.\n" and process.returncode == 130
    _, found = records(tmp_path)
    # Two may have been noted in the log and not yet elsewhere.
    assert len(found) >= 1 and not (tmp_path / "out" / ".batch").exists()
    assert not list((tmp_path / "out").rglob(".unfinished-*"))
    assert set(batches.tree(tmp_path / "out")) >= {name for one in found.values() for name in one["outputs"]}
    n_before = len(worked(tmp_path))
    assert run(command, "--processes", 2, "--seconds", 0.2) == 0
    assert len(worked(tmp_path)) <= n_before + 25 - len(found)


def test_two_at_once_are_refused(command, tmp_path, capsys, heard):
    process = started(command, "--processes", 1, "--seconds", 5)
    until(lambda: (tmp_path / "out" / "batch.jsonl").exists())
    assert "another batch" in refused(capsys, command, "--seconds", 5)
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM


# --- hostile folders


def test_results_inside_the_folder_are_not_taken_for_sounds(command, source, tmp_path):
    command[1] = source / "out"
    assert run(command) == 0 and run(command) == 0
    assert len(worked(tmp_path)) == 5 and not (source / "out" / "out").exists()


def test_results_never_replace_sounds(command, source, tmp_path, capsys):
    for target in (source, tmp_path, source / "deep" / ".."):
        assert "could replace" in refused(capsys, [command[0], target, *command[2:]])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(source / "deep")
    assert "something else" in refused(capsys, command)
    (tmp_path / "out" / "deep").unlink()
    assert run(command) == 0
    for name in ("deep/A.WAV", "deep/down/c.ogg.wav"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / "deep" / "down").rmdir()
    (tmp_path / "out" / "deep").rmdir()
    (tmp_path / "out" / "deep").symlink_to(source / "deep")
    before = batches.tree(source)
    (source / "deep" / "down" / "c.ogg").write_text("new")
    assert run(command) == 1
    assert "leads out" in records(tmp_path)[1]["deep/down/c.ogg"]["error"]
    assert batches.tree(source) == before | {"deep/down/c.ogg": b"new"}


def test_links_that_loop_and_what_is_no_file(command, source, tmp_path, capsys):
    (source / "deep" / "up").symlink_to(source)
    (source / "loop.wav").symlink_to(source / "loop.wav")
    (source / "nowhere.wav").symlink_to(tmp_path / "absent")
    (source / "linked.wav").symlink_to(source / "a.wav")
    os.mkfifo(source / "pipe.wav")
    assert run(command) == 1
    _, found = records(tmp_path)
    assert {name for name, one in found.items() if "error" in one} == {"loop.wav", "nowhere.wav", "pipe.wav"}
    assert batches.tree(tmp_path / "out")["linked.wav"] == b"the sound a.wav"
    assert "links to directories (1)" in capsys.readouterr().err


def test_a_link_among_the_results_leads_nowhere(command, tmp_path, capsys):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".unfinished-mine").write_text("precious")
    assert run(command) == 0
    (out / "link").symlink_to(elsewhere)
    assert run(command) == 0
    assert (elsewhere / ".unfinished-mine").read_text() == "precious"
    (out / ".batch").symlink_to(elsewhere)
    assert ".batch is a link" in refused(capsys, command)
    assert [path.name for path in elsewhere.iterdir()] == [".unfinished-mine"]


def test_two_sounds_with_one_output(command, source, tmp_path):
    (source / "a.mp3.wav").write_text("the same name")
    assert run(command) == 1
    _, found = records(tmp_path)
    assert "rename one" in found["a.mp3.wav"]["error"]
    assert batches.tree(tmp_path / "out")["a.mp3.wav"] == b"the sound a.mp3"


def test_a_directory_that_cannot_be_read_is_a_line(command, source, tmp_path, monkeypatch):
    scan = os.scandir

    def refusing(path):
        if isinstance(path, str) and Path(path).name == "down":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert run(command) == 1
    _, found = records(tmp_path)
    assert "Permission denied" in found["deep/down"]["error"] and len(found) == 5


def test_names_of_any_kind(command, source, tmp_path, capsys):
    names = ["é 🎵.wav", "new\nline.wav", "x" * 240 + ".wav", os.fsdecode(b"\xff\xfe.wav")]
    for name in names:
        (source / name).write_text("x")
    (source / "bad\x1b[2J.wav").write_text("x")
    assert run(command) == 1
    assert "\x1b" not in capsys.readouterr().err
    assert set(names) <= set(batches.tree(tmp_path / "out"))
    assert run(command) == 1 and len(worked(tmp_path)) == 9


def test_what_cannot_begin_is_one_line(command, source, tmp_path, capsys):
    assert "not a directory" in refused(capsys, [source / "a.wav", *command[1:]])
    assert "at least 0" in refused(capsys, command, "--seconds", -1)
    assert "HOST:PORT" in refused(capsys, command, "--cluster", "nonsense")
    assert "no directory" in refused(capsys, [source, source / "a.wav", *command[2:]])
    (tmp_path / "bundle" / "x.onnx").write_text("x")
    (tmp_path / "bundle" / "bundle.json").write_text('{"model": "nothing", "sha256": {"x.onnx": "0"}}')
    assert "x.onnx is not the file" in refused(capsys, command)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line", ["[]", "{", '{"input": 3}', '{"input": [], "error": ""}', "7", "\x00", "[" * 99999]
)
def test_a_damaged_manifest_is_one_line(line, command, tmp_path, capsys):
    assert run(command) == 0
    capsys.readouterr()
    path = tmp_path / "out" / "batch.jsonl"
    path.write_text(path.read_text() + line + "\n")
    assert "damaged" in refused(capsys, command)
    path.write_text(line)
    assert "damaged" in refused(capsys, command)


# --- a cluster


def test_a_cluster_without_its_extra_is_one_line(command, capsys, monkeypatch):
    def missing(name):
        raise InputError(name)

    monkeypatch.setattr(cluster, "library", missing)
    assert "extra `cluster`" in refused(capsys, command, "--cluster", "tcp://127.0.0.1:8786")


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler on the loopback and two workers: its address, and the workers' processes."""
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    told = tmp_path / "scheduler.json"

    def start(module, *options):
        arguments = [sys.executable, "-m", f"distributed.cli.{module}", *options, "--no-dashboard"]
        return subprocess.Popen(
            arguments, cwd=ROOT, env=SURROUNDINGS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told))]
    try:
        until(lambda: told.exists() and told.read_text().endswith("}"))
        address = json.loads(told.read_text())["address"]
        worker = ("dask_worker", address, "--nthreads", "2", "--no-nanny", "--host", "127.0.0.1")
        processes += [start(*worker, "--local-directory", str(tmp_path / f"worker{i}")) for i in range(2)]
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_cluster_that_loses_a_worker_loses_and_doubles_nothing(
    scheduler, command, source, tmp_path, capsys
):
    address, workers = scheduler
    for i in range(20):
        (source / f"{i}.wav").write_text(f"number {i}")
    (source / "bad.wav").write_text("x")
    assert run([source, tmp_path / "whole", *command[2:]], "--seconds", 0.1) == 1
    whole, all_names = batches.tree(tmp_path / "whole"), sorted(worked(tmp_path))
    (tmp_path / "log").unlink()
    process = started(command, "--cluster", address, "--seconds", 0.1)
    until(lambda: {number for number, _ in log(tmp_path)} >= {one.pid for one in workers})
    workers[0].kill()
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 1 and errors.startswith("failed: bad.wav: ") and errors.count("\n") == 1
    assert batches.tree(tmp_path / "out") == whole
    # The worker that was killed had two files, one a thread, and may have noted that it had done them.
    assert sorted(set(worked(tmp_path))) == sorted(set(all_names))
    assert len(all_names) <= len(worked(tmp_path)) <= len(all_names) + 2
    (tmp_path / "log").unlink()
    assert run(command, "--cluster", address, "--seconds", 0.1) == 1 and worked(tmp_path) == []
