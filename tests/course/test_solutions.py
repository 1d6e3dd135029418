"""The solutions: one notebook for each with exercises, right and complete."""

import re

import pytest

from helpers.lesson.checks.verdict import RIGHT
from tests.course.test_notebooks import NOTEBOOKS, ROOT, cells, executed, verdicts

SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


def test_every_notebook_has_its_solutions():
    assert [path.name for path in SOLUTIONS] == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_the_solutions_are_right_and_complete(path):
    found = verdicts(executed(path))
    assert set(found.values()) == {RIGHT}, found
    source = "\n".join(cell.source for cell in cells(ROOT / "notebooks" / path.name, "code"))
    asked = set(re.findall(r"^checks\.(\w+)\(", source, re.MULTILINE)) - {"environment"}
    assert set(found) == asked
    assert 2 <= len(asked) <= 4
