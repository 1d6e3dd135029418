"""EfficientAT's MobileNetV3 (Schmid et al. 2023): the shape of a file, and its names.

A file holds a state dict and nothing of the ear: that is as their code has it, hop and bands as the file's
name says. No golden arrays prove it here; names, shapes and formulas are what was matched.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from helpers.classify.configs import Block, Config, Front, Head
from helpers.classify.shapes import size
from helpers.support.errors import InputError
from helpers.transfer import Transfer

ARCHITECTURE = "EfficientAT"
HALLMARK = ".conc_se_layers.0.fc1.weight"  # at the end of some names
STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1)
LAST = len(STRIDES) + 1
PLAIN = 6  # as many blocks have ReLU; those after them the hard swish
EPS = 1e-3
FRONT = Front(32000, 1024, 320, 128, 0.0, 15000.0, ear="kaldi")
SECONDS = 10.0


def read_config(path: Path, tensors: Mapping[str, Tensor], named: str | None) -> Config:
    """The shape of one of EfficientAT's files. Raises InputError."""
    if named not in (None, ARCHITECTURE):
        raise InputError(f"{path} is no {named}: its tensors are EfficientAT's.")
    first = size(path, tensors, "features.0.0.weight", 4)
    last = size(path, tensors, f"features.{LAST}.0.weight", 4)
    how = {"activation": "hardswish"}
    blocks = [Block("conv", first[0], 2, first[2], **how)]
    for i, stride in enumerate(STRIDES):
        blocks.append(_block(path, tensors, i + 1, stride, blocks[-1].width))
    blocks.append(Block("conv", last[0], 1, last[2], **how))
    hidden, labels = (size(path, tensors, f"classifier.{i}.weight", 2)[0] for i in (2, 5))
    head = Head(labels, "mean", hidden, "hardswish", scores="sigmoid", embedding="pooled")
    config = Config(ARCHITECTURE, _front(path), tuple(blocks), head, False, EPS, SECONDS)
    config.check(str(path))
    return config


def _front(path: Path) -> Front:
    """The usual ear, with another hop or number of bands if the file is called after it."""
    found = {what: re.search(rf"_{what}_(\d{{1,3}})(?=[_.])", path.name) for what in ("hop", "mels")}
    hop = int(found["hop"][1]) * FRONT.sample_rate // 1000 if found["hop"] else FRONT.hop
    n_mels = int(found["mels"][1]) if found["mels"] else FRONT.n_mels
    return Front(FRONT.sample_rate, FRONT.n_fft, hop, n_mels, FRONT.f_min, FRONT.f_max, ear=FRONT.ear)


def _block(path: Path, tensors: Mapping[str, Tensor], i: int, stride: int, before: int) -> Block:
    inside, n = f"features.{i}.block", _parts(tensors, i)
    width, expanded, *_ = size(path, tensors, f"{inside}.{n - 1}.0.weight", 4)
    place = 1 if expanded != before else 0  # where nothing is expanded, there is no layer for it
    kernel = size(path, tensors, f"{inside}.{place}.0.weight", 4)[2]
    squeezed = f"{inside}.{place + 1}.conc_se_layers.0.fc1.weight"
    weighed = squeezed in tensors
    return Block(
        "inverted", width, stride, kernel, expanded, "se" if weighed else "",
        size(path, tensors, squeezed, 2)[0] if weighed else 0,
        "relu" if i <= PLAIN else "hardswish", squeezing="relu",
    )  # fmt: skip


def _parts(tensors: Mapping[str, Tensor], i: int) -> int:
    """How many layers a block has."""
    return max((n + 1 for n in range(4) if f"features.{i}.block.{n}.0.weight" in tensors), default=1)


def walk(move: Transfer, config: Config) -> None:
    """Tell a `Transfer` where every tensor of the network is in the file."""
    before = 1
    for i, block in enumerate(config.blocks):
        if block.kind == "conv":
            _conv(move, f"blocks.{i}", f"features.{i}")
        else:
            inside, target = f"features.{i}.block", f"blocks.{i}"
            layers = ["expand"] * (block.expanded != before) + ["depthwise"]
            layers += ["attention"] * bool(block.squeezed) + ["project"]
            for n, layer in enumerate(layers):
                if layer != "attention":
                    _conv(move, f"{target}.{layer}", f"{inside}.{n}")
                    continue
                for ours, theirs in (("squeeze", "fc1"), ("excite", "fc2")):
                    _linear(move, f"{target}.attention.{ours}", f"{inside}.{n}.conc_se_layers.0.{theirs}")
        before = block.width
    _linear(move, "hidden", "classifier.2")
    _linear(move, "out", "classifier.5")


def _conv(move: Transfer, target: str, source: str) -> None:
    move.copy(f"{target}.conv.weight", f"{source}.0.weight")
    move.batch_norm(f"{target}.norm", f"{source}.1")


def _linear(move: Transfer, target: str, source: str) -> None:
    for part in ("weight", "bias"):
        move.copy(f"{target}.{part}", f"{source}.{part}")
