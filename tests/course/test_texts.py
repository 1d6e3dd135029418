"""What the texts beside the notebooks claim is so: licences, files, commands, and messages word for word."""

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

import course
from helpers.__main__ import parser

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_names_this_version_and_licence():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == PROJECT["version"]
    assert citation["abstract"] == PROJECT["description"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License\n")


def test_data_and_checkpoint_are_dedicated_to_the_public():
    for name in (
        "data/README.md",
        "data/clips/README.md",
        "models/vampnet/README.md",
        "models/follower/README.md",
        "models/classify/README.md",
    ):
        assert re.search(r"CC0\s+1\.0", read(name)), name


def test_contributing_names_files_that_exist():
    for path in re.findall(r"`((?:notebooks|tests|helpers|teaching)/[\w./]+)`", read("CONTRIBUTING.md")):
        if "NN_" not in path:
            assert (ROOT / path).exists(), path


def test_teaching_has_a_part_for_every_notebook_and_real_commands():
    text = read("notebooks/TEACHING.md")
    parts = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        title = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        heading = "".join(title).split("\n")[0].removeprefix("# ")
        assert heading in parts, f"TEACHING.md says nothing about {heading}"
    for part in [part for heading, part in parts.items() if re.match(r"\d\d ", heading)]:
        assert all(f"**{word}.**" in part for word in ("Demonstrate", "Where people stumble", "They ask"))
        assert part.count("\n- *") >= 2, part[:40]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "notebooks/TEACHING.md"])
def test_every_command_of_course_py_is_one(name):
    commands = re.findall(r"^python course\.py ?([^#\n]*)", read(name), re.MULTILINE)
    assert commands
    for arguments in commands:
        course.parse(arguments.split())


@pytest.mark.parametrize("name", ["README.md", "models/vampnet/README.md", "models/musicgen/README.md"])
def test_every_command_of_helpers_is_one(name):
    commands = re.findall(r"^python -m helpers ([^#\n]*)", read(name), re.MULTILINE)
    assert commands or name != "README.md"
    for arguments in commands:
        assert parser().parse_args(shlex.split(arguments)).run


def test_python_in_the_readme_is_python():
    blocks = re.findall(r"^```python\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    assert blocks and all(map(ast.parse, blocks))


def said_in_code():
    """Every text in the code, as it is printed: parts that are filled in are an ellipsis."""
    texts = []
    for path in [ROOT / "course.py", *(ROOT / "helpers").rglob("*.py"), *(ROOT / "teaching").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.append(re.sub("…[.…]*…", "…", "".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_every_message_in_the_readme_is_one():
    texts = said_in_code()
    table = read("README.md").split("| it says | do this |")[1].split("\n\n")[0]
    messages = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(messages) >= 15
    assert [message for message in messages if not any(message in text for text in texts)] == []


def test_the_readme_shows_small_pictures_and_links_to_what_exists():
    text = read("README.md")
    pictures = [ROOT / path for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)]
    assert len(pictures) == 3 and sum(path.stat().st_size for path in pictures) < 400_000
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / path).exists(), path


def test_the_readme_has_the_map_of_the_first_notebook():
    first = json.loads(read("notebooks/00_start_here.ipynb"))["cells"]
    course_map = "".join(next(cell["source"] for cell in first if cell["id"] == "map"))
    names = re.findall(r"^\| \[?(\d\d [^|\]]+?)(?:\]| \|)", course_map, re.MULTILINE)
    assert len(names) == 33
    assert re.findall(r"^\| \[?(\d\d [^|\]]+?)(?:\]| \|)", read("README.md"), re.MULTILINE) == names
