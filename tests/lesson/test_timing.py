"""Races and profiles: what they count; never how long anything takes."""

import numpy as np
import pytest

from helpers.lesson.timing import Race, operators, race


def test_versions_take_turns_after_one_run_each():
    ran = []
    result = race({name: lambda name=name: ran.append(name) for name in "ab"}, rounds=3)
    assert ran == ["a", "b"] * 4
    assert {name: len(seconds) for name, seconds in result.seconds.items()} == {"a": 3, "b": 3}


def test_ratios_are_of_medians_and_to_the_first():
    result = Race({"slow": np.array([1.0, 2.0, 90.0]), "fast": np.array([0.5, 0.1, 0.5])})
    assert result.ratio("slow") == 1 and result.ratio("fast") == pytest.approx(4)
    assert result.cells()[1] == ("fast", "500.0", "300.0 to 500.0", "4.00")
    assert "3 rounds" in str(result) and "beside slow" in result._repr_html_()


def test_a_profile_counts_every_operator(bundle, capfd):
    codes = np.zeros((1, 4, 9), np.int64)
    found = operators(bundle / "coarse.onnx", codes, runs=2)
    assert found.nodes["MatMul"] == 3 * 6 + 2 and found.nodes["Attention"] == 3
    assert list(found.milliseconds.values()) == sorted(found.milliseconds.values(), reverse=True)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert len(found.cells()) == len(found.nodes)
    assert capfd.readouterr().err == ""
