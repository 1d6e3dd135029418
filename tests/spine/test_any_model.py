"""A model that is in nobody's list, taken through with the spine's public names alone."""

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn import functional as F

from helpers.export.bundle import save_graph
from helpers.export.graph import GraphToExport, to_onnx
from helpers.quantize import write_smaller
from helpers.runtime.session import OnnxGraph
from helpers.support.files import ROOT
from helpers.transfer import Transfer
from helpers.verify import compare

WIDTH, BANDS, ALPHA, RANK = 48, 20, 16.0, 4


class Tracker(nn.Module):
    """Frames (time, B, bands), time first -> pitch logits (B, time, 12) and voicing (B, time)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.pitch = nn.Linear(WIDTH, 12)
        self.voicing = nn.Linear(WIDTH, 1)

    def forward(self, frames):
        x = F.gelu(self.conv(frames.permute(1, 2, 0))).transpose(1, 2)
        x = x + F.relu(self.mix(x))
        return self.pitch(x), self.voicing(x)[..., 0]


def stored(with_lora=True):
    """What a stranger's file holds (weight norm, a LoRA pair, other names), and the module it is of."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator) / 4

    tensors = {
        "net.0.weight_g": draw(WIDTH, 1, 1).abs() + 0.5, "net.0.weight_v": draw(WIDTH, BANDS, 3),
        "net.0.bias": draw(WIDTH), "mixer.weight": draw(WIDTH, WIDTH),
        "head_a.weight": draw(12, WIDTH), "head_a.bias": draw(12),
        "head_b.weight": draw(1, WIDTH), "head_b.bias": draw(1),
    }  # fmt: skip
    module = Tracker()
    v = tensors["net.0.weight_v"]
    module.conv.weight.data = tensors["net.0.weight_g"] * v / v.flatten(1).norm(dim=1)[:, None, None]
    module.conv.bias.data, module.mix.weight.data = tensors["net.0.bias"], tensors["mixer.weight"]
    module.pitch.load_state_dict({n: tensors[f"head_a.{n}"] for n in ("weight", "bias")})
    module.voicing.load_state_dict({n: tensors[f"head_b.{n}"] for n in ("weight", "bias")})
    if with_lora:
        tensors["mixer.lora_A"], tensors["mixer.lora_B"] = draw(RANK, WIDTH), draw(WIDTH, RANK)
        update = ALPHA / RANK * tensors["mixer.lora_B"] @ tensors["mixer.lora_A"]
        module.mix.weight.data = module.mix.weight.data + update
    return tensors, module.eval()


def moved(tensors, alpha=ALPHA):
    with torch.device("meta"):
        ours = Tracker()
    move = Transfer("tracker.pth", ours, tensors)
    move.conv("conv", "net.0")
    move.linear("mix", "mixer", alpha)
    for target, source in (("pitch", "head_a"), ("voicing", "head_b")):
        move.copy(f"{target}.weight", f"{source}.weight")
        move.copy(f"{target}.bias", f"{source}.bias")
    return ours, move.finish()


def exported(module, path):
    frames = torch.randn(5, 2, BANDS)
    axes = {"frames": {0: "time", 1: "batch"}, "pitch": {0: "batch", 1: "time"},
            "voicing": {0: "batch", 1: "time"}}  # fmt: skip
    graph = GraphToExport(module, {"frames": frames}, ["pitch", "voicing"], axes)
    save_graph(to_onnx(graph), path)
    return OnnxGraph(path)


def test_a_model_that_nobody_listed_is_taken_through(tmp_path):
    tensors, original = stored()
    ours, report = moved(tensors)
    assert sorted(report.sources) == sorted(tensors) and not report.unused
    graph = exported(ours, tmp_path / "tracker.onnx")
    for time, batch in ((1, 1), (7, 3), (64, 2)):
        rows = compare("tracker", original, graph, torch.randn(time, batch, BANDS))
        assert [row.passed for row in rows] == [True, True], rows
    outputs = graph.session.get_outputs()
    assert [one.shape for one in outputs] == [["batch", "time", 12], ["batch", "time"]]
    smaller = OnnxGraph(write_smaller(graph.path, tmp_path / "small.onnx", "int8"))
    rows = compare("small", original, smaller, torch.randn(9, 2, BANDS))
    assert all(1e-4 < row.difference < 0.2 for row in rows)  # it rounds, and it still computes the same thing


