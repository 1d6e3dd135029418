"""Set the course up, open it, test it. Needs nothing but Python 3.11 to 3.13.

    python course.py              make .venv beside this file, install the locked versions, open JupyterLab
    python course.py setup        only make and install
    python course.py test         the same, then run every test; further arguments go to pytest
    python course.py reset        clean notebooks again; what you wrote is kept in my_work

    python course.py pack DIR     for a teacher: the course with every package, to use without a network
    python course.py --wheels wheels       there: install from the kit's wheels
    python course.py build [DIR]  for a teacher: the notebooks, executed, as pages with their sound
    python course.py scores DIR   for a teacher: the exercises' results in the students' notebooks
    python course.py serve [DIR]  pages of DIR in a browser of this computer, on two threads

This file keeps to the standard library, and to syntax that Python 3.6 can parse: an old Python must get as
far as saying that it is too old.
"""

import argparse
import errno
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
PYTHONS = ["3.11", "3.12", "3.13"]
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course.json"  # written last: without it the environment is half-made
LOCK = ROOT / "requirements.lock"
START = Path("notebooks") / "00_start_here.ipynb"
INSTALLED = "about 2 GB (several more with CUDA)"

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_VARIABLE = "COURSE_TORCH_INDEX"
PROBE_SECONDS = 5

# Tests of one file share what they make, so a file stays with one process, but for the notebooks' runs, which
# come first (tests/conftest.py); more than four need much memory.
IN_PARALLEL = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]

LAB_OPTIONS = [  # for a classroom without a network
    "--LabApp.news_url=None",  # no question about news
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--KernelManager.transport_encryption=auto",  # between server and kernel; else every kernel warns of it
]

# The platforms for which every package in the lock has a wheel; oldest system beside each.
PLATFORMS = {
    ("Linux", "x86_64"): [2, 28],  # glibc
    ("Linux", "aarch64"): [2, 28],
    ("Darwin", "arm64"): [14],  # macOS
    ("Windows", "amd64"): None,
}

NO_SPACE = r"No space left|Errno 28\b|not enough space on the disk|WinError 112\b"
NO_TRUST = r"certificate.verify.failed"
NO_NETWORK = (
    r"NewConnectionError|ConnectTimeout|ReadTimeout|Failed to establish|Failed to resolve|name resolution"
    r"|getaddrinfo|Name or service not known|Network is unreachable|No route to host|Connection refused"
    r"|Connection reset|RemoteDisconnected|Max retries|ProxyError|IncompleteRead|timed out"
)
NO_WRITING = r"Permission denied|Read-only file system|Access is denied|Errno 13\b|Errno 30\b|WinError 5\b"


class SetupError(Exception):
    """Something the user can mend; the message is one line that says what is wrong and what to do."""


def say(text="", end="\n"):
    """Print at once. A full disk or a broken device behind the output is not one that is installed on."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unheard(error) from error


def unheard(error):
    """What to raise when nobody takes what is printed."""
    return SetupError(f"The output could not be written ({error.strerror}).")


# --- Is this a computer the course can run on? --------------------------------------------------------


def check_python(version=sys.version_info):
    """Refuse a Python for which the locked packages have no wheels."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        example = "py -3.12" if os.name == "nt" else "python3.12"
        raise SetupError(
            f"This is Python {version[0]}.{version[1]}; the course needs 3.11, 3.12 or 3.13: install one of "
            f"them and start the course with it, for example: {example} course.py"
        )


def this_platform():
    """System and machine, as in PLATFORMS."""
    system = platform.system()
    # On Windows the build of Python decides, which may run emulated on another processor.
    return system, sysconfig.get_platform().split("-")[-1] if system == "Windows" else platform.machine()


def platform_name(system, machine):
    """How a platform is named on the command line and in a kit."""
    return f"{system}-{machine}".lower()


