"""One layer at a time: what is exported runs, what differs is called so, what can't be is explained."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.export.inspection import nodes
from helpers.lesson.layerwise import (
    compare_layer,
    export_layer,
    refusal,
    run_layer,
    together,
    trace_layer,
)
from helpers.support.errors import InputError

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
ANY = [{0: "batch", 1: "frames"}]


class Decides(nn.Module):
    def forward(self, x):
        return 2 * x if x.abs().max() < 1 else x


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """A layer with weights and its file, any batch and length."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    return layer, export_layer(layer, [X], tmp_path_factory.mktemp("layer") / "linear.onnx", ANY)


@pytest.mark.parametrize("shape", [(2, 5, 4), (1, 1, 4), (3, 50, 4)])
def test_an_exported_layer_gives_pytorchs_numbers(linear, shape):
    layer, path = linear
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(run_layer(path, x), layer(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    (row,) = compare_layer("linear", layer, path, x).rows
    assert row.verdict in ("exact", "close") and row.shapes == str(shape)


def test_another_layers_numbers_are_called_different(linear):
    _, path = linear
    report = compare_layer("linear", nn.Linear(4, 3), path, X)
    assert report.rows[0].verdict == "DIFFERENT" and "1 different" in report.summary()
    both = together(report, compare_layer("linear", linear[0], path, X))
    assert [row.verdict for row in both.rows][0] == "DIFFERENT" and len(both.rows) == 2


def test_a_size_that_was_frozen_is_refused_in_one_line(linear, tmp_path):
    path = export_layer(linear[0], [X], tmp_path / "frozen.onnx")
    with pytest.raises(InputError, match=r"^frozen\.onnx refuses \(1, 5, 4\): .*invalid dimensions") as error:
        run_layer(path, X[:1])
    assert "\n" not in str(error.value)


def test_a_trace_forgets_decisions_and_the_newer_exporter_refuses_them(tmp_path):
    small, large = 0.1 * torch.ones(1, 4), 3 * torch.ones(1, 4)
    path = trace_layer(Decides(), [small], tmp_path / "traced.onnx", [{0: "batch"}])
    assert compare_layer("traced", Decides(), path, small).rows[0].verdict == "exact"
    assert compare_layer("traced", Decides(), path, large).rows[0].verdict == "DIFFERENT"
    assert "data-dependent" in refusal(Decides(), [small])
    assert refusal(nn.Linear(4, 3), [small]) is None


def test_nodes_are_listed_with_the_sizes_of_their_weights(linear):
    lines = nodes(linear[1])
    assert any(line.startswith("MatMul") and "[4, 3]" in line for line in lines)
    assert any(line.startswith("Add") and "[3]" in line for line in lines)
