"""The ONNX graph of a classifier in whole numbers, written node by node.

Ear and head are exported in float. Between them every convolution stands between DequantizeLinear and
QuantizeLinear ("QDQ"): read literally it computes in float on numbers that lie on grids, and a runtime that
knows the pattern computes it on bytes, as `integers` does.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor, nn

from helpers.classify.graphs import AXES
from helpers.classify.integers import Layer, layers
from helpers.classify.model import Classifier, Network, pooled
from helpers.classify.weights import Models
from helpers.export.bundle import save_graph, write_bundle
from helpers.export.graph import GraphToExport, to_onnx

OPSET = 21  # the first whose DequantizeLinear takes 4 bits; runtimes do not know the pattern of later ones
PACKED = 4  # bits of a weight of which two fit a byte
HEARD = "heard"  # the first bytes, by name; those of a layer are called as `said` has it


class Picture(nn.Module):
    """Audio (B, N) -> what the first convolution gets, (B, 1, T, M)."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.front, self.network = classifier.front, classifier.network

    def forward(self, audio: Tensor) -> Tensor:
        return self.network.leveled(self.front(audio))


class Top(nn.Module):
    """What the last convolution gives (B, width, T, M) -> scores and embedding."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.network.embed(pooled(x, self.network.config.head.pool))
        return self.network.scores(self.network.out(embedding)), embedding


def said(i: int) -> str:
    """The bytes that layer i gives, by name."""
    return f"layer{i}/said"


def quantized(classifier: Classifier, packed: bool = False) -> onnx.ModelProto:
    """A rounded classifier's graph, `audio` to `scores` and `embedding`. Raises InputError.

    packed: weights of at most 4 bits are stored two to a byte. A file is smaller so; where a runtime unpacks
    them to floats, as ONNX Runtime 1.31 does, it is slower.
    """
    chain, config = layers(classifier.network), classifier.config
    audio = torch.zeros(2, 2 * config.shortest + 3 * config.front.hop + 1)
    last = torch.zeros(2, len(chain[-1].weight), 5, _bands(classifier))
    ear = _exported(Picture(classifier), {"audio": audio}, ("picture",))
    top = _exported(Top(classifier.network), {"features": last}, config.outputs)
    top = compose.add_prefix(top, "top/", rename_inputs=False, rename_outputs=False)
    body = _body(chain, packed, ear.ir_version)
    model = compose.merge_models(ear, body, [("picture", "picture")])
    return compose.merge_models(model, top, [("features", "features")])


@torch.no_grad()
def _bands(classifier: Classifier) -> int:
    """How many places over frequency the last block leaves."""
    x = torch.zeros(1, 1, 4 * classifier.config.stride, classifier.config.front.n_mels)
    for block in classifier.network.blocks:
        x = block(x)
    return x.shape[3]


def _exported(module: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    axes = AXES | {"picture": {0: "batch", 2: "frames"}, "features": {0: "batch", 2: "steps"}}
    return ir.to_proto(to_onnx(GraphToExport(module, inputs, outputs, axes), OPSET))


def _body(chain: Sequence[Layer], packed: bool, ir_version: int) -> onnx.ModelProto:
    """`picture` to `features`: a row of convolutions between bytes."""
    width = len(chain[-1].weight)
    shapes = {"picture": ["batch", 1, "frames", None], "features": ["batch", width, "steps", None]}
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, one) for name, one in shapes.items()
    )
    graph = helper.make_graph(
        list(_nodes(chain)), "convolutions", [given], [made], list(_numbers(chain, packed))
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=ir_version)


def _nodes(chain: Sequence[Layer]) -> Iterator[onnx.NodeProto]:
    yield helper.make_node("QuantizeLinear", ["picture", "step", "zero"], [HEARD], "picture/round")
    given, step, zero = HEARD, "step", "zero"
    for i, layer in enumerate(chain):
        at = f"layer{i}"
        yield helper.make_node("DequantizeLinear", [given, step, zero], [f"{at}/x"], f"{at}/read")
        for what, axis in (("weight", 0), ("bias", 0)):
            numbers = [f"{at}/{what}/whole", f"{at}/{what}/steps"]
            yield helper.make_node(
                "DequantizeLinear", numbers, [f"{at}/{what}"], f"{at}/{what}/read", axis=axis
            )
        how = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4, "group": layer.groups}
        made = f"{at}/sum"
        inputs = [f"{at}/x", f"{at}/weight", f"{at}/bias"]
        yield helper.make_node("Conv", inputs, [made], f"{at}/conv", **how)
        if not layer.zero_out:
            yield helper.make_node("Relu", [made], [f"{at}/made"], f"{at}/relu")
            made = f"{at}/made"
        if layer.highest < 255:  # a byte would hold more
            ends = [f"{at}/lowest", f"{at}/highest"]
            yield helper.make_node("Clip", [made, *ends], [f"{at}/cut"], f"{at}/clip")
            made = f"{at}/cut"
        step, zero, given = f"{at}/step", f"{at}/zero", said(i)
        yield helper.make_node("QuantizeLinear", [made, step, zero], [given], f"{at}/round")
    yield helper.make_node("DequantizeLinear", [given, step, zero], ["features"], "features/read")


def _numbers(chain: Sequence[Layer], packed: bool) -> Iterator[TensorProto]:
    """Everything that the nodes name."""
    yield numpy_helper.from_array(chain[0].step_in.numpy(), "step")
    yield numpy_helper.from_array(np.array(chain[0].zero_in, np.uint8), "zero")
    for i, layer in enumerate(chain):
        at = f"layer{i}"
        yield _weight(f"{at}/weight/whole", layer, packed)
        arrays = {
            "weight/steps": layer.steps, "bias/whole": layer.bias, "bias/steps": layer.step_in * layer.steps,
            "step": layer.step_out,
        }  # fmt: skip
        if layer.highest < 255:
            arrays["lowest"] = -layer.zero_out * layer.step_out
            arrays["highest"] = (layer.highest - layer.zero_out) * layer.step_out
        for name, value in arrays.items():
            yield numpy_helper.from_array(value.numpy(), f"{at}/{name}")
        yield numpy_helper.from_array(np.array(layer.zero_out, np.uint8), f"{at}/zero")


def _weight(name: str, layer: Layer, packed: bool) -> TensorProto:
    whole = layer.weight.numpy()
    if not packed or layer.weight_bits > PACKED:
        return numpy_helper.from_array(whole, name)
    return helper.make_tensor(name, TensorProto.INT4, whole.shape, whole.flatten().tolist())


def with_bytes(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy that also gives these bytes, (B, width, T, M) uint8 each."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.UINT8, [None] * 4) for name in names
    )
    return made


def export_rounded(models: Models, out: str | os.PathLike, packed: bool = False) -> Path:
    """Write the bundle of a rounded classifier, as `graphs.export_bundle` does. Raises InputError."""
    sources, config = models.sha256(), models.config
    manifest = {
        "model": "classify", **asdict(models.spec), "n_labels": len(models.labels),
        "front": asdict(config.front), "activation": config.head.scores, "source_sha256": sources,
    }  # fmt: skip
    precision = precision_of(layers(models.classifier.network))

    def write(directory: Path, metadata: dict[str, str]) -> None:
        model = ir.from_proto(quantized(models.classifier, packed))
        save_graph(model, directory / "classifier.onnx", metadata | {"precision": precision})

    says = {"source_sha256": json.dumps(sources)}
    return write_bundle(
        out, {}, {"classifier": precision}, manifest, OPSET, False, lambda name: None, lambda name: says,
        composed={"classifier": write},
    )  # fmt: skip


def precision_of(chain: Sequence[Layer]) -> str:
    """What most of it has, as in "w4a8": bits of weights, bits of activations."""
    return f"w{chain[-1].weight_bits}a{chain[-1].highest.bit_length()}"