def check_platform():
    """Refuse, by name, a platform for which one of the packages has no wheels."""
    system, machine = this_platform()
    if sys.maxsize < 2**32:
        raise SetupError("This is a 32-bit Python and PyTorch needs 64 bits: install that one and run again.")
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise SetupError("This is PyPy or a free-threaded Python: install the usual build and run again.")
    if (system, machine) == ("Darwin", "x86_64"):
        raise SetupError(
            "This Python is for Intel Macs, for which there is no current PyTorch: on Apple silicon install "
            "the arm64 Python; on an Intel Mac take another computer."
        )
    if (system, machine) not in PLATFORMS:
        raise SetupError(
            f"There are no packages for {system} on {machine}: the course runs on Linux (x86_64, aarch64), "
            "macOS (arm64) and Windows (x86_64)."
        )
    name, version = platform.libc_ver() if system == "Linux" else ("macOS", platform.mac_ver()[0])
    if system == "Linux" and name != "glibc":
        raise SetupError("PyTorch needs a Linux with glibc, and this one has another C library (Alpine?).")
    oldest = PLATFORMS[system, machine]
    if oldest and [int(number) for number in version.split(".")] < oldest:
        raise SetupError(
            f"This is {name} {version}; the packages need {'.'.join(map(str, oldest))} or newer: update it, "
            "or take another computer."
        )


def this_python():
    """Version of the running Python as in "3.12"."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def check_venv_module():
    """Debian and its kin ship Python without the parts that make an environment."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(
                f"This Python lacks its module {module}: install it (on Debian and Ubuntu: sudo apt install "
                f"python{this_python()}-venv) and run again."
            )


# --- Which PyTorch? -----------------------------------------------------------------------------------


def has_nvidia():
    """True when the NVIDIA driver is installed and finds a card."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.call([command], timeout=20, **quiet) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def torch_index(system, wants_cuda):
    """Address of the extra package index to take PyTorch from, or None for what pip finds by itself.

    Only on Linux does pip by itself find a PyTorch with gigabytes of CUDA libraries.
    """
    chosen = os.environ.get(INDEX_VARIABLE)
    if chosen is None and system == "Linux" and not wants_cuda:
        chosen = CPU_INDEX
    if not chosen or not chosen.strip():
        return None
    address = chosen.strip().rstrip("/")
    if address.startswith(("http://", "https://")) and not answers(address + "/torch/"):
        say(f"{address} cannot be reached: going on with the PyTorch that pip finds.")
        return None
    return address


def answers(address):
    """True when a page can be opened. Asked beforehand, because pip would retry for each of the packages."""
    try:
        urllib.request.urlopen(address, timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


# --- The environment ----------------------------------------------------------------------------------


def venv_python():
    """Path of the environment's own Python."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted_stamp():
    """What the environment was made from: a different Python, directory or lock needs a new one."""
    return {
        "python": this_python(),
        "directory": str(ROOT),
        "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        "torch_index": os.environ.get(INDEX_VARIABLE),
    }


