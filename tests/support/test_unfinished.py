"""What a killed writer left is removed by the next one; whatever is in doubt stays."""

import os
import signal
import subprocess
import sys

import pytest

from helpers.support import unfinished
from helpers.support.files import ROOT, written_whole

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks and signals of POSIX")
KILLED = """
import os, sys
from pathlib import Path
from helpers.support import unfinished
with getattr(unfinished, sys.argv[1])(Path(sys.argv[2])) as path:
    (path / "half" if path.is_dir() else path).write_text("half-written")
    os.kill(os.getpid(), 9)
"""
KINDS = pytest.mark.parametrize("kind", ["file", "directory"])


def aged(path):
    """As if it had been made an hour ago."""
    os.utime(path, (path.lstat().st_mtime - 3600,) * 2, follow_symlinks=False)
    return path


@KINDS
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path, kind):
    command = [sys.executable, "-c", KILLED, kind, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with written_whole(tmp_path / "one") as temporary:  # too young to tell from one that is being locked
        temporary.write_text("new")
    assert left.exists()
    aged(left)
    with written_whole(tmp_path / "one") as temporary:
        temporary.write_text("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@KINDS
@pytest.mark.parametrize("next_kind", ["file", "directory"])
def test_what_is_being_written_is_not_removed(tmp_path, kind, next_kind):
    with getattr(unfinished, kind)(tmp_path) as path:
        aged(path)
        with getattr(unfinished, next_kind)(tmp_path) as other:
            assert path.exists() and other != path
        assert list(tmp_path.iterdir()) == [path]
    assert not list(tmp_path.iterdir())


def test_what_is_not_ours_stays(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("mine")
    (tmp_path / f"{unfinished.PREFIX}link").symlink_to(target)
    os.mkfifo(tmp_path / f"{unfinished.PREFIX}pipe")
    for name in ("unfinished-notes", ".unfinished", ".unfinishedsymphony"):
        (tmp_path / name).write_text("mine")
    before = sorted(map(aged, tmp_path.iterdir()))
    unfinished.remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == before and (target / "precious").exists()
    theirs = tmp_path / f"{unfinished.PREFIX}theirs"
    theirs.write_text("half")
    aged(theirs)
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
    unfinished.remove_abandoned(tmp_path)
    assert theirs.exists()
    monkeypatch.undo()
    unfinished.remove_abandoned(tmp_path)
    assert not theirs.exists()


@KINDS
def test_nothing_stays_after_an_error_nor_at_a_success(tmp_path, kind):
    with pytest.raises(KeyboardInterrupt), getattr(unfinished, kind)(tmp_path):
        raise KeyboardInterrupt
    with getattr(unfinished, kind)(tmp_path) as path:
        path.rename(tmp_path / "done")
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
