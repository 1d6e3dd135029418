"""MusicGen's graphs, and the bundle of them that stands alone."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.export.bundle import write_bundle
from helpers.export.graph import DEFAULT_OPSET, GraphToExport
from helpers.export.recurrent import with_onnx_lstm
from helpers.musicgen.codec import Codec, interleaved, separated
from helpers.musicgen.language_model import LanguageModel
from helpers.musicgen.limits import limits
from helpers.musicgen.pipeline import GRAPHS
from helpers.musicgen.weights import Models
from helpers.quantize import check_precision
from helpers.runtime.cache import names_of

# What stays in half precision beside a language model of less than float32. The codec's encoder bears no
# rounding: each codebook codes what those before left over.
SMALLER = {"encodec_decoder": "fp16"}
IN_BLOCKS = {"int8": "int8-block"}  # a scale for every few weights: closer, and as fast


class CodecHalf(nn.Module):
    """One direction of the codec, whole or in windows (see `runtime.stateful`).

    left, right: as long as the context to drop before the recurrent layer. kept: (B, channels, width, n) what
    that layer made before. hidden, cell: (layers, B, channels, width), its state.
    """

    def __init__(self, codec: Codec, channels: int):
        super().__init__()
        self.channels = channels
        self.quantizer = codec.quantizer

    def windowed(
        self, half: nn.Module, x: Tensor, left: Tensor, right: Tensor, kept: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        x = half.before(x)
        x = x[:, :, left.shape[0] : x.shape[2] - right.shape[0]]
        x, state = half.recurrent(x, tuple(part.flatten(1, 2) for part in state))
        whole = torch.cat([kept.flatten(0, 1), x], dim=2)
        state = (part.unflatten(1, (-1, self.channels)) for part in state)
        return half.after(whole), x.unflatten(0, (-1, self.channels)), *state


class CodecEncoder(CodecHalf):
    """Audio (B, channels, N) -> codes (B, K, T), the recurrent layer's output, its state."""

    def __init__(self, codec: Codec, channels: int):
        super().__init__(codec, channels)
        self.encoder = codec.encoder

    def forward(
        self, audio: Tensor, left: Tensor, right: Tensor, kept: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, ...]:
        audio = audio.flatten(0, 1)[:, None]
        frames, *rest = self.windowed(self.encoder, audio, left, right, kept, hidden, cell)
        return interleaved(self.quantizer.encode(frames), self.channels), *rest


class CodecDecoder(CodecHalf):
    """Codes (B, K, T) -> audio (B, channels, T * hop), the recurrent layer's output, its state."""

    def __init__(self, codec: Codec, channels: int):
        super().__init__(codec, channels)
        self.decoder = codec.decoder

    def forward(
        self, codes: Tensor, left: Tensor, right: Tensor, kept: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, ...]:
        frames = self.quantizer.decode(separated(codes, self.channels))
        audio, *rest = self.windowed(self.decoder, frames, left, right, kept, hidden, cell)
        return audio.unflatten(0, (-1, self.channels))[:, :, 0], *rest


class TextKeys(nn.Module):
    """A text's keys and values for every layer: key 0, value 0, key 1, ... each (B, heads, L, size)."""

    def __init__(self, model: LanguageModel):
        super().__init__()
        self.model = model

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        return tuple(one for pair in self.model.cross(condition) for one in pair)


class FastLanguage(nn.Module):
    """Columns with a past, for speed: nothing is copied that is already there.

    codes: (B, K, S). mask: (B, L). n_past: how many places of the past count. Then, in `TextKeys`' order, the
    text's keys and values, and the past's (B, heads, C, size), C >= n_past. Out come logits (B, K, S, V)
    and the keys and values of these S columns, which whoever calls writes behind the past.
    """

    def __init__(self, model: LanguageModel):
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, mask: Tensor, n_past: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        pairs = list(zip(tensors[::2], tensors[1::2]))
        n_layers = self.model.config.n_layers
        logits, made = self.model.step(codes, pairs[:n_layers], mask, pairs[n_layers:], n_past)
        return logits, *(one for pair in made for one in pair)