def read_stamp():
    """The stamp of a finished environment, or None."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return stamp if isinstance(stamp, dict) else None


def what_to_do(wanted):
    """Compare .venv with what is wanted: "nothing", "install" or "make", and the reason in words."""
    if not os.path.lexists(str(VENV)):
        return "make", ""
    stamp = read_stamp()
    if stamp is None:
        return "make", "its set-up did not finish"
    if stamp.get("directory") != wanted["directory"]:
        return "make", f"it was made for {stamp.get('directory')}"
    if stamp.get("python") != wanted["python"]:
        return "make", f"Python {stamp.get('python')} made it, and this is {wanted['python']}"
    if not starts(venv_python()):
        return "make", "its Python does not start"
    # Without the variable any choice made earlier stands: a new terminal must not start gigabytes of work.
    if wanted["torch_index"] not in (None, stamp.get("torch_index")):
        return "make", f"{INDEX_VARIABLE} has changed"
    if stamp.get("lock") != wanted["lock"]:
        return "install", "requirements.lock has changed"
    return "nothing", ""


def starts(python):
    """True when that interpreter runs and has its standard library."""
    try:
        return subprocess.call([str(python), "-c", "import json"], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def set_up(wheels=None):
    """Make .venv ready: in no time when it is, from its ruins when it is half-made.

    wheels: a folder to install from, in place of the network.
    """
    wanted = wanted_stamp()
    action, reason = what_to_do(wanted)
    if action == "nothing":
        return
    if wheels:
        check_wheels(wheels)
    if action == "make":
        again = f" again, because {reason}" if reason else ""
        say(f"Making .venv with Python {wanted['python']}{again}.")
        make_venv()
    else:
        say(f"Updating .venv, because {reason}.")
    install(wheels)
    STAMP.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    say("The course is set up.")


def make_venv():
    """An empty environment with pip, in place of whatever .venv holds."""
    check_venv_module()
    import venv

    if os.pathsep in str(VENV):
        raise SetupError(
            f"{ROOT} has a '{os.pathsep}' in its path, and no Python environment can be made there: move the "
            "course, or rename that folder."
        )
    if Path(sys.prefix).resolve() == VENV.resolve():
        raise SetupError("This runs in the .venv that must be made again: type `deactivate` and run again.")
    try:
        if VENV.is_dir():
            STAMP.unlink(missing_ok=True)  # first, so that an interruption from here on is noticed
        else:
            VENV.unlink(missing_ok=True)  # a file, or a link to nowhere
        links = os.name != "nt"
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=links, prompt="course").create(str(VENV))
    except subprocess.CalledProcessError as error:
        raise failure((error.output or b"").decode(errors="replace")) from error
    # A .pth line is taken relative to its own directory, so it needs no encoding of the user's name.
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(VENV), "platbase": str(VENV)}))
    (packages / "course.pth").write_text(os.path.relpath(str(ROOT), str(packages)) + "\n", encoding="ascii")


def check_wheels(wheels):
    """Refuse a folder that has nothing for this computer and Python."""
    if not any(wheels.glob("*.whl")):
        raise SetupError(f"{wheels} holds no wheels: name the folder of that name in the teacher's kit.")
    kit = teaching("kit")
    here = str(kit.Target(platform_name(*this_platform()), this_python()))
    packed = kit.noted(wheels)
    if packed and here not in packed:
        raise SetupError(
            f"The wheels in {wheels} are for {' and '.join(packed)}, and this is {here}: use such a Python, "
            "or ask for a kit for this one."
        )


def install(wheels=None):
    """Let pip install the lock into .venv, by the user's pip configuration, or from a folder of wheels."""
    say(f"Installing the packages: {INSTALLED} on disk; the first time takes minutes.")
    if wheels:
        pip("install", "--isolated", "--no-index", "--find-links", str(wheels), "-r", str(LOCK))
        return
    index = torch_index(platform.system(), has_nvidia())
    pip("install", "-r", str(LOCK), *(["--extra-index-url", index] if index else []))


def pip(command, *arguments):
    """Run one of pip's commands in .venv; wheels only, so no compiler is needed and no build fails late."""
    line = [str(venv_python()), "-m", "pip", command, "--disable-pip-version-check", "--only-binary", ":all:"]
    with running(line + list(arguments), stderr=subprocess.PIPE) as process, process.stderr:
        said = process.stderr.read().decode(errors="replace")
        status = process.wait()
    if status != 0:
        raise failure(said)


