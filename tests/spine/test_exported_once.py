"""What spares the tests an export is no shortcut: the same file, and only for the same module."""

import exported_once
import onnx_ir as ir
import pytest
import torch
from torch import nn

from helpers.export.bundle import save_graph
from helpers.export.graph import GraphToExport, to_onnx
from helpers.layers import Snake


def graph(module):
    return GraphToExport(module, {"x": torch.ones(2, 3, 4)}, ["y"], {"x": {0: "batch", 2: "frames"}})


@pytest.fixture
def snake():
    module = Snake(3)
    with torch.no_grad():
        module.alpha.copy_(torch.arange(1.0, 4).reshape(module.alpha.shape))
    return module


def test_the_second_export_is_the_first_ones_file(snake, tmp_path):
    asked = []
    looked_up = exported_once.once(
        lambda graph, opset: asked.append(graph) or to_onnx(graph, opset), tmp_path
    )
    for name in ("first.onnx", "second.onnx"):
        save_graph(looked_up(graph(snake), 23), tmp_path / name, {"graph": "snake"})
    assert len(asked) == 1
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert (
        isinstance(looked_up(graph(snake), 18), ir.Model) and len(asked) == 2
    )  # another opset is another file


def test_what_changes_the_graph_changes_the_fingerprint(snake):
    found = {exported_once.fingerprint(graph(snake), (23,))}
    snake.extra = 1
    found.add(exported_once.fingerprint(graph(snake), (23,)))
    snake.alpha.data += 1
    found.add(exported_once.fingerprint(graph(snake), (23,)))
    found.add(exported_once.fingerprint(graph(nn.Sequential(snake)), (23,)))
    assert len(found) == 4


def test_what_a_test_or_a_reader_wrote_is_exported_each_time(tmp_path):
    class Snake(nn.Module):
        def forward(self, x):
            return x + 1

    with pytest.raises(TypeError):
        exported_once.fingerprint(graph(Snake()), (23,))
    made = exported_once.once(lambda graph, opset: object(), tmp_path)
    assert made(graph(Snake()), 23) is not made(graph(Snake()), 23) and not list(tmp_path.iterdir())
