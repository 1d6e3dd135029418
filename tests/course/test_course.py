"""Decisions of course.py, with stand-ins for computers, networks and pip: nothing is installed."""

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import pytest

import course

SOURCE = Path(course.__file__).read_text(encoding="utf-8")


@pytest.fixture
def computer(monkeypatch):
    """Pretend to be another computer: computer("Darwin", "arm64", version="14.1")."""

    def become(system, machine, version="", libc="glibc", build=None):
        monkeypatch.setattr(course.platform, "system", lambda: system)
        monkeypatch.setattr(course.platform, "machine", lambda: machine)
        monkeypatch.setattr(course.platform, "libc_ver", lambda: (libc, version or "2.36"))
        monkeypatch.setattr(course.platform, "mac_ver", lambda: (version, ("", "", ""), machine))
        monkeypatch.setattr(course.sysconfig, "get_platform", lambda: build or f"{system}-{machine}".lower())

    monkeypatch.setattr(course.platform, "python_implementation", lambda: "CPython")
    monkeypatch.setattr(course.sysconfig, "get_config_var", lambda name: None)
    return become


@pytest.fixture
def directory(tmp_path, monkeypatch, computer):
    """A course directory of its own, on a Linux laptop without a card, in which installing is only noted.

    `directory.done` lists what was done: "venv" and the pip command lines, `directory.pip` is what pip
    answers with (exit status, stderr).
    """
    computer("Linux", "x86_64")
    here = SimpleNamespace(root=tmp_path / "course", done=[], pip=(0, ""))
    here.root.mkdir()
    place(monkeypatch, here.root)
    course.LOCK.write_text("torch==2.13.0\n", encoding="utf-8")
    monkeypatch.delenv(course.INDEX_VARIABLE, raising=False)
    monkeypatch.setattr(course, "has_nvidia", lambda: False)
    monkeypatch.setattr(course, "answers", lambda address: True)
    monkeypatch.setattr(course, "starts", lambda python: True)

    def make_venv():
        shutil.rmtree(course.VENV, ignore_errors=True)
        course.VENV.mkdir()
        here.done.append("venv")

    def pip(command, **options):
        here.done.append(command)
        status, said = here.pip
        program = f"import sys; sys.stderr.write({said!r}); sys.exit({status})"
        return running([sys.executable, "-c", program], **options)

    running = course.running
    monkeypatch.setattr(course, "make_venv", make_venv)
    monkeypatch.setattr(course, "running", pip)
    return here


def place(monkeypatch, root):
    """Let course.py believe that it lies in `root`."""
    monkeypatch.setattr(course, "ROOT", root)
    monkeypatch.setattr(course, "VENV", root / ".venv")
    monkeypatch.setattr(course, "STAMP", root / ".venv" / "course.json")
    monkeypatch.setattr(course, "LOCK", root / "requirements.lock")


def refusal(capsys, *arguments):
    """Run course.py, expect exit status 2, return what it said on stderr."""
    assert course.main(list(arguments)) == 2
    return capsys.readouterr().err


# --- The file itself ----------------------------------------------------------------------------------


def test_an_old_python_can_parse_it():
    ast.parse(SOURCE, feature_version=(3, 6))


def test_it_imports_the_standard_library_only():
    tree = ast.walk(ast.parse(SOURCE))
    names = {a.name for n in tree if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "arguments", [["scores"], ["nonsense"], ["reset", "--nonsense"], ["pack", "x", "--python", "2"]]
)
def test_a_mistyped_command_is_one_line(arguments, capsys):
    assert course.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--help" in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_a_full_output_is_not_taken_for_a_full_disk(tmp_path):
    shutil.copy(course.ROOT / course.START, tmp_path)
    command = [sys.executable, str(course.ROOT / "course.py"), "scores", str(tmp_path)]
    with open("/dev/full", "w") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 2 and "output could not be written" in ran.stderr


