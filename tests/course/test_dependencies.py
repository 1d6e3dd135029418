"""pyproject.toml, requirements.lock, environment.yml and the imports in the code name the same packages."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / "environment.yml").read_text(encoding="utf-8")
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {  # sys_platform: os_name, machines
    "linux": ("posix", ("x86_64", "aarch64")),
    "darwin": ("posix", ("arm64",)),
    "win32": ("nt", ("AMD64",)),
}


def declared():
    """Name -> requirement of everything in pyproject.toml, the tests' packages included."""
    project = PYPROJECT["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["test"]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def locked():
    """Requirements of requirements.lock in order."""
    return [Requirement(line) for line in LOCK.splitlines() if re.match(r"[a-zA-Z0-9]", line)]


def environments():
    """Marker variables of every combination that the course runs on."""
    for system, (os_name, machines) in PLATFORMS.items():
        for machine in machines:
            for python in PYTHONS:
                yield default_environment() | {
                    "sys_platform": system,
                    "os_name": os_name,
                    "platform_machine": machine,
                    "python_version": python,
                    "python_full_version": f"{python}.0",
                    "implementation_name": "cpython",
                }


def described(environment):
    return "-".join(environment[key] for key in ("sys_platform", "platform_machine", "python_version"))


def conda_lines(section):
    """Entries of a list in environment.yml, at that indentation (a YAML parser is no dependency of ours)."""
    return re.findall(rf"^{section}- ([^:\n]+)$", ENVIRONMENT, re.MULTILINE)


def imported(directory):
    """Packages whose modules the code in a directory imports, inside functions too."""
    names = set()
    for path in sorted(directory.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return {canonicalize_name(name) for name in names - sys.stdlib_module_names - {"helpers"}}


def test_every_dependency_has_both_bounds():
    for name, requirement in declared().items():
        assert {s.operator for s in requirement.specifier} == {">=", "<"}, name


def test_every_dependency_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in declared().values():
        line = rf'^    "{re.escape(requirement.name)}[><=][^"]*",  # .{{10}}'
        assert re.search(line, text, re.MULTILINE), requirement.name


@pytest.mark.parametrize("environment", list(environments()), ids=described)
def test_every_dependency_is_pinned_once_within_its_bounds(environment):
    pins = [r for r in locked() if r.marker is None or r.marker.evaluate(environment)]
    assert all({s.operator for s in r.specifier} == {"=="} for r in pins)
    versions = {}
    for pin in pins:
        name = canonicalize_name(pin.name)
        assert name not in versions, f"{name} is pinned twice"
        versions[name] = next(iter(pin.specifier)).version
    for name, requirement in declared().items():
        assert requirement.specifier.contains(versions[name]), name


def test_torch_is_pinned_so_that_its_cpu_builds_fit():
    torch = next(r for r in locked() if r.name == "torch")
    assert torch.specifier.contains("2.13.0+cpu") and torch.specifier.contains("2.13.0")


def test_the_lock_brings_no_cuda_libraries():
    names = [r.name for r in locked()]
    assert [n for n in names if n.startswith(("nvidia", "cuda", "triton"))] == []


def test_the_lock_says_how_it_was_made_and_names_no_host():
    head = LOCK.split("\n\n")[0].splitlines()
    command = next(line for line in head if "uv pip compile" in line)
    assert {"--universal", "--extra", "test", "pyproject.toml"} <= set(command.split())
    assert "://" not in LOCK and "--index-url" not in LOCK and "--find-links" not in LOCK


def test_conda_gets_the_same_packages_with_the_same_bounds():
    pip = [line for line in conda_lines("      ") if not line.startswith("-")]
    assert sorted(pip) == sorted(f"{r.name}{bounds(r)}" for r in declared().values())


def test_conda_gets_the_same_python_the_locked_versions_and_the_package():
    assert f"python{PYPROJECT['project']['requires-python']}" in conda_lines("  ")
    assert {"-c requirements.lock", "-e ."} <= set(conda_lines("      "))
    assert f"name: {PYPROJECT['project']['name']}\n" in ENVIRONMENT


def bounds(requirement):
    """A requirement's bounds, the lower one first."""
    return ",".join(sorted(map(str, requirement.specifier), reverse=True))


def test_helpers_import_only_what_is_declared():
    runtime = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["dependencies"]}
    named_otherwise = {"yaml": "pyyaml", "pil": "pillow"}
    assert {named_otherwise.get(name, name) for name in imported(ROOT / "helpers")} <= runtime
