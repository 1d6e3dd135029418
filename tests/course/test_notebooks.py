"""The notebooks run, read well and are committed clean; so do the pictures and checks they import."""

import json
import os
import re
import statistics
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import exported_once
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest
import torch

from helpers.lesson import plots
from helpers.lesson.checks import computer
from helpers.lesson.checks.verdict import MIME_TYPE, NOT_YET, RIGHT
from helpers.support.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
ALL_THE_WAY = "08_your_own_model"  # one exercise for each trap on the way, and an exam
SETTING = "course_checkpoints()"  # what a reader replaces
NO_NETWORK = """
import socket

def refuse(*arguments, **settings):
    raise OSError("a notebook must not use the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""

EXPORTED_ONCE = """
import runpy

runpy.run_path({path!r})["share"]({directory!r})
"""

TOUCH_EVERYTHING = """
import gc

import ipywidgets

from helpers.lesson.widgets import Live

widgets = [thing for thing in gc.get_objects() if issubclass(type(thing), ipywidgets.Widget)]
for end in (0, -1):
    for widget in widgets:
        if isinstance(widget, ipywidgets.Button):
            widget.click()
        elif isinstance(widget, ipywidgets.Dropdown):
            widget.index = range(len(widget.options))[end]
        elif isinstance(widget, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
            widget.value = (widget.min, widget.max)[end]
    for live in widgets:
        if isinstance(live, Live):
            live.wait()
            assert live.error is None and live.result is not None, live.error
"""


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == kind]


def n_lines(cell: nbformat.NotebookNode) -> int:
    return len([line for line in cell.source.splitlines() if line.strip()])


def n_words(cell: nbformat.NotebookNode) -> int:
    """Words of prose: headings and tables do not count, nor do bullets and dashes."""
    prose = [line for line in cell.source.splitlines() if not line.startswith(("#", "|"))]
    return len([word for line in prose for word in line.split() if re.search(r"\w", word)])


def text_of(output: nbformat.NotebookNode) -> str:
    """What a reader sees of an output, pictures and sound left out."""
    data = output.get("data", {})
    html = data.get("text/html", "")
    return output.get("text", "") + data.get("text/plain", "") + ("" if "<audio" in html else html)


def test_there_is_a_first_notebook():
    assert ROOT / "notebooks" / "00_start_here.ipynb" in NOTEBOOKS


# --- Running ----------------------------------------------------------------------------------------------


def executed(
    path: Path,
    afterwards: str = "",
    checkpoint: Path | None = None,
    also: Path | None = None,
    graphs: Path | None = None,
) -> nbformat.NotebookNode:
    """The notebook after a run without a network, and some code after it; a cell that fails raises.

    checkpoint: the directory to put in place of the course's. also: a notebook whose cells follow in the same
    kernel, each with "also" in its metadata. graphs: where exported graphs are kept for others.
    """
    notebook = read(path)
    for cell in read(also).cells if also else []:
        cell.metadata["also"] = True
        notebook.cells.append(cell)
    for cell in notebook.cells if checkpoint else []:
        cell.source = cell.source.replace(SETTING, f"Path({str(checkpoint)!r})")
    sharing = EXPORTED_ONCE.format(path=exported_once.__file__, directory=str(graphs)) if graphs else ""
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK + sharing))
    notebook.cells.append(nbformat.v4.new_code_cell(afterwards))
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    return client.execute()


def verdicts(run: Iterable[nbformat.NotebookNode]) -> dict[str, str]:
    """Exercise -> state, of every check that cells show after a run."""
    shown = [output.get("data", {}) for cell in run for output in cell.get("outputs", [])]
    found = [data[MIME_TYPE] for data in shown if MIME_TYPE in data]
    return {one["exercise"]: one["state"] for one in found}


@each_notebook
def test_runs_top_to_bottom_and_its_solutions_are_right(path, graphs_directory):
    """One run: the notebook as it is given out, its solutions, and every widget touched at the end."""
    solutions = ROOT / "notebooks" / "solutions" / path.name
    run = executed(path, TOUCH_EVERYTHING, also=solutions, graphs=graphs_directory)
    given, solved = ([c for c in run.cells if bool(c.metadata.get("also")) == also] for also in (False, True))
    check_solutions(path, verdicts(solved))
    seen = ""
    for cell in given:
        outputs = cell.get("outputs", [])
        for output in outputs:
            assert output.get("name") != "stderr", f"'{cell.id}' prints to stderr: {output.text}"
            assert "warning" not in text_of(output).lower(), f"'{cell.id}' shows: {text_of(output)}"
            seen += text_of(output)
        if re.search(r"^plots\.", cell.source, re.MULTILINE):
            assert any("image/png" in output.get("data", {}) for output in outputs), f"no picture: {cell.id}"
    shares = re.findall(r"equal tokens: (\S+)", seen)
    assert set(shares) <= {"100.00%"}
    assert path.stem != "00_start_here" or len(shares) == 2
    assert set(verdicts(given).values()) <= {NOT_YET}, "an exercise starts out unsolved"


def check_solutions(path: Path, found: dict[str, str]) -> None:
    """All that the notebook asks is answered, and right."""
    assert set(found.values()) == {RIGHT}, found
    source = "\n".join(cell.source for cell in cells(path, "code"))
    asked = set(re.findall(r"^checks\.(\w+)\(", source, re.MULTILINE)) - {"environment"}
    assert set(found) == asked
    assert 2 <= len(asked) <= (6 if path.stem == ALL_THE_WAY else 4)


def test_every_notebook_has_its_solutions():
    solutions = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
    assert [path.name for path in solutions] == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_the_solutions_stand_alone(path):
    check_solutions(path, verdicts(executed(ROOT / "notebooks" / "solutions" / path.name).cells))


@each_notebook
def test_begins_as_the_others_do(path):
    assert cells(path, "code")[0].source == cells(NOTEBOOKS[0], "code")[0].source


@pytest.mark.parametrize("start", ["notebooks", "."])
def test_finds_the_course_wherever_the_kernel_starts(start):
    first = cells(NOTEBOOKS[0], "code")[0].source
    command = [sys.executable, "-c", first + "\nimport helpers\nprint(ROOT)\nprint(helpers.__file__)"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT / start, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    root, package = done.stdout.split("\n")[:2]
    assert Path(root) == ROOT
    assert Path(package) == ROOT / "helpers" / "__init__.py"


# --- How it is written ------------------------------------------------------------------------------------


@each_notebook
def test_is_committed_clean(path):
    nbformat.validate(json.loads(path.read_text(encoding="utf-8")))
    notebook = read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in cells(path, "code"):
        assert cell.outputs == [] and cell.execution_count is None, f"'{cell.id}' has outputs"
        assert not cell.metadata, f"'{cell.id}' has metadata: {cell.metadata}"


@each_notebook
def test_code_cells_are_small(path):
    sizes = {cell.id: n_lines(cell) for cell in cells(path, "code")}
    assert statistics.median(sizes.values()) <= 6
    assert max(sizes.values()) <= 25, sizes


@each_notebook
def test_prose_comes_in_small_pieces(path):
    prose = cells(path, "markdown")
    sizes = {cell.id: n_words(cell) for cell in prose}
    assert {name: size for name, size in sizes.items() if not 20 <= size <= 60} == {}
    assert 1.2 <= len(prose) / len(cells(path, "code")) <= 1.8


@each_notebook
def test_has_no_emoji(path):
    for cell in read(path).cells:
        assert [char for char in cell.source if unicodedata.category(char) in ("So", "Cs")] == [], cell.id


# --- Pictures ---------------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    """Axes that are thrown away afterwards."""
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_plots_draw_on_the_axes_they_are_given_and_leave_the_style_alone(ax):
    before = dict(plt.rcParams)
    tone = np.sin(2 * np.pi * 1000 * np.arange(22050) / 44100).astype(np.float32)
    assert plots.waveform(tone, 44100, ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "amplitude")
    assert ax.get_xlim() == (0, 0.5)
    assert dict(plt.rcParams) == before


def test_spectrogram_shows_a_tone_at_its_frequency_and_time(ax):
    tone = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100).astype(np.float32)
    tone[:22050] = 0
    assert plots.spectrogram(tone[None], 44100, ax=ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "frequency (Hz)")
    mesh = ax.collections[0]
    level, edges = mesh.get_array(), mesh.get_coordinates()
    row, column = np.unravel_index(level.argmax(), level.shape)
    assert edges[row, 0, 1] <= 1000 <= edges[row + 1, 0, 1]
    assert 0.45 < edges[0, column, 0] < 1
    assert level.max() == pytest.approx(0, abs=1e-3)
    assert level[:, edges[0, :-1, 0] < 0.4].max() == -plots.DYNAMIC_RANGE


def test_spectrogram_of_silence_has_nothing_to_show(ax):
    plots.spectrogram(np.zeros(5000, np.float32), 44100, ax=ax)
    assert (ax.collections[0].get_array() == -plots.DYNAMIC_RANGE).all()


def test_codes_show_every_token_but_the_masked_ones(ax):
    tokens = np.arange(12).reshape(1, 3, 4)
    mask = np.zeros_like(tokens)
    mask[0, 1] = 1
    assert plots.codes(tokens, 2.0, mask, ax=ax) is ax
    shown = ax.images[0].get_array()
    assert (shown.mask == (mask[0] == 1)).all()
    assert (shown.data == tokens[0]).all()
    assert ax.images[0].get_extent() == [0, 2.0, 2.5, -0.5]
    assert ax.get_legend().get_texts()[0].get_text() == "to be generated"


def test_a_plans_arrows_run_from_box_to_box(ax):
    plots.flow([["one", "a label as long as they get", "three"]], here=["three"], ax=ax)
    ax.figure.canvas.draw()
    arrows = [text.arrow_patch.get_window_extent() for text in ax.texts if hasattr(text, "arrow_patch")]
    boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts if text.get_text()]
    assert len(arrows) == 2
    for arrow, tail, head in zip(arrows, boxes, boxes[1:]):
        assert tail.x1 <= arrow.x0 < arrow.x1 <= head.x0


def test_pictures_stand_in_rows_each_below_its_title(ax):
    titles = [f"number {i}" for i in range(5)]
    assert plots.pictures([np.zeros((8, 8, 3))] * 5, titles, columns=3, ax=ax) is ax
    places = [image.get_extent() for image in ax.images]
    assert [text.get_text() for text in ax.texts] == titles
    for (left, right, _, top), text in zip(places, ax.texts):
        assert left < text.get_position()[0] < right and text.get_position()[1] > top
    assert places[3][0] == places[0][0] and places[3][3] < places[0][2]  # a second row


@pytest.mark.parametrize("draw, message", [
    (lambda: plots.waveform(np.zeros((2, 1, 9), np.float32), 44100), "batch of 2"),
    (lambda: plots.codes(np.zeros((2, 3, 4), int), 57.0), "one item"),
    (lambda: plots.codes(np.zeros((3, 4), int), 57.0, np.zeros((3, 5), int)), "make them equal"),
])  # fmt: skip
def test_plots_refuse_what_is_not_one_item(draw, message):
    with pytest.raises(InputError, match=message):
        draw()
    assert plt.get_fignums() == []


# --- The environment check --------------------------------------------------------------------------------


def finding(report: computer.Environment, what: str) -> computer.Finding:
    return next(finding for finding in report.findings if finding.what == what)


def test_environment_names_what_is_there():
    report = computer.environment()
    assert finding(report, "numpy") == computer.Finding("numpy", np.__version__)
    assert finding(report, "Python").found.startswith(".".join(map(str, sys.version_info[:3])))
    assert finding(report, "torch").found.startswith(f"{torch.__version__}, with")
    assert "codec.pth, coarse.pth, c2f.pth" in finding(report, "checkpoint files").found
    for one in report.findings:
        assert f"<td style='text-align:left'>{one.what}</td>" in report._repr_html_()


def test_environment_names_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # the import fails
    monkeypatch.setattr("helpers.vampnet.files.course_checkpoints", lambda: ROOT / "no_such_folder")
    monkeypatch.setattr(computer, "LEAST_DISK", 1 << 60)
    report = computer.environment()
    assert not report.good
    assert report.summary().endswith("need attention: onnxruntime, free disk space, checkpoint files.")
    assert "course.py setup" in finding(report, "onnxruntime").to_do
    assert "no_such_folder" in finding(report, "checkpoint files").found
    assert str(report).count("needs attention: ") == 3


def test_environment_names_wrong_versions(monkeypatch):
    real = computer.importlib.metadata.version
    versions = {"torch": "2.12.0", "scipy": "0.9"}
    monkeypatch.setattr(computer.importlib.metadata, "version", lambda name: versions.get(name) or real(name))
    report = computer.environment()
    assert finding(report, "torch").found.startswith("2.12.0")
    assert finding(report, "torch").to_do.startswith("the course needs >=2.13,<2.14: ")
    assert finding(report, "other packages").found == "scipy is 0.9, not >=1.15,<2"


@pytest.mark.parametrize("version, bounds, good", [
    ("2.13.0+cpu", ">=2.13,<2.14", True),
    ("2.13", ">=2.13.0", True),
    ("2.14.0", ">=2.13,<2.14", False),
    ("2.9.1", ">=2.13", False),
    ("1.10.0rc1", ">=1.9,<2", True),
])  # fmt: skip
def test_versions_are_compared_as_numbers(version, bounds, good):
    assert computer.within(version, bounds) is good
