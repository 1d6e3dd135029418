"""Exercise results, collected from copies of the notebooks.

The copies are other people's files: they are read, never executed. What counts is the answer that each check
left in the saved notebook: a result says what its author saw when saving, and can't prove how it came about.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.lesson.checks.verdict import MIME_TYPE, NOT_YET, RIGHT, WRONG
from helpers.support.errors import InputError
from helpers.support.files import check_outputs, parse_json, written_whole
from helpers.support.tables import Table

NOT_RUN, NO_COPY = "not run", ""
LARGEST = 100 << 20  # bytes; a notebook with its sound and pictures has a few million
HOW = (
    "As each copy was saved: its checks' answers are read, and nothing was run here. Whoever edits a file "
    "can edit its answers."
)


@dataclass(frozen=True)
class Exercises:
    """A notebook of the course: its number, its heading, and the exercises it checks."""

    number: str
    heading: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Copy:
    """One file that a student handed in: which notebook it is, and what its checks said."""

    student: str
    number: str
    states: dict[str, str]
    was_run: bool


@dataclass(repr=False)
class Scores(Table):
    """One row a student, one column an exercise."""

    columns: list[tuple[str, str]]  # notebook's number, exercise
    rows: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def headings(self) -> list[str]:
        return ["student", "right", *(f"{number} {name}" for number, name in self.columns)]

    def cells(self) -> list[list[str]]:
        return [
            [student, str(list(states.values()).count(RIGHT)), *(states[column] for column in self.columns)]
            for student, states in sorted(self.rows.items())
        ]

    def summary(self) -> str:
        return "\n".join([*self.remarks, HOW])


def collect(root: Path, folder: Path) -> Scores:
    """The results in every notebook under `folder`, for the course in `root`. Raises InputError."""
    course = [exercises(path) for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the one with the students' notebooks.")
    copies, remarks = [], []
    for path in sorted(handed_in(folder)):
        name = printable(path.relative_to(folder).as_posix())
        try:
            copy = read_copy(path, name, course)
        except InputError as error:
            remarks.append(f"{name}: left out, {error}")
            continue
        copies.append(copy)
        if not copy.was_run:
            remarks.append(f"{name}: not run, or saved without what it showed; its results are unknown.")
    if not copies:
        found = remarks[0] if remarks else "it has no files that end in .ipynb."
        raise InputError(f"{printable(str(folder))} holds no copy of the course's notebooks: {found}")
    numbers = {copy.number for copy in copies}
    columns = [(one.number, name) for one in course if one.number in numbers for name in one.names]
    scores = Scores(columns, remarks=remarks)
    for student, own in by_student(copies).items():
        scores.rows[student] = {
            (number, name): own[number].states[name] if number in own else NO_COPY for number, name in columns
        }
    return scores


def handed_in(folder: Path) -> Iterator[Path]:
    """Every notebook under a folder, however deep, and every folder that can't be read."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = list(os.scandir(here))
        except OSError:
            yield here
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name != ".ipynb_checkpoints":
                waiting.append(here / entry.name)
            if entry.name.endswith(".ipynb"):
                yield here / entry.name


def exercises(path: Path) -> Exercises:
    """What a notebook of the course asks."""
    cells = parse_json(path.read_bytes())["cells"]
    code = "\n".join(text(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    names = [name for name in re.findall(r"^checks\.(\w+)\(", code, re.MULTILINE) if name != "environment"]
    return Exercises(path.name[:2], heading(cells), tuple(dict.fromkeys(names)))


def heading(cells: list) -> str:
    """The first line of a notebook, which tells what it is even when the file has another name."""
    first = next((cell for cell in cells if cell["cell_type"] == "markdown"), None)
    return text(first["source"]).strip().split("\n")[0] if first else ""


def text(source: object) -> str:
    """A cell's text: files hold it as one string or as a list of lines."""
    return "".join(source) if isinstance(source, list) else str(source)


def read_copy(path: Path, name: str, course: Iterable[Exercises]) -> Copy:
    """What a handed-in file says. Raises InputError, with the reason, if it is no notebook of the course."""
    try:
        if not path.is_file():  # a pipe, or a link to a device, would be read for ever
            raise InputError("it is no file.")
        if path.stat().st_size > LARGEST:
            raise InputError("it is too large for a notebook.")
        cells = parse_json(path.read_bytes())["cells"]
        notebook = next((one for one in course if one.heading == heading(cells)), None)
        if notebook is None:
            raise InputError("its first line is not that of a notebook of this course.")
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        said = dict(verdict for cell in code for verdict in verdicts(cell))
        was_run = any(cell.get("execution_count") is not None or cell.get("outputs") for cell in code)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("it is not a notebook, or a damaged one.") from error
    states = {exercise: said.get(exercise, NOT_RUN) for exercise in notebook.names}
    return Copy(student_of(name, notebook), notebook.number, states, was_run)


def verdicts(cell: dict) -> Iterable[tuple[str, str]]:
    """Exercise and state, of every check that a cell of a saved notebook both calls and shows."""
    for output in cell.get("outputs", []):
        shown = output.get("data", {}).get(MIME_TYPE, {})
        exercise, state = shown.get("exercise"), shown.get("state")
        if state in (RIGHT, WRONG, NOT_YET) and f"checks.{exercise}(" in text(cell["source"]):
            yield exercise, state


def student_of(name: str, notebook: Exercises) -> str:
    """Whose copy it is: its folder if it has one; else its name without the notebook's own."""
    path = Path(name)
    if path.parent != Path("."):
        return path.parent.as_posix()
    own = "_".join(re.findall(r"\w+", notebook.heading.lower()))
    return path.stem.replace(own, "").strip(" _-.") or path.stem


def by_student(copies: Iterable[Copy]) -> dict[str, dict[str, Copy]]:
    """Student -> notebook's number -> copy; a second copy of one notebook gets a row of its own."""
    rows = {}
    for copy in copies:
        student, count = copy.student, 1
        while copy.number in rows.get(student, {}):
            count += 1
            student = f"{copy.student} ({count})"
        rows.setdefault(student, {})[copy.number] = copy
    return rows


def printable(name: str) -> str:
    """A file's name without characters that move a terminal's cursor."""
    return "".join(char if char.isprintable() else "?" for char in name)


def write_csv(scores: Scores, path: Path) -> None:
    """The table as CSV. A name that a spreadsheet would take for a formula gets an apostrophe in front."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        for row in [scores.headings, *scores.cells()]:
            writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in row])


def report(root: Path, folder: Path, to: Path) -> None:
    """Print the table and write it as CSV."""
    if to.is_symlink() and to.parent == folder:  # somebody who handed it in would choose what is written over
        raise InputError(f"{to} is a link; remove it, or name another file with --csv.")
    check_outputs([to], handed_in(folder))  # or a student's notebook would become a table
    scores = collect(root, folder)
    print(scores)
    write_csv(scores, to)
    print(f"The same as a table for a spreadsheet: {to}")
