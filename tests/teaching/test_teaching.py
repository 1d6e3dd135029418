"""What a teacher does: a kit that installs without a network, clean notebooks, scores, pages with sound."""

import ast
import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
from packaging.markers import Marker
from refusals import refused

import course
from helpers.lesson.checks.verdict import MIME_TYPE, NOT_YET, RIGHT, WRONG
from helpers.lesson.widgets.grid import CodeGrid
from helpers.lesson.widgets.live import Live
from helpers.lesson.widgets.player import Player
from teaching import in_page, kit, originals, pages, scores
from tests.course.test_course import computer, place  # noqa: F401  (computer is a fixture)
from tests.course.test_dependencies import LOCK, environments

ROOT = Path(course.__file__).parent
LINUX = kit.Target("linux-x86_64", "3.12", [2, 28])
RATE = 8000


def write(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def notebook(heading, *code):
    cells = [nbformat.v4.new_markdown_cell(f"{heading}\n\nSome words.")]
    return nbformat.v4.new_notebook(cells=cells + [nbformat.v4.new_code_cell(source) for source in code])


@pytest.mark.parametrize("module", ["__init__", "kit", "originals", "scores", "serve"])
def test_what_runs_before_anything_is_installed_needs_the_standard_library_only(module):
    statement = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; import teaching."
    command = [sys.executable, "-S", "-c", statement + module.replace("__init__", "scores")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- The kit ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """A course of one notebook and one package, made here as a wheel; nothing can be fetched for it."""
    root = tmp_path / "course"
    place(monkeypatch, root)
    write(root / "notebooks" / "00_start_here.ipynb", nbformat.writes(notebook("# 00 Start here")))
    write(root / "models" / "codec.pth", "weights")
    write(root / "requirements.lock", "course-test-package==1.0\nfor-others==1 ; sys_platform == 'nowhere'\n")
    for path in (".gitignore", "requirements.lock"):
        if not (root / path).exists():
            write(root / path, (ROOT / path).read_text(encoding="utf-8"))
    for ignored in (
        ".venv/pyvenv.cfg", "build/x", "models/mine/codec.pth", "models/x.state", "music/a.flac",
        "helpers/__pycache__/a.pyc", "my_work/a.ipynb", "notebooks/.ipynb_checkpoints/a.ipynb",
        "in.wav", "small/coarse.onnx", "handed_in/ann/01_inside.ipynb",
    ):  # fmt: skip
        write(root / ignored)
    write(root / "data" / "music" / "compose.py")
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "course_test_package-1.0-py3-none-any.whl", "w") as wheel:
        folder = "course_test_package-1.0.dist-info"
        wheel.writestr("course_test_package.py", "WORKS = True\n")
        wheel.writestr(
            f"{folder}/METADATA", "Metadata-Version: 2.1\nName: course-test-package\nVersion: 1.0\n"
        )
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv(course.INDEX_VARIABLE, "")
    originals.keep(root)
    return root


def test_a_kit_installs_without_a_network(small_course, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "kit"
    with pytest.MonkeyPatch.context() as ready:  # the teacher's environment is set up: this one
        ready.setattr(course, "set_up", lambda: None)
        ready.setattr(course, "venv_python", lambda: sys.executable)
        assert course.main(["pack", str(folder)]) == 0, capsys.readouterr().err
    assert f"{folder} is ready" in capsys.readouterr().out
    assert [path.name for path in (folder / "wheels").glob("*.whl")] == [
        "course_test_package-1.0-py3-none-any.whl"
    ]

    monkeypatch.delenv("PIP_FIND_LINKS")
    place(monkeypatch, folder)
    assert course.main(["--wheels", str(folder / "wheels"), "setup"]) == 0, capsys.readouterr().err
    statement = "import course_test_package; assert course_test_package.WORKS"
    subprocess.run([course.venv_python(), "-c", statement], cwd="/", check=True)


@pytest.mark.parametrize("order", [["setup", "--wheels"], ["--wheels"]])
def test_the_wheels_of_another_computer_are_refused(small_course, tmp_path, capsys, order):
    wheels = tmp_path / "wheels"
    write(wheels / "a-1-py3-none-any.whl")
    write(wheels / kit.NOTE, json.dumps(["windows-amd64, Python 3.99"]))
    (small_course / ".venv" / "pyvenv.cfg").unlink()
    assert course.main([*order, str(wheels)]) == 2
    assert "are for windows-amd64, Python 3.99, and this is" in capsys.readouterr().err
    assert course.main([*order, str(small_course)]) == 2
    assert "holds no wheels" in capsys.readouterr().err


def test_a_kit_holds_what_belongs_to_the_course(small_course, tmp_path):
    clean = (small_course / "notebooks" / "00_start_here.ipynb").read_bytes()
    write(small_course / "notebooks" / "00_start_here.ipynb", "the teacher's answers")
    kit.copy_course(small_course, tmp_path / "kit")
    copied = {
        path.relative_to(tmp_path / "kit").as_posix()
        for path in (tmp_path / "kit").rglob("*")
        if path.is_file()
    }
    assert copied == {
        ".gitignore", "requirements.lock", "models/codec.pth", "data/music/compose.py",
        "notebooks/00_start_here.ipynb", "notebooks/.originals.zip",
    }  # fmt: skip
    assert (tmp_path / "kit" / "notebooks" / "00_start_here.ipynb").read_bytes() == clean
    assert originals.originals(tmp_path / "kit") == originals.originals(small_course)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy is not a repository")
def test_a_kit_has_a_place_for_everything_in_the_repository():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {path.split("/")[0] for path in tracked.stdout.splitlines()} == set(kit.COURSE)


def test_a_kit_inside_the_course_does_not_swallow_itself(small_course):
    write(small_course / "kit" / "wheels" / "a.whl")
    kit.copy_course(small_course, small_course / "kit")
    assert (small_course / "kit" / "notebooks").is_dir() and not (small_course / "kit" / "kit").exists()


def test_a_kit_does_not_mix_with_other_files(tmp_path):
    write(tmp_path / "letters" / "a.txt")
    with refused("holds something else"):
        kit.check_folder(tmp_path / "letters")
    with refused("holds something else"):
        kit.check_folder(tmp_path / "letters" / "a.txt")
    (tmp_path / "letters" / "wheels").mkdir()
    kit.check_folder(tmp_path / "letters")
    kit.check_folder(tmp_path / "new")


def test_conditions_in_the_lock_are_read_as_pip_does():
    names = {markers: platform for platform, markers in kit.MARKERS.items()}
    for environment in environments():
        key = tuple(environment[name] for name in ("sys_platform", "os_name", "platform_machine"))
        expected = []
        for line in LOCK.splitlines():
            pin, _, marker = line.partition(" ;")
            if re.match(r"[a-z]", line) and (not marker or Marker(marker).evaluate(environment)):
                expected.append(pin)
        assert kit.Target(names[key], environment["python_version"]).requirements(LOCK) == expected


def test_every_platform_of_the_course_can_have_a_kit():
    assert {course.platform_name(*key) for key in course.PLATFORMS} == set(kit.MARKERS)
    assert course.PYTHONS[0] == "{}.{}".format(*course.OLDEST)
    assert course.PYTHONS[-1] == "{}.{}".format(*course.NEWEST)


def test_wheels_are_asked_for_by_the_oldest_system():
    tags = LINUX.tags()
    assert tags[:2] == ["--platform", "manylinux_2_28_x86_64"] and "manylinux2014_x86_64" in tags
    assert tags[-2:] == ["--python-version", "3.12"] and "manylinux_2_29_x86_64" not in tags
    assert kit.Target("darwin-arm64", "3.11", [14]).tags()[1] == "macosx_14_0_arm64"
    assert kit.Target("windows-amd64", "3.13").tags()[1] == "win_amd64"


def test_a_second_platform_is_added_to_a_kit(small_course, tmp_path):
    commands = []
    for target in (LINUX, kit.Target("windows-amd64", "3.11")):
        kit.write(small_course, tmp_path / "kit", target, None, lambda *line: commands.append(line), False)
    assert kit.noted(tmp_path / "kit" / "wheels") == [
        "linux-x86_64, Python 3.12",
        "windows-amd64, Python 3.11",
    ]
    assert [line[0] for line in commands] == ["download", "download"]
    assert commands[0][-1] == "course-test-package==1.0" and "--no-deps" in commands[0]


# --- Clean notebooks --------------------------------------------------------------------------------------


@pytest.fixture
def three_notebooks(tmp_path):
    root = tmp_path / "course"
    for name in ("00_start_here", "01_inside", "solutions/01_inside"):
        write(root / "notebooks" / f"{name}.ipynb", f"clean {name}")
    return root


def clone(root):
    for line in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", "-C", str(root), *line], check=True)


@pytest.mark.parametrize("with_git", [True, False])
def test_reset_gives_clean_notebooks_and_keeps_the_work(three_notebooks, capsys, with_git):
    root, folder = three_notebooks, three_notebooks / "notebooks"
    if with_git:
        clone(root)
    originals.keep(root)
    assert (root / originals.ARCHIVE).exists() is not with_git
    write(folder / "00_start_here.ipynb", "my answers")
    write(folder / "mine.ipynb", "my own")
    (folder / "01_inside.ipynb").unlink()
    originals.reset(root)
    (kept,) = (root / "my_work").rglob("*.ipynb")
    assert kept.read_text() == "my answers" and kept.name == "00_start_here.ipynb"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", kept.relative_to(root / "my_work").parts[0])
    assert [path.read_text() for path in sorted(folder.glob("*.ipynb"))] == [
        "clean 00_start_here", "clean 01_inside", "my own",
    ]  # fmt: skip
    assert f"What you had is in {kept.parents[1].relative_to(root)}" in capsys.readouterr().out
    originals.reset(root)
    assert capsys.readouterr().out == "Every notebook is clean already.\n"


def test_one_notebook_can_be_reset_alone(three_notebooks, monkeypatch, capsys):
    originals.keep(three_notebooks)
    for name in ("00_start_here", "01_inside"):
        write(three_notebooks / "notebooks" / f"{name}.ipynb", "mine")
    place(monkeypatch, three_notebooks)
    assert course.main(["reset", "01"]) == 0
    assert (three_notebooks / "notebooks" / "00_start_here.ipynb").read_text() == "mine"
    assert (three_notebooks / "notebooks" / "01_inside.ipynb").read_text() == "clean 01_inside"
    assert course.main(["reset", "9"]) == 2
    assert "no notebook's name begins with 9" in capsys.readouterr().err


def test_what_is_no_file_is_not_reset(three_notebooks):
    originals.keep(three_notebooks)
    path = three_notebooks / "notebooks" / "01_inside.ipynb"
    write(three_notebooks / "notebooks" / "00_start_here.ipynb", "my answers")
    for make in (path.mkdir, *([lambda: os.mkfifo(path)] if hasattr(os, "mkfifo") else [])):
        path.unlink() if path.is_file() else None
        make()
        with refused("01_inside.ipynb is no file"):
            originals.reset(three_notebooks)
        path.rmdir() if path.is_dir() else path.unlink()
    assert (three_notebooks / "notebooks" / "00_start_here.ipynb").read_text() == "my answers"


def test_what_is_set_aside_first_stays(three_notebooks):
    originals.keep(three_notebooks)
    write(three_notebooks / "notebooks" / "01_inside.ipynb", "my answers")
    originals.keep(three_notebooks)
    assert originals.originals(three_notebooks)["notebooks/01_inside.ipynb"] == b"clean 01_inside"


def test_without_clean_copies_nothing_is_touched(three_notebooks):
    with refused("no clean notebooks to give back"):
        originals.reset(three_notebooks)


def test_the_course_s_own_notebooks_can_be_reset():
    found = originals.originals(ROOT)
    assert (
        "notebooks/00_start_here.ipynb" in found
        and "notebooks/solutions/01_inside_a_checkpoint.ipynb" in found
    )


# --- Scores -----------------------------------------------------------------------------------------------

HEADING = "# 01 Inside a checkpoint"


@pytest.fixture
def asking(tmp_path):
    """A course with one notebook that checks two exercises, and its path."""
    path = tmp_path / "course" / "notebooks" / "01_inside_a_checkpoint.ipynb"
    content = notebook(HEADING, "checks.environment()", "x = ...\nchecks.bitrate(x)", "checks.folded(x)")
    write(path, nbformat.writes(content))
    return tmp_path / "course"


def handed_in(path, **states):
    """A student's copy whose checks answered so; without any, one that was not run."""
    copy = notebook(HEADING, "checks.environment()", "x = 3\nchecks.bitrate(x)", "checks.folded(x)")
    for cell in copy.cells[1:]:
        for exercise, state in states.items():
            if f"checks.{exercise}(" in cell.source:
                data = {"text/plain": state, MIME_TYPE: {"exercise": exercise, "state": state}}
                cell.outputs = [nbformat.v4.new_output("execute_result", data=data, execution_count=1)]
                cell.execution_count = 1
    write(path, nbformat.writes(copy))


def test_scores_are_a_row_a_student_and_a_column_an_exercise(asking, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "handed_in"
    handed_in(folder / "anna" / "renamed.ipynb", bitrate=RIGHT, folded=WRONG)
    handed_in(folder / "01_inside_a_checkpoint-ben.ipynb", bitrate=NOT_YET)
    handed_in(folder / "carla" / "01_inside_a_checkpoint.ipynb")
    write(folder / "carla" / ".ipynb_checkpoints" / "01_inside_a_checkpoint.ipynb")
    place(monkeypatch, asking)
    assert course.main(["scores", str(folder)]) == 0
    with open(folder / "scores.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["student", "right", "01 bitrate", "01 folded"],
        ["anna", "1", RIGHT, WRONG],
        ["ben", "0", NOT_YET, scores.NOT_RUN],
        ["carla", "0", scores.NOT_RUN, scores.NOT_RUN],
    ]
    printed = capsys.readouterr().out
    assert "carla/01_inside_a_checkpoint.ipynb: not run, or saved without what it showed" in printed
    assert "nothing was run here" in printed and printed.count("not run, or") == 1


def test_other_people_s_files_are_not_executed_and_can_not_break_the_table(asking, tmp_path):
    folder, trap = tmp_path / "handed_in", tmp_path / "trap"
    handed_in(folder / "anna.ipynb", bitrate=RIGHT)
    copy = notebook(HEADING, f"open({str(trap)!r}, 'w')\nchecks.bitrate(3)")
    forged = {MIME_TYPE: {"exercise": "bitrate", "state": "\x1b[2Jexcellent"}}
    copy.cells[1].outputs = [nbformat.v4.new_output("display_data", data=forged)]
    write(folder / "=cmd\x1b[2J.ipynb", nbformat.writes(copy))
    for name, content in {
        "empty": "", "list": "[]", "deep": "[" * 100_000, "cells": '{"cells": [3]}', "binary": "\x00\x01",
        "odd": json.dumps({"cells": [{"cell_type": "markdown", "source": HEADING},
                                     {"cell_type": "code", "source": 3, "outputs": {"data": 1}}]}),
        "letter": nbformat.writes(notebook("# Dear teacher")),
    }.items():  # fmt: skip
        write(folder / f"{name}.ipynb", content)
    found = scores.collect(asking, folder)
    assert not trap.exists()
    assert set(found.rows) == {"anna", "=cmd?[2J"}
    assert found.rows["=cmd?[2J"]["01", "bitrate"] == scores.NOT_RUN
    left_out = [remark for remark in found.remarks if "left out" in remark]
    assert len(left_out) == 7 and "\x1b" not in str(found)
    scores.write_csv(found, tmp_path / "scores.csv")
    assert "'=cmd?[2J" in (tmp_path / "scores.csv").read_text(encoding="utf-8-sig")


def test_the_table_replaces_nothing_that_was_handed_in(asking, tmp_path):
    folder = tmp_path / "handed_in"
    handed_in(folder / "anna.ipynb", bitrate=RIGHT)
    before = (folder / "anna.ipynb").read_bytes()
    with refused("the same file"):
        scores.report(asking, folder, folder / ".." / "handed_in" / "anna.ipynb")
    (folder / "scores.csv").symlink_to(tmp_path / "grades.csv")
    with refused("is a link"):
        scores.report(asking, folder, folder / "scores.csv")
    assert (folder / "anna.ipynb").read_bytes() == before and not (tmp_path / "grades.csv").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes, links and devices of POSIX")
def test_what_is_no_notebook_file_is_neither_read_nor_followed(asking, tmp_path):
    folder = tmp_path / "handed_in"
    handed_in(folder / "anna.ipynb", bitrate=RIGHT)
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "endless.ipynb").symlink_to("/dev/zero")
    (folder / "circle").symlink_to(folder)
    (folder / "folder.ipynb").mkdir()
    found = scores.collect(asking, folder)
    assert set(found.rows) == {"anna"}
    assert len([remark for remark in found.remarks if "left out" in remark]) == 3


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_who_has_heard_enough_is_no_error(tmp_path):
    (tmp_path / "anna.ipynb").write_bytes(next((ROOT / "notebooks").glob("01_*.ipynb")).read_bytes())
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "course.py", "scores", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_two_copies_of_one_student_are_two_rows(asking, tmp_path):
    handed_in(tmp_path / "in" / "anna" / "first.ipynb", bitrate=WRONG)
    handed_in(tmp_path / "in" / "anna" / "second.ipynb", bitrate=RIGHT)
    found = scores.collect(asking, tmp_path / "in")
    assert {student: row["01", "bitrate"] for student, row in found.rows.items()} == {
        "anna": WRONG,
        "anna (2)": RIGHT,
    }


def test_a_folder_without_copies_is_said(asking, tmp_path):
    with refused("is not a folder"):
        scores.collect(asking, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with refused("no copy of the course's notebooks", ".ipynb"):
        scores.collect(asking, tmp_path / "empty")


def test_a_result_counts_only_where_its_check_is_called():
    cell = {"source": "print('hello')", "outputs": [{"data": {MIME_TYPE: {"exercise": "a", "state": RIGHT}}}]}
    assert list(scores.verdicts(cell)) == []
    assert list(scores.verdicts(cell | {"source": ["checks.a(", "1)"]})) == [("a", RIGHT)]


def test_the_course_s_own_notebooks_name_their_exercises():
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        found = scores.exercises(path)
        assert 2 <= len(found.names) <= 6 and found.heading.startswith(f"# {found.number} ")


# --- Pages ------------------------------------------------------------------------------------------------


def tone(level):
    return level * np.sin(np.arange(RATE) * 0.3)


def data_of(page):
    """What the first player of a page plays."""
    return json.loads(
        re.search(r'class="page-player"><script type="application/json">(.*?)</script>', page)[1]
    )


def test_a_player_goes_into_a_page_with_all_its_sound():
    shown = Player({"first": tone(0.5), "</script>": tone(0.25)}, RATE)
    data = data_of(in_page.as_html(shown))
    assert data["names"] == data["state"]["labels"] == ["first", "</script>"]
    for packed, sound in zip(data["sounds"], shown.sounds.values()):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(packed)), dtype="int16")
        assert rate == RATE
        assert abs(samples - 32768 * sound).max() <= 1.01
    assert base64.b64decode(data["pictures"][1]["png"]).startswith(b"\x89PNG")


def test_a_blind_test_stays_blind_in_a_page_until_it_is_answered():
    data = data_of(in_page.as_html(Player({"a": tone(0.5), "b": tone(0.2)}, RATE, blind="Which?", seed=1)))
    assert data["state"]["asks"] is True and data["state"]["labels"] == ["A", "B"]


def test_sliders_show_what_they_made_first():
    import ipywidgets

    def make(level, go_on):
        return Player({"only": tone(level)}, RATE)

    page = in_page.as_html(Live(make, level=ipywidgets.FloatSlider(0.5, min=0, max=1)))
    assert data_of(page)["names"] == ["only"] and "level 0.5" in page

    def fail(level, go_on):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_page.as_html(Live(fail, level=ipywidgets.FloatSlider(0.5)))


def test_other_widgets_show_their_still_picture_or_their_parts():
    import ipywidgets

    grid = CodeGrid(np.arange(12).reshape(3, 4), 57.0)
    assert 'src="data:image/png;base64,' in in_page.as_html(grid)
    both = in_page.as_html(ipywidgets.VBox([ipywidgets.IntSlider(3), grid, ipywidgets.Label("a < b")]))
    assert both.count("<img") == 1 and "<p>a &lt; b</p>" in both


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Pages of a course of two notebooks, the second with a player, a formula and links."""
    folder = tmp_path_factory.mktemp("pages")
    source = folder / "notebooks"
    map_cell = nbformat.v4.new_markdown_cell("## The map\n\n| [01 Two](01_two.ipynb) |\n| --- |", id="map")
    first = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 00 One"), map_cell])
    play = (
        "import numpy as np\nfrom helpers.lesson.widgets import Player\n"
        "Player({'a': np.full(4000, 0.1), 'b': np.full(4000, 0.2)}, 8000)"
    )
    second = notebook(
        "# 01 Two\n\n$$W = \\frac{v}{\\| v \\|}$$ [seed](GLOSSARY.md#seed) [one](00_start_here.ipynb)", play
    )
    write(source / "00_start_here.ipynb", nbformat.writes(first))
    write(source / "01_two.ipynb", nbformat.writes(second))
    write(source / "GLOSSARY.md", "# Glossary\n\n### seed\nA number. [One](00_start_here.ipynb)\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "NOTEBOOKS", source)
        pages.build(folder / "out", sorted(source.glob("*.ipynb")))
    return folder / "out"


def test_a_page_has_the_sound_the_player_and_working_links(built):
    page = (built / "01_two.html").read_text(encoding="utf-8")
    assert data_of(page)["names"] == ["a", "b"]
    assert "class Transport" in page and "class PageModel" in page and ".course-player" in page
    assert 'href="GLOSSARY.html#seed"' in page and 'href="00_start_here.html"' in page
    assert page.count('class="formula"') == 1 and "$$" not in page
    assert 'id="seed"' in (built / "GLOSSARY.html").read_text(encoding="utf-8")
    assert 'href="01_two.html"' in (built / "index.html").read_text(encoding="utf-8")


def test_pages_ask_for_nothing_outside_themselves(built):
    for path in built.glob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert re.findall(r"""(?:src|href)=["'](?:https?:)?//|@import|url\(""", page) == [], path.name
        assert set(re.findall(r'src="([^:]*):', page)) <= {"data"}


def test_a_page_without_a_player_has_no_script(built):
    assert "<script" not in (built / "GLOSSARY.html").read_text(encoding="utf-8")


def test_the_index_can_be_searched(built):
    page = (built / "index.html").read_text(encoding="utf-8")
    data = re.search(r'id="sections">(.*?)</script>', page, re.DOTALL)[1]
    found = {(one["page"], one["heading"]): one for one in json.loads(data)}
    assert set(found) == {("00 One", "00 One"), ("00 One", "The map"), ("01 Two", "01 Two"),
                          ("Glossary", "Glossary"), ("Glossary", "seed")}  # fmt: skip
    seed = found["Glossary", "seed"]
    assert seed["address"] == "GLOSSARY.html#seed" and seed["words"] == "A number. One"
    assert "W =" not in found["01 Two", "01 Two"]["words"]


@pytest.mark.parametrize("hostile", ["</script><script>alert(1)", "<img src=x onerror=alert(1)>"])
def test_what_is_searched_is_data(hostile):
    form = pages.search_form({"x.html": pages.prose(f"# A\n\n`{hostile}`")})
    assert form.count("</script>") == 2 and "<img" not in form and "alert(1)>" not in form


def test_pages_link_to_where_they_run_once_the_course_has_an_address(tmp_path):
    project = tmp_path / "pyproject.toml"
    write(project, '[tool.course]\nrepository = "https://github.com/me/course"\n')
    line = pages.Elsewhere(pages.repository(project)).links("03_x.ipynb")
    assert 'href="https://mybinder.org/v2/gh/me/course/main?labpath=notebooks/03_x.ipynb"' in line
    assert 'href="https://colab.research.google.com/github/me/course/blob/main/notebooks/03_x.ipynb"' in line
    assert pages.Elsewhere("").links("03_x.ipynb") == "" == pages.repository(ROOT / "pyproject.toml")
    write(project, '[tool.course]\nrepository = "javascript:alert(1)"\n')
    with refused("should be https://github.com/OWNER/NAME"):
        pages.repository(project)


@pytest.mark.browser
def test_the_search_finds_words_anywhere(built, chromium):
    page = chromium.new_page()
    page.goto((built / "index.html").as_uri())
    page.fill("#search", "a NUMBER")
    assert page.inner_text("#found a") == "Glossary: seed" and "A number" in page.inner_text("#found p")
    page.click("#found a")
    assert page.url.endswith("GLOSSARY.html#seed")
    page.go_back()
    page.fill("#search", "nowhere at all")
    assert page.inner_text("#found-count") == "0 sections" and page.locator("#found li").count() == 0


def test_a_notebook_that_fails_is_named(tmp_path, monkeypatch):
    write(tmp_path / "01_bad.ipynb", nbformat.writes(notebook("# 01 Bad", "1 / 0")))
    with refused("01_bad.ipynb stopped: ZeroDivisionError"):
        pages.executed(tmp_path / "01_bad.ipynb")


def test_the_formulas_of_the_course_can_be_drawn():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for tex in re.findall(r"\$\$(.+?)\$\$", cell.source, re.DOTALL):
                    assert pages.formula(tex).startswith("<img"), tex
    assert pages.formula(r"\unknown < 1") == r"<pre>\unknown &lt; 1</pre>"


def test_the_tools_can_be_read_by_the_oldest_python_of_the_course():
    for path in (ROOT / "teaching").glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=course.OLDEST)
