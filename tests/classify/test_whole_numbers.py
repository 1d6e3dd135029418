"""A classifier in whole numbers: PyTorch and ONNX Runtime give the same bytes; what is written."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fabricate_classify import sound
from refusals import refused
from torch import nn

from helpers.classify import own
from helpers.classify.families import family
from helpers.classify.integers import first_bytes, last_bytes, layers
from helpers.classify.pipeline import Pipeline
from helpers.classify.qdq import HEARD, export_rounded, precision_of, quantized, said, with_bytes
from helpers.classify.weights import load_models
from helpers.layers.rounding import calibrate, rounded

LABELS = ["cricket", "frog", "owl"]


def lively(name):
    """Fresh weights, and norms that know the sounds."""
    model = own.fresh(family(name, 3))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        model.train()(torch.from_numpy(sound(4, 32000)))
    return model.eval()


def in_few_bits(name, weights, activations):
    model = lively(name)
    pictures = model.front(torch.from_numpy(sound(4, 32000)))
    model.network = rounded(model.network, weights, activations).eval()
    calibrate(model.network, pictures)
    return model


def run(model, audio, *names):
    session = onnxruntime.InferenceSession(
        with_bytes(model, names).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"audio": audio})


@pytest.fixture(scope="module", params=[(8, 8), (4, 4), (2, 8)], ids=lambda bits: "w{}a{}".format(*bits))
def tiny(request):
    model = in_few_bits("tiny", *request.param)
    return model, quantized(model)


def test_every_byte_is_the_same(tiny):
    model, graph = tiny
    chain = layers(model.network)
    names = [HEARD, *(said(i) for i in range(len(chain)))]
    for batch, length in ((2, 32000), (1, 20001)):
        _, _, heard, *bytes_of = run(graph, sound(batch, length, seed=7), *names)
        x = torch.from_numpy(heard)
        for layer, found in zip(chain, bytes_of, strict=True):
            x = layer(x)
            np.testing.assert_array_equal(x.numpy(), found)
            assert found.max() <= layer.highest and len(np.unique(found)) > 3


@pytest.mark.parametrize("weights", [8, 2])
def test_it_says_what_fake_quantization_says(weights):
    model = in_few_bits("tiny", weights, 8)
    graph = quantized(model)
    audio = sound(3, 32000, seed=8)
    scores, embedding, last = run(graph, audio, said(len(layers(model.network)) - 1))
    with torch.no_grad():
        ours, inside = model(torch.from_numpy(audio))
        whole = last_bytes(model.network, model.front(torch.from_numpy(audio)))
    np.testing.assert_allclose(scores, ours.numpy(), atol=0.1)  # an activation at an edge may go either way
    assert np.mean(np.abs(whole.numpy().astype(int) - last) > 1) < 0.01
    assert embedding.shape == inside.shape and np.corrcoef(embedding.flatten(), inside.flatten())[0, 1] > 0.99


def test_bytes_in_are_of_the_whole_range():
    model = in_few_bits("tiny", 8, 8)
    layer = layers(model.network)[0]
    x = torch.tensor([-1e9, 0.0, 1e9]).view(1, 1, 1, 3)
    assert first_bytes(layer, x).flatten().tolist() == [0, 128, 255]


def test_a_bundle_of_it(tmp_path):
    directory = own.save(tmp_path / "tiny", lively("tiny"), LABELS)
    models = load_models(directory)
    audio = sound(1, 32000)
    pictures = models.classifier.front(torch.from_numpy(audio))
    models.classifier.network = rounded(models.classifier.network, 4, 8).eval()
    calibrate(models.classifier.network, pictures)
    sizes = []
    for packed in (False, True):
        bundle = export_rounded(models, tmp_path / f"bundle{packed}", packed)
        made = Pipeline.open(bundle).scores(audio[0], 16000)
        with torch.no_grad():
            np.testing.assert_allclose(made, models.classifier(torch.from_numpy(audio))[0], atol=0.05)
        sizes.append((bundle / "classifier.onnx").stat().st_size)
    assert sizes[1] < sizes[0] - 1500
    manifest = json.loads((tmp_path / "bundleTrue" / "bundle.json").read_text())
    assert manifest["precision"] == {"classifier": "w4a8"} and manifest["labels"] == LABELS
    kinds = [node.op_type for node in onnx.load(bundle / "classifier.onnx").graph.node]
    assert kinds.count("QuantizeLinear") == len(layers(models.classifier.network)) + 1


def test_what_is_no_row_of_convolutions():
    with refused("ghost", "mobilenet_v1"):
        layers(in_few_bits("ghost", 8, 8).network)


def test_precision_is_said_by_bits():
    assert precision_of(layers(in_few_bits("tiny", 2, 4).network)) == "w2a4"
