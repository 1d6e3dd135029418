"""How a command ends, whatever happens: one line, the right status, nothing half-written."""

import argparse
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from helpers.support import commands
from helpers.support.commands import Parser, number, whole
from helpers.support.errors import InputError, Notice
from helpers.support.files import ROOT

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


def ends(run, *argv):
    """The exit status of a command that does this."""
    parser = Parser(prog="a command")
    parser.add_argument("--n", type=whole(1, 9))
    parser.set_defaults(run=run)
    return commands.main(parser, argv)


def raises(error):
    def run(arguments):
        raise error

    return run


@pytest.mark.parametrize(
    "error, status, says",
    [
        (InputError("no such\n\x1b[2Jfile."), 2, "error: no such\\n\\x1b[2Jfile.\n"),
        (MemoryError(), 2, "error: not enough memory"),
        (RuntimeError("std::bad_alloc"), 2, "error: not enough memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            2,
            "error: not enough",
        ),
        (ModuleNotFoundError("No module named 'zebra'", name="zebra"), 2, "error: zebra is needed"),
        (OSError(28, "No space left on device"), 2, "error: cannot write the output: No space"),
        (
            PermissionError(13, "Permission denied", "some\nfile"),
            2,
            "error: cannot use some\\nfile: Permission",
        ),
        (KeyboardInterrupt(), 130, "stopped."),
    ],
)
def test_what_a_user_can_mend_is_one_line(capsys, error, status, says):
    assert ends(raises(error)) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(says) and err.count("\n") == 1 and err[:-1].isprintable()


def test_our_own_mistakes_are_not_hidden():
    with pytest.raises(RuntimeError, match="shape"):
        ends(raises(RuntimeError("shape mismatch")))


def test_a_command_says_its_own_status_and_notices_reach_the_user(capsys):
    def run(arguments):
        warnings.warn("what a library says to programmers", UserWarning, stacklevel=1)
        warnings.warn("it is done\nanother way", Notice, stacklevel=1)
        return 1

    assert ends(run) == 1 and ends(lambda arguments: None) == 0
    assert capsys.readouterr().err == "note: it is done\\nanother way\n"


@pytest.mark.parametrize("argv", [["--n"], ["--n", "0"], ["--n", "x\x1b[2J\n"], ["--zebra"], ["more"]])
def test_a_wrong_command_line_is_one_line(capsys, argv):
    assert ends(raises(AssertionError), *argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and err[:-1].isprintable()


@pytest.mark.parametrize("good, value", [("1", 1), (" 9 ", 9), ("+3", 3), ("0_7", 7)])
def test_a_whole_number_in_its_range_is_taken(good, value):
    assert whole(1, 9)(good) == value and isinstance(whole(1, 9)(good), int)


@pytest.mark.parametrize(
    "text", ["", "0", "10", "-1", "1.5", "1e0", "nan", "inf", "x", "9" * 5000, "\x1b[2J", "１０"]
)
def test_any_other_is_not(text):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        whole(1, 9)(text)
    assert "from 1 to 9" in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "-inf", "1e999", "1e39", "-1e-300", "2.1", "two", ""])
def test_a_number_is_never_infinite_nor_outside(text):
    assert number(0, 2)("1.5") == 1.5 and number(0, 2)("2") == 2 and number(0, 2)("1e-300") == 1e-300
    with pytest.raises(argparse.ArgumentTypeError, match="a number from 0 to 2"):
        number(0, 2)(text)


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_streams_that_are_closed_change_nothing(monkeypatch, closed):
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    done = []

    def run(arguments):
        print("to whom?")
        print("to whom?", file=sys.stderr)
        done.append(True)

    assert ends(run) == 0 and done
    assert ends(raises(InputError("no."))) == 2
    for name in closed:
        getattr(sys, name).close()


class Full:
    """A stream on a disk without room."""

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        self.write("")


def test_an_error_stream_without_room_stops_no_work(monkeypatch):
    full = Full()
    monkeypatch.setattr(sys, "stderr", full)
    assert ends(lambda arguments: print("progress", file=sys.stderr, flush=True)) == 0
    assert ends(raises(InputError("no."))) == 2
    assert sys.stderr is full


SLOW = """
import os, sys, time
from helpers.support import commands
from helpers.support.files import written_whole

def run(arguments):
    with written_whole(sys.argv[1] + "/out") as temporary:
        temporary.write_text("half")
        try:
            print("ready", flush=True)
            time.sleep(600)
        finally:
            while not os.path.exists(sys.argv[2]):  # the second signal comes while the first is answered
                time.sleep(0.01)

parser = commands.Parser()
parser.set_defaults(run=run)
commands.leave(commands.main(parser, []))
"""


def started(script, *arguments, **options):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@posix
@pytest.mark.parametrize(
    "numbers, status", [(["SIGTERM"] * 2, 143), (["SIGHUP", "SIGTERM"], 129), (["SIGINT"], 130)]
)
def test_who_is_told_twice_to_end_still_tidies_up(tmp_path, heard, numbers, status):
    (home := tmp_path / "home").mkdir()
    with started(SLOW, home, tmp_path / "told") as process:
        assert process.stdout.readline() == "ready\n"
        for name in numbers:
            process.send_signal(getattr(signal, name))
            time.sleep(0.5)  # else the system may deliver two of them in any order
        (tmp_path / "told").touch()
        _, said = process.communicate(timeout=300)
    assert process.returncode == status and "Traceback" not in said and not list(home.iterdir())


@posix
def test_signals_are_left_as_they_were_found(heard):
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        seen = []
        ends(lambda arguments: seen.extend(map(signal.getsignal, before)))
        assert seen[0] == signal.SIG_IGN and seen[1] != signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


TALKATIVE = """
from helpers.support import commands

parser = commands.Parser()
parser.set_defaults(run=lambda arguments: print("line\\n" * 100_000))
commands.leave(commands.main(parser, []))
"""


@posix
def test_a_reader_who_has_heard_enough_is_no_error():
    with started(TALKATIVE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(300) == commands.BROKEN_PIPE and process.stderr.read() == ""
