"""Whether this computer can run the course."""

import importlib.metadata
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from helpers.support.cores import n_cores
from helpers.support.errors import InputError
from helpers.support.files import ROOT
from helpers.support.tables import Table

REPAIR = "close this, run `python course.py setup` in the course's folder, then open it again"
IMPORTED = ("torch", "onnx", "onnxruntime", "numpy")  # imported, because a library may fail to start
GIB = 1 << 30
LEAST_MEMORY, LEAST_DISK = 2 * GIB, 1 * GIB
LEAST_CORES = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `to_do` is empty when it is good."""

    what: str
    found: str
    to_do: str = ""

    @property
    def verdict(self) -> str:
        """In words, with what to do."""
        return f"needs attention: {self.to_do}" if self.to_do else "good"


@dataclass(frozen=True, repr=False)
class Environment(Table):
    """What this computer has for the course; prints as a table in a terminal and in a notebook."""

    headings = ("what", "found", "verdict")
    findings: tuple[Finding, ...]

    @property
    def good(self) -> bool:
        """Whether nothing needs attention."""
        return not any(finding.to_do for finding in self.findings)

    def cells(self) -> list[tuple[str, ...]]:
        return [(finding.what, finding.found, finding.verdict) for finding in self.findings]

    def summary(self) -> str:
        """One line: how many findings are good, and which are not."""
        bad = [finding.what for finding in self.findings if finding.to_do]
        if not bad:
            return f"All {len(self.findings)} checks are good: this computer is ready for the course."
        return f"{len(bad)} of {len(self.findings)} checks need attention: {', '.join(bad)}."


def environment() -> Environment:
    """Look at this computer: Python, packages, processor, memory, disk and the checkpoint files.

    Uses the standard library only, so that it can name what is missing. Takes a few seconds the first time,
    because it starts PyTorch.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = dict(re.match(r"([\w-]+)(.*)", requirement).groups() for requirement in project["dependencies"])
    return Environment((
        _python(project["requires-python"]),
        _cores(),
        *(_package(name, bounds[name]) for name in IMPORTED),
        _other_packages({name: bound for name, bound in bounds.items() if name not in IMPORTED}),
        *_memory(),
        _disk(),
        _checkpoints(),
    ))  # fmt: skip


def _python(bounds: str) -> Finding:
    version, bits = platform.python_version(), 64 if sys.maxsize > 2**32 else 32
    good = within(version, bounds) and bits == 64
    found = f"{version}, {bits} bits, on {platform.system()} {platform.release()} ({platform.machine()})"
    return Finding("Python", found, "" if good else f"start the course with a 64-bit Python {bounds}")


def _cores() -> Finding:
    n = n_cores()
    to_do = "" if n >= LEAST_CORES else "everything works, but takes longer than the notebooks say"
    return Finding("processor cores", str(n), to_do)


def _package(name: str, bounds: str) -> Finding:
    try:
        module = importlib.import_module(name)
        version = importlib.metadata.version(name)
    except (ImportError, OSError) as error:  # OSError: there, but one of its libraries cannot be loaded
        return Finding(name, f"does not start ({type(error).__name__})", REPAIR)
    found = f"{version}, {_cuda(module)}" if name == "torch" else version
    return Finding(name, found, "" if within(version, bounds) else f"the course needs {bounds}: {REPAIR}")


def _cuda(torch: ModuleType) -> str:
    if torch.cuda.is_available():
        return f"with CUDA on {torch.cuda.get_device_name()} (the course does not need it)"
    return "without CUDA (the course does not need it)"


def _other_packages(bounds: dict[str, str]) -> Finding:
    wrong = []
    for name, bound in bounds.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if not within(version, bound):
            wrong.append(f"{name} is {version}, not {bound}")
    if wrong:
        return Finding("other packages", "; ".join(wrong), REPAIR)
    return Finding("other packages", f"all {len(bounds)} present, versions as required")


def _memory() -> Iterator[Finding]:
    meminfo = Path("/proc/meminfo")  # only Linux has it; elsewhere nothing in the standard library tells
    if meminfo.is_file():
        kib = int(re.search(r"MemAvailable:\s+(\d+)", meminfo.read_text())[1])
        yield _space("free memory", kib * 1024, LEAST_MEMORY, "close other programs and notebooks")


def _disk() -> Finding:
    return _space("free disk space", shutil.disk_usage(ROOT).free, LEAST_DISK, "delete what you don't need")


def _space(what: str, free: int, least: int, remedy: str) -> Finding:
    to_do = "" if free >= least else f"{least / GIB:.0f} GB should be free: {remedy}"
    return Finding(what, f"{free / GIB:.1f} GB", to_do)


def _checkpoints() -> Finding:
    try:
        from helpers.vampnet.files import GOLDEN, course_checkpoints, find
    except (ImportError, OSError):
        return Finding("checkpoint files", "not looked for: they need torch", REPAIR)
    directory = course_checkpoints()
    try:
        paths = find(directory).values()
    except InputError as error:
        return Finding("checkpoint files", str(error), "get the course's folder again: it is incomplete")
    n_bytes = sum(path.stat().st_size for path in paths)
    kind = "small, with random weights" if directory == GOLDEN else "the course's own"
    names = ", ".join(path.name for path in paths)
    return Finding("checkpoint files", f"{names}: {kind}, {n_bytes / 1e6:.1f} MB")


def within(version: str, bounds: str) -> bool:
    """Whether a version such as "2.13.0+cpu" lies within bounds such as ">=2.13,<2.14" (no other signs)."""
    for bound in bounds.split(","):
        sign, limit = re.fullmatch(r"(>=|<)([\d.]+)", bound.strip()).groups()
        if (_numbers(version) >= _numbers(limit)) != (sign == ">="):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version, zeros at its end left out: 2.13.0+cpu -> (2, 13)."""
    numbers = [int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
