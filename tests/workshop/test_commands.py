"""The workshop's commands end as the others do: a mistake is one line, told before the work."""

import pytest

from workshop import __main__ as workshop

EVERY = [(command, model) for command, models in workshop.COMMANDS.items() for model in models]


def is_refused(capsys, *arguments):
    """What it says in its one line."""
    assert workshop.main([str(one) for one in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and err[:-1].isprintable(), err
    return err


@pytest.mark.parametrize("arguments", [["zebra"], ["\x1b[2J\n", "vampnet"], ["bench"], ["bench", "\x1b"]])
def test_a_command_that_is_none_is_told(capsys, arguments):
    assert any(name in is_refused(capsys, *arguments) for name in ("streaming", "vampnet"))


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_without_a_command_all_are_listed(capsys, arguments):
    assert workshop.main(arguments) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in workshop.COMMANDS)


@pytest.mark.parametrize("command, model", EVERY)
def test_an_option_that_is_none_is_told(capsys, command, model):
    is_refused(capsys, command, model, "--zebra\x1b[2J")


@pytest.mark.parametrize(
    "command, options",
    [
        ("bench", ["--rounds", "0"]), ("bench", ["--seconds", "nan"]), ("bench", ["--threads", "1e3"]),
        ("quality", ["--clips", "-1"]), ("streaming", ["--bundle", "b", "--rounds", "9" * 30]),
        ("checkpoints", ["somewhere", "--layers", "0"]), ("checkpoints", ["somewhere", "--seed", "-1"]),
        ("train", ["all", "--music", "m", "--out", "o", "--minutes", "inf"]),
        ("train", ["all", "--music", "m", "--out", "o", "--steps", "0"]),
        ("train", ["coarse", "--music", "m", "--out", "o", "--steps", "1", "--versions", "0"]),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_told(capsys, tmp_path, monkeypatch, command, options):
    monkeypatch.chdir(tmp_path)
    assert "it should be a" in is_refused(capsys, command, "vampnet", *options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command, options",
    [
        ("bench", ["--json", "taken"]), ("bench", ["--json", "x", "--markdown", "./x"]),
        ("bench", ["--picture", "picture.xyz"]), ("quality", ["--markdown", "taken"]),
        ("streaming", ["--bundle", "none", "--markdown", "taken"]), ("evaluate", ["--json", "taken"]),
        ("checkpoints", ["models"]), ("evaluate", ["--record-opus", "models/codec.pth"]),
    ],
)  # fmt: skip
def test_outputs_are_tried_before_the_work_and_models_stay(capsys, tmp_path, monkeypatch, command, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "codec.pth").write_text("trained for days")
    is_refused(capsys, command, "vampnet", *options)
    assert (tmp_path / "models" / "codec.pth").read_text() == "trained for days"
    assert len(list(tmp_path.rglob("*"))) == 3