class StackedLanguage(nn.Module):
    """The same in the form that reads easily: one tensor holds the past of all layers, and grows.

    past_keys, past_values: (layers, B, heads, P, size), P >= 0 -> logits and both with S more columns.
    """

    def __init__(self, model: LanguageModel):
        super().__init__()
        self.model = model

    def forward(
        self, codes: Tensor, condition: Tensor, mask: Tensor, past_keys: Tensor, past_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        past = list(zip(past_keys.unbind(), past_values.unbind()))
        text = self.model.cross(condition)
        logits, made = self.model.step(codes, text, mask, past, past_keys.shape[3])
        keys, values = (torch.stack(one) for one in zip(*made))
        return logits, torch.cat([past_keys, keys], dim=3), torch.cat([past_values, values], dim=3)


def graphs_to_export(models: Models) -> dict[str, GraphToExport]:
    """The graphs of a bundle, by the name of their file."""
    return {
        "encodec_encoder": _codec_graph(CodecEncoder, models, "audio", "codes"),
        "encodec_decoder": _codec_graph(CodecDecoder, models, "codes", "audio"),
        "text_encoder": _text_graph(models),
        "lm_text": _keys_graph(models),
        "lm": fast_graph(models.language),
    }


def _codec_graph(kind: type, models: Models, given: str, made: str) -> GraphToExport:
    config, channels = models.codec.config, models.spec.channels
    audio = {0: "batch", 2: "samples"}
    axes = {
        "audio": audio, "codes": {0: "batch", 2: "frames"}, "left": {0: "left"}, "right": {0: "right"},
        "kept": {0: "batch", 3: "kept"}, "frames": {0: "batch", 3: "frames"},
        **dict.fromkeys(("hidden", "cell", "hidden_after", "cell_after"), {1: "batch"}),
    }  # fmt: skip
    codes = torch.zeros(2, models.spec.n_codebooks, 12, dtype=torch.long)
    example = {"audio": torch.zeros(2, channels, 12 * config.hop), "codes": codes}[given]
    state = torch.zeros(config.n_lstm, 2, channels, config.width)
    kept = torch.zeros(2, channels, config.width, 4)
    inputs = {given: example, "left": torch.zeros(2), "right": torch.zeros(3), "kept": kept,
              "hidden": state, "cell": state.clone()}  # fmt: skip
    nothing = {"left": torch.zeros(0), "right": torch.zeros(0), "kept": kept[:1, :, :, :0],
               "hidden": state[:, :1], "cell": state[:, :1]}  # fmt: skip
    module = with_onnx_lstm(kind(models.codec, channels))
    outputs = [made, "frames", "hidden_after", "cell_after"]
    return GraphToExport(module, inputs, outputs, axes, defaults=nothing)


def _text_graph(models: Models) -> GraphToExport:
    ids = torch.ones(2, 4, dtype=torch.long)
    axes = dict.fromkeys(("ids", "mask", "condition"), {0: "batch", 1: "pieces"})
    return GraphToExport(models.text, {"ids": ids, "mask": ids.clone()}, ["condition"], axes)


def _keys_graph(models: Models) -> GraphToExport:
    names = names_of("text", models.spec.n_layers)
    axes = {"condition": {0: "batch", 1: "pieces"}} | dict.fromkeys(names, {0: "batch", 2: "pieces"})
    condition = torch.zeros(2, 4, models.spec.width)
    return GraphToExport(TextKeys(models.language), {"condition": condition}, names, axes)


def fast_graph(language: LanguageModel) -> GraphToExport:
    """The language model as a bundle has it: nothing of the past is copied."""
    config = language.config
    text, past, made = (names_of(what, config.n_layers) for what in ("text", "past", "new"))

    def held(length: int) -> Tensor:
        return torch.zeros(2, config.n_heads, length, config.head_size)

    inputs = {
        "codes": torch.zeros(2, config.n_codebooks, 3, dtype=torch.long),
        "mask": torch.ones(2, 4, dtype=torch.long),
        "n_past": torch.tensor(5),
        **{name: held(4) for name in text},
        **{name: held(6) for name in past},
    }
    axes = {
        "codes": {0: "batch", 2: "columns"}, "mask": {0: "batch", 1: "pieces"},
        "logits": {0: "batch", 2: "columns"}, **dict.fromkeys(text, {0: "batch", 2: "pieces"}),
        **dict.fromkeys(past, {0: "batch", 2: "places"}), **dict.fromkeys(made, {0: "batch", 2: "columns"}),
    }  # fmt: skip
    return GraphToExport(FastLanguage(language), inputs, ["logits", *made], axes)


def stacked_graph(language: LanguageModel) -> GraphToExport:
    """The language model in the form that teaches; a bundle has the fast one."""
    config = language.config
    past = torch.zeros(config.n_layers, 2, config.n_heads, 5, config.head_size)
    inputs = {
        "codes": torch.zeros(2, config.n_codebooks, 3, dtype=torch.long),
        "condition": torch.zeros(2, 4, config.width),
        "condition_mask": torch.ones(2, 4, dtype=torch.long),
        "past_keys": past,
        "past_values": past.clone(),
    }
    axes = {
        "codes": {0: "batch", 2: "columns"}, "logits": {0: "batch", 2: "columns"},
        **dict.fromkeys(("condition", "condition_mask"), {0: "batch", 1: "pieces"}),
        **dict.fromkeys(("past_keys", "past_values"), {1: "batch", 3: "past"}),
        **dict.fromkeys(("keys", "values"), {1: "batch", 3: "all"}),
    }  # fmt: skip
    return GraphToExport(StackedLanguage(language), inputs, ["logits", "keys", "values"], axes)


def export_bundle(
    models: Models,
    out: str | os.PathLike,
    opset: int = DEFAULT_OPSET,
    external_data: bool = False,
    on_graph: Callable[[str], object] = lambda name: None,
    precision: str = "fp32",
) -> Path:
    """Write the graphs, the tokenizer and `bundle.json` into the directory `out`, whole or not at all.

    `on_graph` is called with each graph's name before it is exported. `precision` is that of the language
    model, one of `quantize.PRECISIONS`; with any but fp32 the others become smaller too, where they bear it.
    Raises InputError.
    """
    check_precision(precision)
    precisions, sources, tokenizer = graph_precisions(precision), models.sha256(), models.tokenizer
    manifest = {
        "model": "musicgen",
        **asdict(models.spec),
        "frame_rate": models.spec.frame_rate,
        "special_token": models.spec.special_token,
        "tokenizer": tokenizer.name if tokenizer else None,
        "limits": {name: limits(name, stored) for name, stored in precisions.items()},
        "source_sha256": sources,
    }
    metadata = {"source_sha256": json.dumps(sources)}
    return write_bundle(
        out, graphs_to_export(models), precisions, manifest, opset, external_data, on_graph,
        lambda name: metadata, [tokenizer] if tokenizer else [],
    )  # fmt: skip


def graph_precisions(precision: str) -> dict[str, str]:
    """The precision of each graph in a bundle whose language model has this one."""
    if precision == "fp32":
        return dict.fromkeys(GRAPHS, "fp32")
    weights = IN_BLOCKS.get(precision, precision)
    text = "int8-block" if precision == "int4" else weights  # two bits less would cost more than they save
    language = dict.fromkeys(("lm_text", "lm"), weights)
    return {"encodec_encoder": "fp32", **SMALLER, "text_encoder": text, **language}
