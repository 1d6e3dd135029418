"""Other runtimes: those that are installed give ONNX Runtime's tokens; what one can't do is a row."""

import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fabricate
import numpy as np
import pytest
from fabricate import Shape

from helpers.vampnet.graphs import export_bundle
from helpers.vampnet.weights import load_models
from workshop.__main__ import main
from workshop.vampnet.bench import runtimes
from workshop.vampnet.bench.conversions import RUNTIMES, Runtime
from workshop.vampnet.bench.runtimes import GRAPHS, Outcome, attempt, compared, markdown, takes, tried

SLOW = {"AOTInductor"}  # it compiles C++
TOOL = "a tool"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Tiny checkpoints."""
    return fabricate.checkpoints(tmp_path_factory.mktemp("checkpoints"), Shape())


@pytest.fixture(scope="module")
def given(home, tmp_path_factory):
    """Their graphs, by name."""
    bundle = export_bundle(load_models(home), tmp_path_factory.mktemp("bundle") / "b")
    return {part.name: part for part in runtimes.parts(home, bundle)}


@pytest.fixture
def tool(monkeypatch):
    """A function that puts a runtime of its own beside the others: it is given what converts."""
    return lambda convert: monkeypatch.setitem(RUNTIMES, TOOL, Runtime(("numpy",), convert))


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNTIMES]
)
def test_a_runtime_gives_the_same_where_it_is_installed(name, graph, given):
    try:
        [version(package) for package in RUNTIMES[name].packages]
    except PackageNotFoundError as error:
        pytest.skip(f"not installed: {error.name}")
    found = attempt(name, given[graph], rounds=1)
    assert found.n_bytes, found.note
    if name == "Core ML":
        assert found.share is None and found.ratio is None and "not run" in found.note
    elif "bfloat16" not in name:  # which rounds away tokens
        assert not found.note
        assert found.difference < 1e-3 if graph == "codec_decoder" else found.share > 0.99
        assert found.any_length == (name != "LiteRT")


def test_what_goes_in_is_a_clip_with_gaps(given, home):
    mask_token = load_models(home).coarse.config.vocab_size
    coarse, codes = given["coarse"].given, given["codec_decoder"].given
    assert 0.2 < (coarse == mask_token).mean() < 0.5 and not (codes == mask_token).any()
    assert given["codec_encoder"].shorter.shape[2] == given["coarse"].shorter.shape[2] * 8


def test_tokens_are_compared_and_sounds(given):
    logits = np.eye(4, dtype=np.float32)[None, None]
    assert compared("coarse", logits, 2 * logits) == {"share": 1}
    assert compared("coarse", logits, logits[..., [1, 0, 2, 3]]) == {"share": 0.5}
    assert compared("codec_encoder", np.array([1, 2]), np.array([1, 3])) == {"share": 0.5}
    assert compared("codec_decoder", np.array([1.0, 2.0]), np.array([1.0, 2.5])) == {"difference": 0.5}
    with pytest.raises(ValueError, match="shape"):
        compared("coarse", logits, logits[0])


def test_another_length_has_to_come_out_as_well(given):
    part = given["codec_encoder"]
    right = np.zeros(100, dtype=int)
    assert takes(part, lambda array: right, lambda array: right, {"share": 1.0})
    assert not takes(part, lambda array: right + 1, lambda array: right, {"share": 1.0})
    assert not takes(part, lambda array: right[1:], lambda array: right, {"share": 1.0})


def test_what_fails_is_a_row_with_the_first_line_of_the_error(tool, given, home):
    def convert(part, folder):
        raise NotImplementedError("no such node | here\nand much more")

    tool(convert)
    found = attempt(TOOL, given["coarse"], rounds=1)
    assert found.n_bytes is None and found.ratio is None and found.version == np.__version__
    text = markdown([found], home)
    assert (
        "| no |  |  |  |  | NotImplementedError: no such node \\| here |" in text and "much more" not in text
    )


def test_what_converts_and_does_not_run_says_both(tool, given):
    def convert(part, folder):
        (folder / "graph").write_bytes(bytes(2_000_000))
        return lambda array: array[:, :, 1:]

    tool(convert)
    found = attempt(TOOL, given["codec_encoder"], rounds=1)
    assert found.n_bytes == 2_000_000 and found.share is None and "shape" in found.note
    assert found.cells()[3] == "yes" and found.cells()[6] == "2.0"


def test_what_is_not_installed_says_how_to_get_it(monkeypatch, given):
    monkeypatch.setitem(RUNTIMES, TOOL, Runtime(("no-such-package-here",), None))
    (found,) = tried(TOOL, list(given.values()), 1, 1)
    assert found.note == "not installed: pip install no-such-package-here" and found.cells()[3] == "no"


class Ends:
    """What ends the process that reads it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_ends_or_takes_too_long_is_a_row(given):
    (late,) = tried("TorchScript", [given["coarse"]], 1, limit=0)
    (ended,) = tried("TorchScript", [replace(given["coarse"], onnx=Ends())], 1, limit=100)
    assert late.note == "not done after 0 s" and ended.note == "it ended its process"


def test_the_report_has_a_row_for_each_and_the_boards(home):
    rows = [
        Outcome("a", "1.0", "coarse", 20_000_000, share=1.0, any_length=True, ratio=0.5),
        Outcome("b", "2.0", "coarse", 20_000_000, share=0.987, any_length=False, ratio=2.0),
        Outcome("c", "3.0", "codec_decoder", 1, difference=2e-7),
    ]
    text = markdown(rows, home)
    assert "| a | 1.0 | coarse | yes | all | any | 20.0 | 0.50 |" in text
    assert "| 98.70% | the converted one | 20.0 | 2.00 |" in text and "sound within 2e-07" in text
    assert "not run" in text.partition("## Small boards")[2].partition("\n")[0]


def test_the_command_writes_the_report(monkeypatch, home, given, tmp_path):
    monkeypatch.setattr(runtimes, "tried", lambda name, *more: [Outcome(name, note="tried")])
    bundle = Path(given["coarse"].onnx).parent
    arguments = ["--checkpoints", str(home), "--bundle", str(bundle), "--markdown", str(tmp_path / "r.md")]
    assert main(["runtimes", "vampnet", *arguments]) == 0
    assert (tmp_path / "r.md").read_text().count("| tried |") == len(RUNTIMES)