# --- Computers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13), (3, 14, 0), (2, 7, 18)])
def test_other_pythons_are_refused(version):
    with pytest.raises(course.SetupError, match=rf"Python {version[0]}\.{version[1]}; .* 3.11, 3.12 or 3.13"):
        course.check_python(version)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 5)])
def test_three_pythons_are_accepted(version):
    course.check_python(version)


@pytest.mark.parametrize(
    ("system", "machine", "version", "build"),
    [
        ("Linux", "x86_64", "2.28", None),
        ("Linux", "aarch64", "2.36", None),
        ("Darwin", "arm64", "14.0", None),
        ("Darwin", "arm64", "14", None),
        ("Darwin", "arm64", "26.1", None),
        ("Windows", "AMD64", "", "win-amd64"),
        ("Windows", "ARM64", "", "win-amd64"),  # an ordinary Python, emulated
    ],
)
def test_platforms_with_wheels_are_accepted(computer, system, machine, version, build):
    computer(system, machine, version, build=build)
    course.check_platform()


@pytest.mark.parametrize(
    ("system", "machine", "version", "libc", "build", "message"),
    [
        ("Darwin", "x86_64", "14.1", "", None, "Intel Macs"),
        ("Darwin", "arm64", "13.6", "", None, "macOS 13.6; the packages need 14 or newer"),
        ("Linux", "x86_64", "2.27", "glibc", None, "glibc 2.27; the packages need 2.28 or newer"),
        ("Linux", "x86_64", "", "", None, "another C library"),
        ("Linux", "riscv64", "2.36", "glibc", None, "no packages for Linux on riscv64"),
        ("Windows", "ARM64", "", "", "win-arm64", "no packages for Windows on arm64"),
        ("FreeBSD", "amd64", "", "", None, "no packages for FreeBSD on amd64"),
    ],
)
def test_platforms_without_wheels_are_named(computer, system, machine, version, libc, build, message):
    computer(system, machine, version, libc, build)
    with pytest.raises(course.SetupError, match=re.escape(message)):
        course.check_platform()


def test_32_bits_are_refused(computer, monkeypatch):
    computer("Linux", "x86_64")
    monkeypatch.setattr(course.sys, "maxsize", 2**31 - 1)
    with pytest.raises(course.SetupError, match="32-bit"):
        course.check_platform()


def test_an_unsupported_platform_is_one_line_and_status_2(computer, capsys):
    computer("Darwin", "x86_64", "14.1")
    assert refusal(capsys, "setup").count("\n") == 1


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(monkeypatch, module):
    monkeypatch.setattr(course.importlib.util, "find_spec", lambda name: None if name == module else name)
    with pytest.raises(course.SetupError, match=rf"lacks its module {module}: .*-venv"):
        course.check_venv_module()


# --- Which PyTorch ------------------------------------------------------------------------------------


def test_linux_without_a_card_takes_the_cpu_builds(directory):
    assert course.torch_index("Linux", wants_cuda=False) == course.CPU_INDEX


def test_an_nvidia_card_gets_what_pip_finds(directory, monkeypatch):
    assert course.torch_index("Linux", wants_cuda=True) is None
    monkeypatch.setattr(course, "has_nvidia", lambda: True)
    course.main(["setup"])
    assert "--extra-index-url" not in directory.done[-1]


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_other_systems_get_what_pip_finds(directory, system):
    assert course.torch_index(system, wants_cuda=False) is None


def test_an_unreachable_index_is_said_and_left_out(directory, monkeypatch, capsys):
    monkeypatch.setattr(course, "answers", lambda address: False)
    assert course.torch_index("Linux", wants_cuda=False) is None
    assert capsys.readouterr().out.count(f"{course.CPU_INDEX} cannot be reached") == 1


