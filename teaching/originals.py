"""The notebooks as the course gave them out, and how to get them back.

They come from git where the course is a clone, else from a zip file that `keep` or a kit put beside them.
"""

import io
import re
import subprocess
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from helpers.support.errors import InputError
from helpers.support.files import written_whole

ARCHIVE = Path("notebooks") / ".originals.zip"  # hidden, so that nobody opens or tidies it away in JupyterLab
KEPT = "my_work"
LARGEST = 1 << 30  # bytes of all notebooks


def originals(root: Path) -> dict[str, bytes]:
    """Path inside the course -> content of every clean notebook, solutions too. Raises InputError."""
    archive = _from_git(root)
    if archive is None and (root / ARCHIVE).is_file():
        archive = (root / ARCHIVE).read_bytes()
    if archive is None:
        raise InputError(
            "there are no clean notebooks to give back: neither git nor the copies that `python course.py` "
            "sets aside are here; get the course anew and copy your work into it."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            inside = [entry for entry in files.infolist() if _is_notebook(entry.filename)]
            if sum(entry.file_size for entry in inside) > LARGEST:
                raise InputError(
                    f"{ARCHIVE} is far too large; get the course anew and copy your work into it."
                )
            return {entry.filename: files.read(entry) for entry in inside}
    except InputError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise InputError(f"{ARCHIVE} is damaged; get the course anew and copy your work into it.") from error


def _is_notebook(name: str) -> bool:
    """Whether a name is that of one of the course's notebooks: an archive that was changed may hold any."""
    return re.fullmatch(r"notebooks/(solutions/)?[\w-]+\.ipynb", name) is not None


def _from_git(root: Path) -> bytes | None:
    """The last commit's notebooks as a zip file, or None where the course is not a clone or git fails."""
    if not (root / ".git").exists():  # asked first: git would look in the directories above, too
        return None
    command = ["git", "-C", str(root), "archive", "--format=zip", "HEAD", "notebooks"]
    try:
        done = subprocess.run(command, capture_output=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def keep(root: Path) -> None:
    """Before anybody works in them, set the notebooks aside, unless git or an earlier call has done so."""
    if (root / ".git").exists() or (root / ARCHIVE).exists():
        return
    notebooks = {}
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            notebooks[path.relative_to(root).as_posix()] = path.read_bytes()
    write_archive(root, notebooks)


def write_archive(root: Path, notebooks: dict[str, bytes]) -> None:
    """Put the clean notebooks beside those that are worked in, as one file."""
    with written_whole(root / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as files:
        for name, content in notebooks.items():
            files.writestr(name, content, zipfile.ZIP_DEFLATED)


def reset(root: Path, wanted: Sequence[str] = ()) -> None:
    """Put clean notebooks in place; what differs from them moves to a dated folder first.

    wanted: beginnings of file names, such as "02"; all notebooks if empty. Prints what was done. Notebooks
    that the reader made are left alone. Raises InputError.
    """
    clean = {name: content for name, content in originals(root).items() if _chosen(name, wanted)}
    if not clean:
        raise InputError(f"no notebook's name begins with {' or '.join(wanted)}; write for example 02.")
    changed = [name for name, content in clean.items() if _content(root / name) != content]
    if not changed:
        print("Every notebook is clean already.")
        return
    for name in changed:
        if (root / name).exists() and not (root / name).is_file():
            raise InputError(f"{name} is no file; move it away, then reset again.")
    aside = Path(KEPT) / time.strftime("%Y-%m-%d_%H-%M-%S")
    for name in changed:
        if (root / name).exists():
            with written_whole(root / aside / name) as temporary:
                temporary.write_bytes((root / name).read_bytes())
        with written_whole(root / name) as temporary:
            temporary.write_bytes(clean[name])
        print(f"{name} is clean again.")
    if (root / aside).exists():
        print(f"What you had is in {aside}. If a notebook is open in JupyterLab, close it and open it again.")


def _chosen(name: str, wanted: Sequence[str]) -> bool:
    return not wanted or Path(name).name.startswith(tuple(Path(one).name for one in wanted))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
