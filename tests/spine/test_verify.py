"""When two sets of numbers are the same, and when a row of a certificate passes."""

import numpy as np
import pytest

from helpers.verify import Comparison, relative_difference


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_infinitely_far(bad):
    ours = np.ones((2, 3), np.float32)
    assert relative_difference(ours, ours * bad) == np.inf
    assert relative_difference(ours, ours[:1]) == np.inf


def test_a_row_passes_only_with_all_it_claims():
    assert Comparison("x", 1, 1, 10, 2, 2, 1e-5).passed
    assert not Comparison("x", 1, 1, 10, 2, 1, 1e-5).passed
    assert not Comparison("x", 1, 1, 10, 0, 0, 2e-4).passed
    assert not Comparison("x", 1, 1, 10, 0, 0, float("nan")).passed
