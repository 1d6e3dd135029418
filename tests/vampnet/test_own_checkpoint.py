"""A reader's own checkpoint: one setting takes each notebook to it, whatever its shapes."""

import re

import pytest

from helpers.vampnet.files import GOLDEN
from tests.course.test_notebooks import NOTEBOOKS, SETTING, cells, executed, text_of

TRAINS = "90_train_a_small_codec"  # a model of its own; the checkpoint is only listened to


def settings(path):
    return sum(cell.source.count(SETTING) for cell in cells(path, "code"))


OPENING = [path for path in NOTEBOOKS if settings(path) and path.stem != TRAINS]


def test_most_notebooks_open_a_checkpoint():
    assert len(OPENING) == 8


@pytest.mark.slow
@pytest.mark.parametrize("path", OPENING, ids=lambda path: path.stem)
def test_one_setting_takes_the_notebook_to_another_checkpoint(path):
    assert settings(path) == 1
    seen = ""
    for cell in executed(path, checkpoint=GOLDEN).cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", f"'{cell.id}' prints to stderr: {output.text}"
            seen += text_of(output)
    assert set(re.findall(r"equal tokens: (\S+)", seen)) <= {"100.00%"}