@pytest.mark.parametrize("nvidia", [True, False])
@pytest.mark.parametrize(
    ("value", "index"),
    [("https://example.org/cu/", "https://example.org/cu"), ("file:///wheels", "file:///wheels"), ("", None)],
)
def test_the_variable_overrides_the_index(directory, monkeypatch, nvidia, value, index):
    monkeypatch.setenv(course.INDEX_VARIABLE, value)
    assert course.torch_index("Linux", wants_cuda=nvidia) == index


@pytest.mark.parametrize(("status", "found"), [(0, True), (9, False)])
def test_a_card_is_there_when_nvidia_smi_says_so(monkeypatch, status, found):
    monkeypatch.setattr(course.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(course.subprocess, "call", lambda command, **options: status)
    assert course.has_nvidia() is found


def test_no_card_without_nvidia_smi_or_when_it_hangs(monkeypatch):
    def hang(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(course.subprocess, "call", hang)
    monkeypatch.setattr(course.shutil, "which", lambda name: None)
    assert not course.has_nvidia()
    monkeypatch.setattr(course.shutil, "which", lambda name: f"/bin/{name}")
    assert not course.has_nvidia()


@pytest.mark.parametrize("error", [urllib.error.URLError("no route"), TimeoutError(), ConnectionResetError()])
def test_an_address_that_cannot_be_opened_does_not_answer(monkeypatch, error):
    def refuse(address, timeout):
        raise error

    monkeypatch.setattr(course.urllib.request, "urlopen", refuse)
    assert not course.answers("https://example.org/torch/")


# --- Making the environment once ----------------------------------------------------------------------


def test_the_first_run_installs_the_lock_with_the_cpu_index(directory):
    assert course.main(["setup"]) == 0
    made, command = directory.done
    assert made == "venv"
    assert command[1:4] == ["-m", "pip", "install"]
    assert command[command.index("-r") + 1] == str(course.LOCK)
    assert command[command.index("--extra-index-url") + 1] == course.CPU_INDEX
    assert "--index-url" not in command  # the user's own index stays the main one


def test_the_second_run_does_nothing(directory, capsys):
    course.main(["setup"])
    directory.done.clear()
    capsys.readouterr()
    assert course.main(["setup"]) == 0
    assert directory.done == []
    assert capsys.readouterr().out == ""


def test_a_failed_installation_leaves_no_stamp_and_is_made_again(directory, capsys):
    directory.pip = 1, "ERROR: something"
    assert course.main(["setup"]) == 2
    assert not course.STAMP.exists()
    directory.pip = 0, ""
    directory.done.clear()
    assert course.main(["setup"]) == 0
    assert directory.done[0] == "venv"
    assert "its set-up did not finish" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_stamp_is_a_half_made_environment(directory, content):
    course.main(["setup"])
    course.STAMP.write_text(content, encoding="utf-8")
    assert course.what_to_do(course.wanted_stamp()) == ("make", "its set-up did not finish")


def test_a_file_in_place_of_the_environment_is_half_made(directory):
    course.VENV.write_text("not a directory", encoding="utf-8")
    assert course.what_to_do(course.wanted_stamp())[0] == "make"


def test_a_moved_directory_is_made_again(directory, monkeypatch):
    course.main(["setup"])
    old = directory.root
    place(monkeypatch, old.rename(old.with_name("elsewhere")))
    assert course.what_to_do(course.wanted_stamp()) == ("make", f"it was made for {old}")


def test_another_python_makes_it_again(directory, monkeypatch):
    course.main(["setup"])
    monkeypatch.setattr(course, "this_python", lambda: "3.99")
    action, reason = course.what_to_do(course.wanted_stamp())
    assert action == "make"
    assert reason.endswith("made it, and this is 3.99")


def test_a_broken_interpreter_makes_it_again(directory, monkeypatch):
    course.main(["setup"])
    monkeypatch.setattr(course, "starts", lambda python: False)
    assert course.what_to_do(course.wanted_stamp()) == ("make", "its Python does not start")


def test_an_interpreter_that_is_missing_or_damaged_does_not_start(tmp_path):
    assert not course.starts(tmp_path / "python")
    (tmp_path / "python").write_bytes(b"")
    assert not course.starts(tmp_path / "python")
    assert course.starts(sys.executable)


def test_a_new_lock_is_installed_into_the_same_environment(directory):
    course.main(["setup"])
    directory.done.clear()
    course.LOCK.write_text("torch==2.13.1\n", encoding="utf-8")
    assert course.main(["setup"]) == 0
    assert len(directory.done) == 1 and "install" in directory.done[0]
    assert course.what_to_do(course.wanted_stamp())[0] == "nothing"


def test_another_index_makes_it_again_but_a_forgotten_one_does_not(directory, monkeypatch):
    monkeypatch.setenv(course.INDEX_VARIABLE, "file:///one")
    course.main(["setup"])
    monkeypatch.setenv(course.INDEX_VARIABLE, "file:///two")
    assert course.what_to_do(course.wanted_stamp())[0] == "make"
    monkeypatch.delenv(course.INDEX_VARIABLE)
    assert course.what_to_do(course.wanted_stamp())[0] == "nothing"


def test_the_running_environment_is_not_pulled_from_under_itself(tmp_path, monkeypatch):
    place(monkeypatch, tmp_path)
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(course.sys, "prefix", str(tmp_path / ".venv"))
    with pytest.raises(course.SetupError, match="deactivate"):
        course.make_venv()
    assert course.VENV.is_dir()


def test_an_interruption_while_it_is_made_anew_leaves_no_stamp(tmp_path, monkeypatch):
    place(monkeypatch, tmp_path)
    course.VENV.mkdir()
    course.STAMP.write_text(json.dumps({}), encoding="utf-8")

    def interrupt(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr("venv.EnvBuilder", interrupt)
    with pytest.raises(KeyboardInterrupt):
        course.make_venv()
    assert not course.STAMP.exists()


@pytest.mark.parametrize("before", ["nothing", "directory", "file", "broken link"])
def test_the_course_is_importable_in_a_new_environment(tmp_path, monkeypatch, before):
    place(monkeypatch, tmp_path)
    if before == "directory":
        course.VENV.mkdir()
        course.STAMP.write_text(json.dumps({}), encoding="utf-8")
    elif before == "file":
        course.VENV.write_text("", encoding="utf-8")
    elif before == "broken link":
        course.VENV.symlink_to(tmp_path / "nowhere")
    (tmp_path / "some_course_module.py").write_text("WORKS = True\n", encoding="utf-8")
    import venv

    builder = venv.EnvBuilder
    monkeypatch.setattr(venv, "EnvBuilder", lambda **options: builder(**{**options, "with_pip": False}))
    course.make_venv()
    assert not course.STAMP.exists()
    statement = "import some_course_module; assert some_course_module.WORKS"
    subprocess.run([course.venv_python(), "-c", statement], cwd="/", check=True)


# --- What went wrong ----------------------------------------------------------------------------------

RETRY = (
    "WARNING: Retrying (Retry(total={}, connect=None, read=None, redirect=None, status=None)) after "
    "connection broken by 'NewConnectionError(...: Failed to establish a new connection: [Errno -2] Name or "
    "service not known')': /simple/anyio/\n"
)
NOTHING_FOUND = (
    "ERROR: Could not find a version that satisfies the requirement anyio==4.16.0 (from versions: {})\n"
    "ERROR: No matching distribution found for anyio==4.16.0\n"
)
NETWORK = "The package index cannot be reached"
OTHER = "pip failed"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (RETRY.format(4) + RETRY.format(0) + NOTHING_FOUND.format("none"), NETWORK),
        ("ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.", NETWORK),
        ("ERROR: ... Max retries exceeded with url: /x (Caused by ProxyError('Cannot connect'))", NETWORK),
        ("Failed to resolve 'x' ([Errno 11001] getaddrinfo failed)", NETWORK),
        (NOTHING_FOUND.format("none"), OTHER),  # no such package
        (NOTHING_FOUND.format("4.1, 4.2"), OTHER),  # no such version
        (RETRY.format(4) + NOTHING_FOUND.format("none"), OTHER),  # the network stumbled, and recovered
        (RETRY.format(0) + NOTHING_FOUND.format("4.1, 4.2"), OTHER),  # one of two indexes is down
        ("Caused by SSLError(... [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "certificate"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left", "disk is full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "disk is full"),
        ("ERROR: ... [Errno 13] Permission denied: '/x/.venv/lib'", "cannot be written"),
        ("ERROR: ... [Errno 30] Read-only file system", "cannot be written"),
        ("ERROR: ResolutionImpossible", OTHER),
    ],
)
def test_failures_of_pip_are_told_apart(directory, capsys, said, message):
    directory.pip = 1, said
    printed = refusal(capsys, "setup")
    assert message in printed.splitlines()[-1]
    if message != OTHER:
        assert printed.count("\n") == 1


def test_other_failures_show_what_pip_said_last(directory, capsys):
    directory.pip = 1, "".join(f"line {number}\n" for number in range(100)) + "ERROR: the reason\n"
    lines = refusal(capsys, "setup").splitlines()
    assert lines[-2] == "ERROR: the reason"
    assert len(lines) < 10


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written"), (errno.EACCES, "cannot be written")],
)
def test_errors_of_the_disk_are_one_line(directory, monkeypatch, capsys, number, message):
    def fail():
        raise OSError(number, "as the system says")

    monkeypatch.setattr(course, "make_venv", fail)
    printed = refusal(capsys, "setup")
    assert message in printed and printed.count("\n") == 1


def test_an_interruption_is_130_and_a_line(directory, monkeypatch, capsys):
    def interrupt(wheels):
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "install", interrupt)
    assert course.main(["setup"]) == 130
    assert capsys.readouterr().err.strip() == "Stopped. Run it again to go on."
    assert not course.STAMP.exists()


