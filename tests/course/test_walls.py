"""The walls of the house: which module may import which (the contracts are in pyproject.toml)."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import rooms

ROOT = Path(__file__).resolve().parents[2]
DOORS = {
    "files": ("recognises", "LOOKS_LIKE", "describe", "sources"),
    "weights": ("load_models",),
    "graphs": ("export_bundle",),
    "proof": ("verify_bundle",),
    "pipeline": ("Pipeline",),
    "reference": ("TorchPipeline",),
    "commands": ("export", "verify", "page", "add_commands", "add_options", "add_export_options", "WORKS"),
}
HEAVY = ("torch", "librosa", "matplotlib", "onnx")


def lint(*options):
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", *options], cwd=ROOT, capture_output=True, text=True
    )


def test_the_walls_hold():
    result = lint()
    assert result.returncode == 0, result.stdout


def test_a_broken_wall_is_told(tmp_path):
    """The contracts can fail: the other way round they do."""
    upside_down = """
[importlinter]
root_package = helpers
[importlinter:contract:floors]
name = floors
type = layers
layers =
    helpers.support
    helpers.vampnet
"""
    (tmp_path / "walls.ini").write_text(upside_down)
    result = lint("--config", str(tmp_path / "walls.ini"))
    assert result.returncode == 1 and "BROKEN" in result.stdout


@pytest.mark.parametrize("room", rooms.ROOMS)
def test_every_room_has_the_same_doors(room):
    promised = [(door, name) for door, names in DOORS.items() for name in names]
    assert not [pair for pair in promised if not hasattr(rooms.door(room, pair[0]), pair[1])]


def test_the_plan_names_the_doors_and_what_is_behind_each():
    plan = (ROOT / "helpers" / "README.md").read_text(encoding="utf-8")
    named = [*DOORS, *(name for names in DOORS.values() for name in names), *rooms.ROOMS]
    assert not [name for name in named if f"`{name}" not in plan]


@pytest.mark.parametrize("room", rooms.ROOMS)
def test_playing_a_bundle_imports_nothing_heavy(room):
    code = f"import sys, helpers.{room}.pipeline, helpers.{room}.commands, helpers.__main__\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"


def test_no_module_is_longer_than_a_sitting():
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "helpers").rglob("*.py")}
    assert not [str(path) for path, length in lengths.items() if length > 400]
