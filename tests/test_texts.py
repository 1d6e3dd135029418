"""What the texts beside the notebooks claim is so: licences, files, commands, and messages word for word."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
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
    for name in ("data/README.md", "data/clips/README.md", "models/README.md"):
        assert re.search(r"CC0\s+1\.0", read(name)), name


def test_contributing_names_files_that_exist():
    for path in re.findall(r"`((?:notebooks|tests|helpers|teaching)/[\w./]+)`", read("CONTRIBUTING.md")):
        if "NN_" not in path and path != "notebooks/TEACHING.md":
            assert (ROOT / path).exists(), path
