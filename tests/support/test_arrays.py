"""Arrays in a stranger's file: what is none, what claims too much and what would run code is one line."""

import io
import os
import zipfile

import numpy as np
import pytest
from refusals import refused

from helpers.support.arrays import load_array, load_arrays

MOST = 10_000  # bytes


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def npy(header="", body=b"", array=None):
    """A .npy file with any header, or of an array."""
    if array is not None:
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()
    header = header.encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def claims(shape, descr="'<i8'"):
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n", bytes(64))


GOOD = npy(array=np.arange(6))
HOSTILE = {
    "empty": b"", "text": b"1 2 3\n", "zeros": bytes(64), "no header": GOOD[:8], "cut short": GOOD[:-8],
    "future": b"\x93NUMPY\x09\x00", "gigantic": claims((14, 99_999_999_999)), "negative": claims((-3,)),
    "beyond any integer": claims((10**40,)), "strings": claims("('a',)"), "pickle": claims((1,), "'|O'"),
    "unknown type": claims((1,), "'zebra'"), "deep": npy("(" * 10_000), "no dict": npy("5"),
    "code": npy("__import__('os').abort()"),
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_content_is_one_line(tmp_path, content):
    path = tmp_path / "mask.npy"
    path.write_bytes(content)
    with refused(str(path)):
        load_array(path, MOST)
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("good.npy", GOOD)
        archive.writestr("bad.npy", content)
    with refused(str(tmp_path / "some.npz")):
        load_array(tmp_path / "some.npz", MOST)
    with refused(str(tmp_path / "some.npz")):
        load_arrays(tmp_path / "some.npz", ["good", "bad"], MOST)


@pytest.mark.parametrize("load", [load_array, lambda path, most: load_arrays(path, ["a"], most)])
def test_a_pickle_is_never_opened(tmp_path, load):
    trap = np.array([Trap(tmp_path / "sprung")], object)
    np.save(tmp_path / "one.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "more.npz", a=trap, allow_pickle=True)
    for name in ("one.npy", "more.npz"):
        with refused(name):
            load(tmp_path / name, MOST)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("load", [load_array, lambda path, most: load_arrays(path, ["a"], most)])
def test_what_is_no_file_is_not_waited_for(tmp_path, load):
    places = [tmp_path, tmp_path / "absent"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "endless").symlink_to("/dev/zero")
        places += [tmp_path / "pipe", tmp_path / "endless"]
    for path in places:
        with refused(str(path)):
            load(path, MOST)


def test_no_more_is_read_than_such_a_file_should_hold(tmp_path):
    np.save(tmp_path / "long.npy", np.zeros(MOST))
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(MOST))
    assert (tmp_path / "bomb.npz").stat().st_size < MOST
    with refused("too large"):
        load_array(tmp_path / "long.npy", MOST)
    with refused("too large"):
        load_arrays(tmp_path / "bomb.npz", ["a"], MOST)


def test_arrays_come_back_as_saved_and_one_that_is_missing_is_told(tmp_path):
    one, more = tmp_path / "one.npy", tmp_path / "more.npz"
    np.save(one, np.arange(6))
    np.savez(more, a=np.arange(3), b=np.ones((2, 2)))
    np.testing.assert_array_equal(load_array(one, MOST), np.arange(6))
    b, a = load_arrays(more, ["b", "a"], MOST)
    assert b.shape == (2, 2) and a.tolist() == [0, 1, 2]
    for call in (
        lambda: load_arrays(more, ["a", "c"], MOST),
        lambda: load_arrays(one, ["a"], MOST),
        lambda: load_array(more, MOST),
    ):
        with refused(".np"):
            call()
