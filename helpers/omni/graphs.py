"""An omni's graphs, and the bundle of them that stands alone."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.export.bundle import write_bundle
from helpers.export.graph import DEFAULT_OPSET, GraphToExport
from helpers.omni.configs import PICTURE, BlocksConfig
from helpers.omni.ear import heard
from helpers.omni.limits import limits
from helpers.omni.spec import N_SPECIAL
from helpers.omni.weights import Models
from helpers.quantize import check_precision
from helpers.runtime.cache import names_of
from helpers.support.errors import InputError

GRAPHS = ("ear", "eye", "thinker", "talker", "voice")
PRECISIONS = {  # of a bundle: of each graph
    "fp32": dict.fromkeys(GRAPHS, "fp32"),
    "fp16": dict.fromkeys(GRAPHS, "fp16"),
    "int8": {**dict.fromkeys(GRAPHS, "int8"), "voice": "fp16"},  # a sample bears fewer errors than a choice
}
FRONT = ("front",)  # quiet bands lie a million times below loud ones: the ear's spectrum bears no rounding


class Hearing(nn.Module):
    """Audio (B, N) -> places (B, P, width), letters (B, T, 28)."""

    def __init__(self, models: Models):
        super().__init__()
        self.front, self.ear = models.front, models.ear

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        return self.ear(heard(self.front, audio))


class Seeing(nn.Module):
    """A picture (B, 3, 64, 64) -> places, and what the readers say: colours, shapes, digits (`eye.Seen`)."""

    def __init__(self, models: Models):
        super().__init__()
        self.eye = models.eye

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        seen = self.eye(picture)
        return seen.places, seen.colours, seen.shapes, seen.digits


class Thinking(nn.Module):
    """Places with a past. Keys and values are listed one by one, in the order of `names_of`.

    The past may hold more than the `n_past` that count; what comes out is of the new places alone, and who
    calls writes it behind the past: nothing is copied that is already there.
    """

    def __init__(self, models: Models):
        super().__init__()
        self.thinker = models.thinker

    def forward(self, ids: Tensor, soft: Tensor, n_past: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        logits, states, made = self.thinker(ids, soft, list(zip(past[::2], past[1::2])), n_past)
        return logits, states, *(one for pair in made for one in pair)


class Talking(nn.Module):
    """Frames with a past, as in `Thinking`."""

    def __init__(self, models: Models):
        super().__init__()
        self.talker = models.talker

    def forward(
        self, words: Tensor, states: Tensor, before: Tensor, n_past: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        said = self.talker(words, states, before, list(zip(past[::2], past[1::2])), n_past)
        return said.codes, said.over, *(one for pair in said.past for one in pair)


class Sounding(nn.Module):
    """Codes (B, K, T) -> audio (B, T * hop)."""

    def __init__(self, models: Models):
        super().__init__()
        self.codec, self.voice, self.back = models.codec, models.voice, models.back

    def forward(self, codes: Tensor) -> Tensor:
        return self.back(*self.voice(self.codec.decode(codes)))


MODULES = {"ear": Hearing, "eye": Seeing, "thinker": Thinking, "talker": Talking, "voice": Sounding}


def graphs_to_export(models: Models) -> dict[str, GraphToExport]:
    """The graphs of a bundle, by the name of their file."""
    config, spec = models.config, models.config.spec
    word, books = N_SPECIAL, config.codec.n_codebooks
    examples = {
        "ear": {"audio": torch.zeros(2, 8000)},
        "eye": {"picture": torch.zeros(2, 3, PICTURE, PICTURE)},
        "thinker": {
            "ids": torch.full((2, 5), word), "soft": torch.zeros(2, 5, spec.width), "n_past": torch.tensor(3),
            **_held(config.thinker),
        },
        "talker": {
            "words": torch.full((2, 5, 2), word), "states": torch.zeros(2, 5, 2, spec.width),
            "before": torch.zeros(2, 5, books, dtype=torch.long), "n_past": torch.tensor(3),
            **_held(config.talker),
        },
        "voice": {"codes": torch.zeros(2, books, 12, dtype=torch.long)},
    }  # fmt: skip
    outputs = {
        "ear": ["places", "letters"],
        "eye": ["places", "colours", "shapes", "digits"],
        "thinker": ["logits", "states", *names_of("new", config.thinker.n_layers)],
        "talker": ["codes", "over", *names_of("new", config.talker.n_layers)],
        "voice": ["audio"],
    }
    axes = {
        "ear": {"audio": {0: "batch", 1: "samples"}, "places": {0: "batch", 1: "places"},
                "letters": {0: "batch", 1: "frames"}},
        "eye": dict.fromkeys(("picture", *outputs["eye"]), {0: "batch"}),
        "thinker": _axes(("ids", "soft", "logits", "states"), config.thinker),
        "talker": _axes(("words", "states", "before", "codes", "over"), config.talker),
        "voice": {"codes": {0: "batch", 2: "frames"}, "audio": {0: "batch", 1: "samples"}},
    }  # fmt: skip
    return {
        name: GraphToExport(
            MODULES[name](models), examples[name], outputs[name], axes[name], FRONT, keep_exact=FRONT
        )
        for name in GRAPHS
    }


def _held(shape: BlocksConfig) -> dict[str, Tensor]:
    names = names_of("past", shape.n_layers)
    return {name: torch.zeros(2, shape.n_shared, 6, shape.size) for name in names}


def _axes(names: tuple[str, ...], shape: BlocksConfig) -> dict[str, dict[int, str]]:
    past, made = (names_of(what, shape.n_layers) for what in ("past", "new"))
    return {
        **dict.fromkeys(names, {0: "batch", 1: "places"}),
        **dict.fromkeys(past, {0: "batch", 2: "held"}),
        **dict.fromkeys(made, {0: "batch", 2: "places"}),
    }


def export_bundle(
    models: Models,
    out: str | os.PathLike,
    opset: int = DEFAULT_OPSET,
    external_data: bool = False,
    on_graph: Callable[[str], object] = lambda name: None,
    precision: str = "fp32",
) -> Path:
    """Write the five graphs and `bundle.json` into the directory `out`, whole or not at all.

    `on_graph` is called with each graph's name before it is exported. precision: one of PRECISIONS. Raises
    InputError.
    """
    if precision not in PRECISIONS:
        check_precision(precision)
        known = ", ".join(PRECISIONS)
        raise InputError(f"'{precision}' is for large matrix products; an omni's is one of {known}.")
    precisions, sources = PRECISIONS[precision], models.sha256()
    manifest = {
        "model": "omni",
        **asdict(models.config.spec),
        "limits": {name: limits(name, stored) for name, stored in precisions.items()},
        "source_sha256": sources,
    }
    metadata = {"source_sha256": json.dumps(sources)}
    return write_bundle(
        out, graphs_to_export(models), precisions, manifest, opset, external_data, on_graph,
        lambda name: metadata,
    )  # fmt: skip
