"""A kit for computers without a network: the course, its checkpoint, and the wheels of every package.

`course.py` lets pip fetch the wheels; here is what to fetch, and what else goes into the kit.
"""

import fnmatch
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.support.errors import InputError, plain
from helpers.support.files import parse_json, write_json
from teaching import originals

# What the course has beside course.py. Whatever else lies there, such as recordings, stays out of a kit.
COURSE = (
    ".ci", ".gitattributes", ".github", ".gitignore", "CITATION.cff", "CONTRIBUTING.md", "LICENSE",
    "README.md", "course.py", "data", "environment.yml", "helpers", "models", "notebooks", "pyproject.toml",
    "requirements.lock", "teaching", "tests", "web", "workshop",
)  # fmt: skip
WHEELS, NOTE = "wheels", "kit.json"  # in the kit; in its wheels
OLDEST_GLIBC = 5  # 2.5: the first that wheels with a version in their name can be for

# Platform, named as course.py does -> what the lock's conditions call it.
MARKERS = {
    "linux-x86_64": ("linux", "posix", "x86_64"),
    "linux-aarch64": ("linux", "posix", "aarch64"),
    "darwin-arm64": ("darwin", "posix", "arm64"),
    "windows-amd64": ("win32", "nt", "AMD64"),
}


@dataclass(frozen=True)
class Target:
    """The computers that a kit is for. oldest: version of the system that they have at least; None is any."""

    platform: str
    python: str
    oldest: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.platform}, Python {self.python}"

    def requirements(self, lock: str) -> list[str]:
        """The lock's pins that hold there, without conditions; pip would ask the computer it runs on."""
        sys_platform, os_name, machine = MARKERS[self.platform]
        variables = {
            "sys_platform": sys_platform, "os_name": os_name, "platform_machine": machine,
            "python_version": self.python, "python_full_version": f"{self.python}.0",
            "implementation_name": "cpython",
        }  # fmt: skip
        pins = []
        for line in lock.splitlines():
            pin, _, marker = line.partition(" ;")
            # The lock is our own file, its conditions are Python expressions, and versions from 3.11 to 3.13
            # have the same order as text.
            if line[:1].isalnum() and (not marker or eval(marker, {"__builtins__": {}}, variables)):
                pins.append(pin.strip())
        return pins

    def tags(self) -> list[str]:
        """pip's options for wheels that run there."""
        machine = self.platform.partition("-")[2]
        if self.platform.startswith("linux"):
            names = [
                f"manylinux_2_{minor}_{machine}" for minor in range(self.oldest[1], OLDEST_GLIBC - 1, -1)
            ]
            names.append(f"manylinux2014_{machine}")  # pip knows the older names that this one includes
        elif self.platform.startswith("darwin"):
            names = [f"macosx_{self.oldest[0]}_0_{machine}"]
        else:
            names = [f"win_{machine}"]
        options = [option for name in names for option in ("--platform", name)]
        return [*options, "--implementation", "cp", "--python-version", self.python]


def write(
    root: Path, kit: Path, target: Target, index: str | None, pip: Callable[..., None], is_here: bool
) -> None:
    """Write the kit, or add a target's wheels to it.

    index: address to take PyTorch from, beside what pip is set up for. pip: runs one of its commands.
    is_here: the target is this computer, so that it can be tried out. Raises InputError, and what `pip` does.
    """
    copy_course(root, kit)
    wheels = kit / WHEELS
    wheels.mkdir(exist_ok=True)
    lock = root / "requirements.lock"
    print(f"Fetching the packages for {target}.", flush=True)
    fetch = ["--no-deps", "--dest", str(wheels), *target.tags()]  # the lock is complete: PyTorch without CUDA
    fetch += ["--extra-index-url", index] if index else []
    pip("download", *fetch, *target.requirements(lock.read_text(encoding="utf-8")))
    if is_here:
        print("Looking whether they install without a network.", flush=True)
        try_out = ["--isolated", "--dry-run", "--ignore-installed", "--quiet", "--no-index"]
        pip("install", *try_out, "--find-links", str(wheels), "-r", str(lock))
    write_json(wheels / NOTE, sorted({*noted(wheels), str(target)}))
    size = sum(path.stat().st_size for path in kit.rglob("*") if path.is_file()) / 1e6
    print(f"{kit} is ready, {size:.0f} MB. On each computer, copy it to the disk, and in the copy run")
    print(f"    python course.py --wheels {WHEELS}")


def check_folder(kit: Path) -> None:
    """Refuse to write among other people's files. Raises InputError."""
    if kit.exists() and not (kit.is_dir() and (not any(kit.iterdir()) or (kit / WHEELS).is_dir())):
        raise InputError(f"{kit} holds something else; name a new or empty folder, or a kit to add to.")


def copy_course(root: Path, kit: Path) -> None:
    """Copy what belongs to the course, with clean notebooks; nothing that .gitignore names."""
    clean = originals.originals(root)
    for path in course_files(root, kit):
        target = kit / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".ipynb":
            shutil.copyfile(path, target)
    for name, content in clean.items():
        (kit / name).parent.mkdir(parents=True, exist_ok=True)
        (kit / name).write_bytes(content)
    originals.write_archive(kit, clean)


def course_files(root: Path, leave_out: Path) -> Iterator[Path]:
    """Every file of COURSE but those that .gitignore names and those of one folder."""
    patterns = (root / ".gitignore").read_text(encoding="utf-8").split()
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if here == root:
            folders[:], files = ([name for name in names if name in COURSE] for names in (folders, files))
        folders[:] = [
            name for name in folders
            if here / name != leave_out and not ignored(here / name, root, patterns, True)
        ]  # fmt: skip
        yield from (here / name for name in sorted(files) if not ignored(here / name, root, patterns, False))


def ignored(path: Path, root: Path, patterns: list[str], is_folder: bool) -> bool:
    """Whether .gitignore names it: plain names, or with a slash first paths from the root; ! takes back."""
    inside, found = path.relative_to(root), False
    for pattern in patterns:
        pattern, is_named = pattern.removeprefix("!"), not pattern.startswith("!")
        if pattern.endswith("/") and not is_folder:
            continue
        parts = pattern.strip("/").split("/")
        if not pattern.startswith("/"):
            parts, tail = parts[-1:], inside.parts[-1:]
        else:
            tail = inside.parts
        if len(parts) == len(tail) and all(map(fnmatch.fnmatchcase, tail, parts)):
            found = is_named
    return found


def noted(wheels: Path) -> list[str]:
    """For which platforms and Pythons a folder of wheels says it is; nothing if it doesn't say."""
    try:
        said = parse_json((wheels / NOTE).read_bytes())
    except (OSError, ValueError):
        return []
    return [plain(one) for one in said if isinstance(one, str)] if isinstance(said, list) else []