# --- Commands -----------------------------------------------------------------------------------------


def test_test_hands_its_arguments_and_the_exit_status_over(directory):
    course.main(["setup"])
    directory.pip = 5, ""
    assert course.main(["test", "-x", "tests/test_a.py", "-k", "one or two", "--lf"]) == 5
    expected = ["-m", "pytest", *course.IN_PARALLEL, "-x", "tests/test_a.py", "-k", "one or two", "--lf"]
    assert directory.done[-1][1:] == expected


@pytest.mark.parametrize("arguments", [[], ["--no-browser"], ["--port=9"]])
def test_without_a_command_the_first_notebook_opens(directory, arguments):
    notebook = directory.root / course.START
    notebook.parent.mkdir()
    notebook.write_text("{}", encoding="utf-8")
    assert course.main(arguments) == 0
    command = directory.done[-1]
    assert command[1:3] == ["-m", "jupyterlab"]
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    assert ("--no-browser" in command) is ("--no-browser" in arguments)
    assert command[-len(arguments) :] == arguments or not arguments


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there is no root here")
@pytest.mark.parametrize("user", [0, 1000])
def test_root_may_open_it_too(directory, monkeypatch, user):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    notebook = directory.root / course.START
    notebook.parent.mkdir()
    notebook.write_text("{}", encoding="utf-8")
    assert course.main([]) == 0
    assert ("--allow-root" in directory.done[-1]) is (user == 0)


def test_a_missing_first_notebook_is_said_before_anything_is_installed(directory, capsys):
    assert "00_start_here.ipynb is missing" in refusal(capsys)
    assert directory.done == []


def test_setup_takes_no_further_arguments(directory, capsys):
    assert course.main(["setup", "--frobnicate"]) == 2
    assert "--frobnicate" in capsys.readouterr().err and directory.done == []


def test_help_names_the_variable(capsys):
    with pytest.raises(SystemExit):
        course.main(["--help"])
    assert course.INDEX_VARIABLE in capsys.readouterr().out
