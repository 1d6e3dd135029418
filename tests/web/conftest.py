"""The page of the course's own model, and what opens pages in a Chromium."""

import pytest

from helpers.__main__ import main
from helpers.vampnet.files import MODELS


@pytest.fixture(scope="session")
def course_bundle(tmp_path_factory):
    """The course's own models exported."""
    from helpers.vampnet.graphs import export_bundle
    from helpers.vampnet.weights import load_models

    return export_bundle(load_models(MODELS), tmp_path_factory.mktemp("course") / "bundle")


@pytest.fixture(scope="session")
def course_page(course_bundle, tmp_path_factory):
    """Their page, as the command writes it."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert main(["page", str(course_bundle), "--out", str(path)]) == 0
    return path
