"""Writing files: what is there is respected, and nothing is lost or half-written."""

import gc
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from helpers.support.errors import InputError, plain
from helpers.support.files import check_name, check_outputs, parse_json, read_json, write_text, written_whole

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and permissions of POSIX")


def write(path, text="new"):
    with written_whole(path) as temporary:
        temporary.write_text(text)


@posix
def test_a_pipe_and_a_device_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with refused(str(path), "a device or a pipe"):
            write(path)
        with refused(str(path)):
            check_outputs([path])
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
def test_a_link_is_followed_and_permissions_stay(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write(link)
    assert link.is_symlink() and real.read_text() == "new" and stat.S_IMODE(real.stat().st_mode) == 0o640
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "later")
    write(dangling)
    assert dangling.is_symlink() and (tmp_path / "later").read_text() == "new"


@pytest.mark.parametrize("length", [200, 250, 255])
def test_any_name_that_the_disk_takes_can_be_written(tmp_path, length):
    name = "n" * (length - 4) + ".wav"
    check_outputs([tmp_path / name])
    write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path):
    with refused("cannot write"):
        check_outputs([tmp_path / ("n" * 300)])
    with refused("cannot write"):
        write(tmp_path / ("n" * 300))
    assert not list(tmp_path.iterdir())


def test_one_file_under_two_names_is_told(tmp_path):
    (tmp_path / "in.wav").write_text("sound")
    os.link(tmp_path / "in.wav", tmp_path / "same.wav")
    (tmp_path / "sub").mkdir()
    with refused("the same file"):
        check_outputs([tmp_path / "out", tmp_path / "sub" / ".." / "out"])
    with refused("the same file"):
        check_outputs([tmp_path / "same.wav"], [tmp_path / "in.wav"])
    with refused("a directory"):
        check_outputs([tmp_path / "sub"])
    check_outputs([tmp_path / "a", None, tmp_path / "b"], [tmp_path / "in.wav", None])


def test_nothing_stays_after_an_error(tmp_path):
    (tmp_path / "kept").write_text("old")
    for path in (tmp_path / "kept", tmp_path / "not" / "yet"):
        with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept").read_text() == "old"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "", "\x00", "{'a': 1}", "NaN}"]
)
def test_absurd_json_is_one_line(tmp_path, text):
    path = tmp_path / "bundle.json"
    path.write_text(text)
    with refused(str(path), "not JSON"):
        read_json(path)
    with pytest.raises(ValueError):
        parse_json(text)


def test_nothing_is_freed_at_the_bottom_of_a_deep_text():
    """What frees it would fail there for want of depth, and only be heard of as a warning."""
    failed = []

    def descend(depth=20):
        return depth and descend(depth - 1)

    def free(phase, _):
        try:
            descend()
        except RecursionError:
            failed.append(phase)

    usual = gc.get_threshold()
    gc.callbacks.append(free)
    try:
        gc.set_threshold(10)
        with pytest.raises(ValueError):
            parse_json("[" * 100_000)
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*usual)
    assert gc.isenabled() and not failed


def test_what_is_no_file_is_not_read(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with refused(str(path)):
            read_json(path)


@given(st.text())
def test_a_strangers_text_cannot_move_a_cursor(text):
    assert plain(text).isprintable() or plain(text) == ""
    message = str(InputError(f"the file says {text}."))
    assert "\n" not in message and "\x1b" not in message


@pytest.mark.parametrize(
    "name", ["codec.pth", "model.safetensors", "coarse.onnx", "c2f.onnx.data", "bundle.json"]
)
def test_a_models_file_is_not_overwritten_by_an_output(tmp_path, name):
    check_outputs([tmp_path / name])  # one that is new is nobody's
    (tmp_path / name).write_text("weights")
    (tmp_path / "link.wav").symlink_to(name)
    for path in (tmp_path / name, tmp_path / "link.wav"):
        with refused(str(path), "a model's"):
            check_outputs([path])


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_what_is_read_only_is_told_before_the_work(tmp_path):
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "kept").chmod(0o444)
    (tmp_path / "closed").mkdir(mode=0o555)
    for path in (tmp_path / "kept", tmp_path / "closed" / "new", tmp_path / "closed" / "below" / "new"):
        with refused(str(path)):
            check_outputs([path])


def test_a_file_can_not_be_the_directory_of_another(tmp_path):
    outputs = [tmp_path / "out", tmp_path / "out" / "below" / "tokens"]
    for pair in (outputs, outputs[::-1]):
        with refused("a file and its directory"):
            check_outputs(pair)
    (tmp_path / "out").write_text("mine")
    with refused("cannot write"):
        check_outputs(outputs[1:])


def test_trying_an_output_leaves_no_trace(tmp_path):
    (tmp_path / "kept").write_text("old")
    check_outputs([tmp_path / "kept", tmp_path / "new", tmp_path / "far" / "away"])
    assert [path.name for path in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept").read_text() == "old"


@posix
def test_names_that_are_no_text_are_told(tmp_path):
    check_name(tmp_path / "söng")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pth"))
    with refused("not UTF-8"):
        check_name(path)
    write_text(tmp_path / "report", f"about {path}")
    assert (tmp_path / "report").read_text(encoding="utf-8").endswith("\\udcff.pth")