def test_the_lines_in_the_plan_of_helpers_run(tmp_path, monkeypatch, capsys):
    text = (ROOT / "helpers" / "README.md").read_text(encoding="utf-8")
    lines = text.split("```python\n")[1].split("```")[0]
    assert len(lines.splitlines()) <= 22
    tensors, original = stored()
    frames = torch.randn(7, 3, BANDS)
    names = {**globals(), "tensors": tensors, "original": original, "frames": frames}
    monkeypatch.chdir(tmp_path)
    exec(lines, names)
    assert f"{len(tensors)} of {len(tensors)} tensors accounted for" in capsys.readouterr().out
    rows = compare("tracker", original, OnnxGraph("tracker.onnx"), frames)
    assert [row.passed for row in rows] == [True, True]
    assert names["pitch"].shape == (3, 7, 12) and names["voicing"].shape == (3, 7)


class Chooser(nn.Module):
    """Several kinds of input: tokens (B, T) int64, which of them count (B, T) bool, a gain (B,) float32."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 6)

    def forward(self, tokens, counts, gain):
        chosen = self.table(tokens) * counts[..., None] * gain[:, None, None]
        return chosen.sum(1), chosen.argmax(-1), (chosen > 1).any(-1)


def asked(batch, time):
    return torch.randint(11, (batch, time)), torch.rand(batch, time) < 0.7, torch.rand(batch) + 1


def test_inputs_of_every_type_keep_the_axes_they_share(tmp_path):
    module, names = Chooser().eval(), ("tokens", "counts", "gain")
    places = {0: "batch", 1: "time"}
    axes = {"tokens": places, "counts": places, "gain": {0: "batch"},
            "sum": {0: "batch"}, "best": places, "loud": places}  # fmt: skip
    model = to_onnx(GraphToExport(module, dict(zip(names, asked(2, 5))), ["sum", "best", "loud"], axes))
    save_graph(model, tmp_path / "chooser.onnx")
    graph = OnnxGraph(tmp_path / "chooser.onnx")
    for batch, time in ((1, 1), (3, 8)):
        inputs = asked(batch, time)
        rows = compare("chooser", module, graph, *inputs)
        assert [(row.passed, row.tokens) for row in rows] == [(True, 0)] + 2 * [(True, batch * time)]
    shapes = {one.name: one.shape for one in (*graph.session.get_inputs(), *graph.session.get_outputs())}
    assert shapes == {
        "tokens": ["batch", "time"], "counts": ["batch", "time"], "gain": ["batch"],
        "sum": ["batch", 6], "best": ["batch", "time"], "loud": ["batch", "time"],
    }  # fmt: skip
    named = dict(zip(names, (given.numpy() for given in inputs)))
    one_way, other_way = graph(*named.values()), graph(named.pop("tokens"), **named)
    assert all(map(np.array_equal, one_way, other_way))
    with refused("chooser.onnx", "tokens"):
        graph(**named)
    with refused("chooser.onnx"):
        graph(*one_way, *one_way)
    upside_down = compare("wrong", module, lambda *arrays: (*graph(*arrays)[:2], ~graph(*arrays)[2]), *inputs)
    assert [row.passed for row in upside_down] == [True, True, False]
    with refused("wrong", "3 outputs", "2"):
        compare("wrong", module, lambda *arrays: graph(*arrays)[:2], *inputs)


def test_the_scale_of_an_overlay_is_said_by_who_knows_it(tmp_path):
    tensors, original = stored()
    wrong, _ = moved(tensors, alpha=1.0)
    graph = exported(wrong, tmp_path / "wrong.onnx")
    assert not all(row.passed for row in compare("wrong", original, graph, torch.randn(4, 2, BANDS)))
    with refused("lora_A", "is not part of this model"):
        moved(tensors, alpha=None)


def test_an_example_that_would_fix_a_size_is_refused():
    graph = GraphToExport(
        Tracker(), {"frames": torch.zeros(1, 2, BANDS)}, ["a", "b"], {"frames": {0: "time"}}
    )
    with refused("frames", "size 1", "time"):
        to_onnx(graph)


def test_a_difference_is_seen_in_the_output_that_has_it(tmp_path):
    tensors, original = stored(with_lora=False)
    ours, _ = moved(tensors, alpha=None)
    ours.voicing.bias.data += 0.1
    graph = exported(ours, tmp_path / "tracker.onnx")
    rows = compare("tracker", original, graph, torch.randn(4, 2, BANDS))
    assert [row.passed for row in rows] == [True, False]


@pytest.mark.parametrize("missing", ["net.0.weight_g", "head_b.bias", "mixer.lora_B"])
def test_what_is_missing_is_named(missing):
    tensors, _ = stored()
    del tensors[missing]
    with refused(missing):
        moved(tensors)
