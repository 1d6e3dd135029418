"""The exam of notebook 08: a right file passes, and each wrong one is told what is wrong with it."""

import onnx
import pytest
import torch
from torch import nn

from helpers import checkpoints
from helpers.export.bundle import save_graph
from helpers.export.graph import GraphToExport, to_onnx
from helpers.lesson.checks import own
from helpers.lesson.checks.verdict import NOT_YET, RIGHT, WRONG

AXES = {0: "frames", 1: "batch"}


class Taps(nn.Module):
    """What `own.tapped` computes, and something done to its outputs."""

    def __init__(self, then=lambda begins, sounds, bands: (begins, sounds), **mistake):
        super().__init__()
        self.then, self.mistake, self.weights = then, mistake, own.tapper_weights()

    def forward(self, bands):
        return self.then(*own.tapped(bands, self.weights, **self.mistake), bands)


def to_come(begins, sounds, bands):
    """As if what is still to come were left out by a product with 0, after its weight was computed."""
    gap = torch.arange(bands.shape[0])[:, None] - torch.arange(bands.shape[0])
    return begins + (0.75**gap * (gap > 0)).sum() * 0, sounds


def file_of(folder, module, axes=AXES):
    named = dict.fromkeys(("bands", "begins", "sounds"), axes)
    graph = GraphToExport(module, {"bands": torch.zeros(64, 2, 24)}, ["begins", "sounds"], named)
    source = checkpoints.read(own.FILES / "tapper.pth").sha256()
    save_graph(to_onnx(graph), folder / "tapper.onnx", {"source": source}, external_data=False)
    return folder / "tapper.onnx"


def test_the_stub_is_no_attempt_and_the_right_file_is_right(tmp_path):
    assert own.exam(...).state == NOT_YET
    path = file_of(tmp_path, Taps())
    verdict = own.exam(path)
    assert verdict.state == RIGHT, verdict
    model = onnx.load(path)
    for source, why in (
        ("0", "checksum"),
        (checkpoints.read(own.FILES / "follower.pth").sha256(), "follower"),
    ):
        next(one for one in model.metadata_props if one.key == "source").value = source
        onnx.save(model, path)
        verdict = own.exam(path)
        assert verdict.state == WRONG and why in verdict.why
    del model.metadata_props[:]
    onnx.save(model, path)
    assert "does not say" in own.exam(path).why


@pytest.mark.parametrize("module, axes, why", [
    (Taps(lambda begins, sounds, _: (sounds, begins)), AXES, "changed places"),
    (Taps(lambda begins, sounds, _: (begins.sigmoid(), sounds.sigmoid())), AXES, "probabilities"),
    (Taps(lambda begins, sounds, _: (begins.T, sounds.T)), AXES, "time first"),
    (Taps(lambda begins, sounds, _: (2 * begins, sounds)), AXES, "part by part"),
    (Taps(to_come), AXES, "still to come"),
    (Taps(with_level=False), AXES, "`level`"),
    (Taps(past="after"), AXES, "comes after it"),
    (Taps(past="itself too"), AXES, "the frame itself"),
    (Taps(), {1: "batch"}, "how many frames is frozen"),
    (Taps(), {0: "frames"}, "how many sounds is frozen"),
])  # fmt: skip
def test_each_wrong_file_is_told_why(tmp_path, module, axes, why):
    verdict = own.exam(file_of(tmp_path, module, axes))
    assert verdict.state == WRONG and why in verdict.why


@pytest.mark.parametrize("answer", [3, "nowhere.onnx"])
def test_what_is_no_file_is_told_so(answer):
    assert own.exam(answer).state == WRONG


def test_the_course_goes_on_where_an_answer_is_not_right():
    assert own.or_ours(own.lora_scale, 3) == own.or_ours(own.lora_scale, ...) == 4
    mine = own.distance_bias
    assert own.or_ours(own.bias_rule, mine) is mine
    for name, ours in own.OURS.items():
        given = [{"input": {"mean": 1.0, "std": 2.0}}] if name == "input_norm" else []
        assert getattr(own, name)(ours(*given), *given).state == RIGHT
