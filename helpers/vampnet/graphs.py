"""VampNet's four graphs, and the bundle of them that stands alone."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.export.bundle import write_bundle
from helpers.export.graph import DEFAULT_OPSET, GraphToExport
from helpers.export.images import over_images
from helpers.quantize import check_precision
from helpers.vampnet.codec import Codec
from helpers.vampnet.limits import limits
from helpers.vampnet.one_file import check_opset as check_one_file
from helpers.vampnet.one_file import write_one_file
from helpers.vampnet.pipeline import STAGES
from helpers.vampnet.weights import Models, pipeline_spec

# Layers that can't bear 8 bit: the largest number of the codebooks' rows sets the step for all of them, those
# that count most included. As notebook 06 measures, this layer alone costs more than all others together.
KEEP_IN_FLOAT = ("embedding.",)
# The codec beside transformers of less than float32. Rounding the encoder's weights, even to float16, changed
# a fifth of the tokens: each codebook codes what those before left over. The decoder's error was 65 dB down.
SMALL_CODEC = {"codec_encoder": "fp32", "codec_decoder": "fp16"}
AXES = {  # what may change in size, by input and output
    "audio": {0: "batch", 2: "samples"},
    "codes": {0: "batch", 2: "frames"},
    "logits": {0: "batch", 2: "frames"},
}


class CodecEncoder(nn.Module):
    """The half of the codec that turns audio (B, 1, N) into codes (B, C, T): encoder and quantizer."""

    def __init__(self, codec: Codec):
        super().__init__()
        self.encoder, self.quantizer = codec.encoder, codec.quantizer

    def forward(self, audio: Tensor) -> Tensor:
        return self.quantizer.encode(self.encoder(audio))


class CodecDecoder(nn.Module):
    """The half of the codec that turns codes (B, C, T) into audio (B, 1, M): codebooks and decoder.

    The decoder sees its frames as an image one pixel high: ONNX Runtime's fastest convolutions are those
    for images. (The encoder gains nothing by it.)
    """

    def __init__(self, codec: Codec):
        super().__init__()
        self.quantizer, self.decoder = codec.quantizer, over_images(codec.decoder)

    def forward(self, codes: Tensor) -> Tensor:
        return self.decoder(self.quantizer.decode(codes)[:, :, None])[:, :, 0]


def graphs_to_export(models: Models) -> dict[str, GraphToExport]:
    """The four graphs of a bundle, by the name of their file."""
    codec = models.codec.config
    audio = torch.zeros(2, 1, 12 * codec.hop)
    codes, encoder = _codes(codec.n_codebooks), CodecEncoder(models.codec)
    graphs = {
        "codec_encoder": GraphToExport(encoder, {"audio": audio}, ["codes"], AXES),
        "codec_decoder": GraphToExport(CodecDecoder(models.codec), {"codes": codes}, ["audio"], AXES),
    }
    for name, model in (("coarse", models.coarse), ("c2f", models.c2f)):
        codes = _codes(model.config.n_codebooks)
        graphs[name] = GraphToExport(model, {"codes": codes}, ["logits"], AXES, KEEP_IN_FLOAT)
    return graphs


def _codes(n_codebooks: int) -> Tensor:
    return torch.zeros(2, n_codebooks, 12, dtype=torch.long)


def export_bundle(
    models: Models,
    out: str | os.PathLike,
    opset: int = DEFAULT_OPSET,
    external_data: bool = False,
    on_graph: Callable[[str], object] = lambda name: None,
    precision: str = "fp32",
    one_file: bool = False,
) -> Path:
    """Write the four graphs and `bundle.json` into the directory `out`, whole or not at all.

    `on_graph` is called with each graph's name before it is exported. `precision` is that of the
    transformers, one of `quantize.PRECISIONS`; with any but fp32 the codec becomes smaller too, where it
    bears it. `one_file` adds `vamp.onnx`, all of it in one graph, see `one_file`. Raises InputError.
    """
    check_precision(precision)
    if one_file:
        check_one_file(opset)
    precisions = graph_precisions(precision)
    spec = pipeline_spec(models.codec.config, models.coarse.config, models.c2f.config)
    sources = {f"{name}.pth": checkpoint.sha256() for name, checkpoint in models.sources.items()}
    loras = {name: [overlay.sha256() for overlay in overlays] for name, overlays in models.loras.items()}
    manifest = {
        "model": "vampnet",
        **asdict(spec),
        "mask_token": spec.mask_token,
        "limits": {name: limits(name, stored) for name, stored in precisions.items()},
        "source_sha256": sources,
        "lora_sha256": loras,
    }

    def metadata(name: str) -> dict[str, str]:
        overlays = {"lora_sha256": json.dumps(loras[name])} if loras.get(name) else {}
        return {"source_sha256": json.dumps(_sources_of(name, sources)), **overlays}

    composed = {"vamp": partial(write_one_file, spec, external_data)} if one_file else {}
    return write_bundle(
        out, graphs_to_export(models), precisions, manifest, opset, external_data, on_graph, metadata,
        composed=composed,
    )  # fmt: skip


def graph_precisions(precision: str) -> dict[str, str]:
    """The precision of each graph in a bundle whose transformers have this one."""
    codec = dict.fromkeys(SMALL_CODEC, "fp32") if precision == "fp32" else SMALL_CODEC
    return {**codec, **dict.fromkeys(STAGES, precision)}


def _sources_of(graph: str, sources: dict[str, str]) -> dict[str, str]:
    if graph == "vamp":
        return sources
    names = ("codec.pth",) if graph.startswith("codec") else (f"{graph}.pth", "codec.pth")
    return {name: sources[name] for name in names}
