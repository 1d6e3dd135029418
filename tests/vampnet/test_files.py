"""Which files are VampNet's, and where they are found."""

from pathlib import Path

import pytest
from refusals import refused

from helpers.vampnet.files import NAMES, course_checkpoints, find


def files_in(directory: Path, names=NAMES) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / f"{name}.pth").touch()
    return directory


@pytest.mark.parametrize("below", ["", "vampnet", "record/vampnet"])
def test_found_where_an_archive_puts_them(tmp_path, below):
    directory = files_in(tmp_path / below)
    assert find(tmp_path) == {name: directory / f"{name}.pth" for name in NAMES}


def test_the_nearest_complete_set_is_found(tmp_path):
    files_in(tmp_path, ["codec"])
    directory = files_in(tmp_path / "b")
    files_in(tmp_path / "a" / "deeper")
    assert find(tmp_path)["coarse"] == directory / "coarse.pth"


def test_missing_files_are_named(tmp_path):
    with refused("codec.pth, coarse.pth and c2f.pth"):
        find(tmp_path)
    files_in(tmp_path, ["codec", "c2f"])
    with refused("lacks coarse.pth"):
        find(tmp_path)
    for wrong in (tmp_path / "missing", tmp_path / "codec.pth"):
        with refused(str(wrong)):
            find(wrong)


def test_the_course_has_checkpoints():
    assert len(find(course_checkpoints())) == 3
