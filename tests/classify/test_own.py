"""The course's own classifiers: written, read and exported; what a stranger's config.json may say."""

import json

import numpy as np
import pytest
import torch
from fabricate_classify import sound
from refusals import refused
from safetensors.torch import load_file, save_file
from torch import nn

from helpers import rooms
from helpers.classify import own
from helpers.classify.configs import Config
from helpers.classify.families import FAMILIES, HEADS, family
from helpers.classify.graphs import export_bundle
from helpers.classify.pipeline import Pipeline
from helpers.classify.proof import verify_bundle
from helpers.classify.weights import load_models

LABELS = ["cricket", "frog", "owl"]


def lively(config, seed=0):
    """Fresh weights, and norms that know the sounds: else all sounds are the same to them."""
    model = own.fresh(config, seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        model.train()(torch.from_numpy(sound(4, 32000)))
    return model.eval()


@pytest.fixture
def saved(tmp_path):
    """The smallest of them, in files that may be changed."""
    return own.save(tmp_path / "tiny", lively(family("tiny", 3)), LABELS)


@pytest.mark.parametrize("name, head", [*zip(FAMILIES, [*HEADS, *HEADS])])
def test_families_go_all_the_way(tmp_path, name, head):
    model = lively(family(name, 3, head))
    directory = own.save(tmp_path / name, model, LABELS, half=False)
    assert rooms.of_checkpoints(directory) == "classify" and name in rooms.describe(directory)
    models = load_models(directory)
    assert models.config == model.config and models.labels == tuple(LABELS)
    audio = torch.from_numpy(sound(2, 20001))
    with torch.inference_mode():
        ours, theirs = models.classifier(audio), model(audio)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert (ours[0][0] - ours[0][1]).abs().max() > 1e-3
    total = ours[0].sum(1)
    assert HEADS[head]["scores"] == "sigmoid" or torch.allclose(total, torch.ones(2))
    certificate = verify_bundle(directory, export_bundle(models, tmp_path / "bundle"))
    assert certificate.passed, str(certificate)
    assert Pipeline.open(tmp_path / "bundle").labels == tuple(LABELS)


def test_half_precision_costs_little(saved, tmp_path):
    model = lively(family("tiny", 3))
    stored = load_file(saved / "model.safetensors")
    assert {one.dtype for name, one in stored.items() if "running_var" not in name} == {torch.float16}
    audio = torch.from_numpy(sound(2, 32000))
    with torch.inference_mode():
        whole, half = model(audio)[0], load_models(saved).classifier(audio)[0]
    assert 0 < (whole - half).abs().max() < 0.01


def test_loudness_does_not_count(saved):
    model, audio = load_models(saved).classifier, torch.from_numpy(sound(1, 32000))
    with torch.inference_mode():
        torch.testing.assert_close(model(audio)[0], model(0.1 * audio)[0], atol=1e-4, rtol=0)


def test_every_tensor_is_accounted_for(saved):
    report = load_models(saved).report
    assert not report.unused and all(row.status == "exact" for row in report.rows)
    assert sorted(report.sources) == sorted(load_file(saved / "model.safetensors"))


@pytest.mark.parametrize("name", ["blocks.1.depthwise.norm.running_var", "out.weight", "norm.bias"])
def test_a_tensor_that_is_wrong_is_named(saved, name):
    path = saved / "model.safetensors"
    tensors = load_file(path)
    for wrong in ({}, {name: tensors[name][:-1].clone()}, {name: -torch.inf * tensors[name]}):
        save_file({one: value for one, value in tensors.items() if one != name} | wrong, path)
        with refused(name):
            load_models(saved)
    save_file(tensors | {"blocks.9.more": torch.ones(1)}, path)
    with refused("blocks.9.more"):
        load_models(saved)


def changed(content, path, value):
    *parents, last = path.split(".")
    inner = content = json.loads(json.dumps(content))
    for part in parents:
        inner = inner[int(part) if part.isdecimal() else part]
    inner[int(last) if last.isdecimal() else last] = value
    return content


WRONG = [
    ("blocks", []), ("blocks.0.kind", "lstm"), ("blocks.1.width", 10**9), ("blocks.1.width", -1),
    ("blocks.1.width", True), ("blocks.1.stride", 0), ("blocks.1.kernel", 2), ("blocks.1.attention", "se"),
    ("blocks.1.expanded", "8"), ("blocks.1.activation", "__class__"), ("blocks.0", 3), ("blocks.0.more", 1),
    ("blocks.1.kind", "inverted"), ("front.n_fft", 10**7), ("front.n_fft", 333), ("front.hop", 0),
    ("front.f_max", 9000), ("front.f_min", 8000.0), ("front.sample_rate", 1.5), ("front.level", 1),
    ("front", None), ("head.pool", "max"), ("head.n_labels", 4), ("head.scale", float("inf")),
    ("head.output", "x\x1b[31m"), ("head", {}), ("eps", 0), ("labels", ["a", "b"]), ("labels", [1, 2, 3]),
    ("model_type", "musicgen"), ("window_seconds", 0), ("normed", "yes"), ("architecture", 7),
]  # fmt: skip


@pytest.mark.parametrize("path, value", WRONG)
def test_a_config_that_lies(saved, path, value):
    file = saved / "config.json"
    file.write_text(json.dumps(changed(json.loads(file.read_text()), path, value)))
    with refused():
        load_models(saved)


def test_a_config_that_claims_more_than_the_file_holds(saved):
    file = saved / "config.json"
    content = json.loads(file.read_text())
    content["blocks"] += [content["blocks"][-1]] * 400
    file.write_text(json.dumps(content))
    with refused("layers"):
        load_models(saved)
    file.write_text("[" * 3000)
    with refused():
        load_models(saved)


def test_json_and_back():
    config = family("ghost", 5, "arcface", hidden=7)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config
    with refused("'resnet'", "ghost"):
        family("resnet", 5)


def test_what_it_is_need_not_be_said(saved):
    with refused("--model"):
        load_models(saved, "Cnn14")
    (saved / "names.csv").write_text("a\nb\nc\n")
    assert load_models(saved, labels=saved / "names.csv").labels == ("a", "b", "c")


def test_a_seed_is_a_model():
    one, same, other = (own.fresh(family("tiny", 3), seed).network.out.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert np.isfinite(one.detach().numpy()).all()