def failure(said):
    """The SetupError for a pip that failed, told by what it said on stderr."""
    lasting = re.sub(r".*Retry\(total=[1-9].*", "", said)  # a try that failed, but not the last one
    found_other_versions = re.search(r"from versions: (?!none)", said)
    if re.search(NO_SPACE, said):
        return no_space()
    if re.search(NO_TRUST, said, re.IGNORECASE):
        return SetupError(
            "The package index's certificate is not trusted here (a filtering proxy?): set PIP_CERT to a "
            "file with the network's own and run again."
        )
    if re.search(NO_NETWORK, lasting) and not found_other_versions:
        return SetupError("The package index cannot be reached: check the network or proxy and run again.")
    if re.search(NO_WRITING, said):
        return no_writing()
    print("\n".join([line for line in said.splitlines() if line.strip()][-6:]), file=sys.stderr)
    return SetupError("pip failed, as its last lines above say; when they are mended, run again.")


def no_space():
    return SetupError(
        f"The disk is full: the packages need {INSTALLED} in {ROOT}, and pip as much again in "
        f"{tempfile.gettempdir()} while it works: free some and run again."
    )


def no_writing():
    return SetupError(f"{ROOT} cannot be written to: copy the course to a directory of your own.")


# --- Commands -----------------------------------------------------------------------------------------


class running:
    """Run a command in the course's directory; however the block ends, the command has ended too."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, cwd=str(ROOT), **options)

    def __enter__(self):
        return self.process

    def __exit__(self, kind, value, traceback):
        if kind is KeyboardInterrupt:  # Ctrl-C in a terminal reaches the command as well: hear its last words
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.terminate()
        elif self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def ask_nothing():
    """Settings of this JupyterLab: it does not ask on its first page whether to fetch news."""
    overrides = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    overrides.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}))


def open_course(options, further):
    """Open JupyterLab on the first notebook; it has Ctrl-C to itself, because it asks before it stops."""
    if not (ROOT / START).is_file():
        raise SetupError(f"{START} is missing: get a complete copy of the course.")
    set_up(options.wheels)
    command = [str(venv_python()), "-m", "jupyterlab", "--ServerApp.root_dir=" + str(ROOT)]
    command.append("--LabApp.default_url=/lab/tree/" + START.as_posix())  # also in the address that it prints
    command += LAB_OPTIONS
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # as in most containers; JupyterLab would not start
        command.append("--allow-root")
    if options.no_browser:
        command.append("--no-browser")
    mended(teaching("originals").keep, ROOT)
    ask_nothing()
    with running(command + further) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def setup_only(options, further):
    set_up(options.wheels)
    return 0


def test(options, further):
    set_up(options.wheels)
    with running([str(venv_python()), "-m", "pytest"] + IN_PARALLEL + further) as process:
        return process.wait()


# --- For the teacher ----------------------------------------------------------------------------------


def teaching(module):
    """One of the teacher's tools; imported when needed, because an old Python can't read it."""
    return importlib.import_module("teaching." + module)


def mended(run, *arguments):
    """Run one of the teacher's tools; a mistake that can be mended becomes a SetupError."""
    mistake = importlib.import_module("helpers.support.errors").InputError
    try:
        run(*arguments)
        say(end="")
    except mistake as error:
        raise SetupError(str(error)) from error
    except OSError as error:
        if error.filename is None and error.errno == errno.ENOSPC:  # files are written whole, or refused
            raise unheard(error) from error
        raise
    return 0


def pack(options, further):
    """Write a kit: the course and the wheels of a platform and a Python. Run again, it adds another's."""
    kit = teaching("kit")
    mended(kit.check_folder, options.folder)
    set_up()
    chosen = next(key for key in PLATFORMS if platform_name(*key) == options.platform)
    target = kit.Target(options.platform, options.python, PLATFORMS[chosen])
    is_here = (chosen, options.python) == (this_platform(), this_python())
    index = torch_index(chosen[0], wants_cuda=False)
    return mended(kit.write, ROOT, options.folder, target, index, pip, is_here)


def build(options, further):
    """Execute the notebooks and write them as pages."""
    set_up()
    with running([str(venv_python()), "-m", "teaching.pages", str(options.folder)]) as process:
        return process.wait()


def scores(options, further):
    table = options.csv or options.folder / "scores.csv"
    return mended(teaching("scores").report, ROOT, options.folder, table)


def serve(options, further):
    return mended(teaching("serve").run, options.folder, options.port)


def reset(options, further):
    return mended(teaching("originals").reset, ROOT, options.notebooks)


# --- The command line ---------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        raise SetupError(f"{message} (see python course.py --help)")


def absolute(path):
    """A path from the command line: what is started from here runs in the course's directory."""
    return Path(path).expanduser().absolute()


def parse(arguments):
    """Split the command line into our options and those to pass on."""
    parser = Parser(
        prog="course.py",
        description="Without a command: set the course up in .venv and open it in JupyterLab.",
        epilog=f"The environment variable {INDEX_VARIABLE} chooses where PyTorch comes from: the address of "
        "a package index, or nothing (empty) for what pip finds by itself. When it is not set, Linux without "
        f"an NVIDIA card takes {CPU_INDEX}. pip's own configuration (pip.conf, PIP_...) holds as well.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--no-browser",
        action="store_true",
        help="start JupyterLab and print its address, but open no browser; further options, written "
        "--name=value, go to JupyterLab",
    )
    wheels = {"type": absolute, "metavar": "DIR", "help": "install from the wheels in DIR, without a network"}
    parser.add_argument("--wheels", default=None, **wheels)
    parser.set_defaults(run=open_course, passes_on=True)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name, run, text, passes_on=False):
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run, passes_on=passes_on)
        return added

    for added in (
        command("setup", setup_only, "make .venv and install, no more"),
        command("test", test, "set up, then run all tests; further arguments go to pytest", passes_on=True),
    ):
        added.add_argument("--wheels", default=argparse.SUPPRESS, **wheels)
    text = "give back clean notebooks, and keep what you wrote in a dated folder in my_work"
    command("reset", reset, text).add_argument(
        "notebooks", nargs="*", help="beginnings of names, such as 02; all of them if none is given"
    )
    packing = command("pack", pack, "write the course with every package into DIR, to use without a network")
    packing.add_argument("folder", type=absolute, metavar="DIR")
    names = [platform_name(*key) for key in PLATFORMS]
    here = platform_name(*this_platform())
    packing.add_argument("--platform", choices=names, default=here, help=f"for which computers; here {here}")
    packing.add_argument("--python", choices=PYTHONS, default=this_python(), help="for which Python")
    building = command("build", build, "write the executed notebooks as pages with their sound")
    building.add_argument("folder", type=absolute, metavar="DIR", nargs="?", default=ROOT / "build" / "pages")
    scoring = command("scores", scores, "collect the exercises' results from the notebooks in DIR")
    scoring.add_argument("folder", type=absolute, metavar="DIR")
    scoring.add_argument("--csv", type=absolute, metavar="FILE", help="where the table goes; DIR/scores.csv")
    serving = command("serve", serve, "hand out the pages in DIR on this computer, isolated: two threads")
    serving.add_argument("folder", type=absolute, metavar="DIR", nargs="?", default=absolute("."))
    serving.add_argument("--port", type=int, default=8000, metavar="N", help="default: %(default)s")
    options, further = parser.parse_known_args(arguments)
    if further and not options.passes_on:
        parser.error("unrecognized arguments: " + " ".join(further))
    return options, further


def stop(signal_number, frame):
    """End like Ctrl-C does, with the programs started from here, when asked to terminate."""
    sys.exit(128 + signal_number)


def main(arguments=None):
    """Run one command; the exit status is its own, 2 for a mistake that can be mended, 130 for Ctrl-C."""
    try:
        check_python()
        check_platform()
        options, further = parse(arguments)
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
                signal.signal(getattr(signal, name), stop)
        status = options.run(options, further)
        say(end="")
        return status
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Run it again to go on.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print(no_space(), file=sys.stderr)
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            print(no_writing(), file=sys.stderr)
        else:
            raise
        return 2


if __name__ == "__main__":
    sys.exit(main())
