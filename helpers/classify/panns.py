"""PANNs (Kong et al. 2020): which architecture a file holds, its shape, its names.

All widths are read off the tensors; what they do not say (where time is halved, rates) is the architecture's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from helpers.classify.configs import Block, Config, Front, Head
from helpers.classify.files import PANNS, SCORED, architecture_of
from helpers.classify.shapes import size
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.transfer import Transfer

FRONTS = {1024: (32000, 320, 14000.0), 512: (16000, 160, 8000.0), 256: (8000, 80, 4000.0)}  # by n_fft
F_MIN = 50.0
SECONDS = 10.0  # of AudioSet's clips, on which all of them were trained
STRIDES = {
    "Cnn14": (2, 2, 2, 2, 2, 1),
    "MobileNetV1": (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
    "MobileNetV2": (2, 1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1),
}
POOLS = {"Cnn14_DecisionLevelMax": "steps_max", "Cnn14_DecisionLevelAvg": "steps_mean"}
HALLMARKS = {  # a tensor that one family alone has
    "Cnn14": "conv_block6.conv2.weight",
    "MobileNetV1": "features.13.5.weight",
    "MobileNetV2": "features.17.conv.8.weight",
}
MEL, REAL = "logmel_extractor.melW", "spectrogram_extractor.stft.conv_real.weight"
IMAG = "spectrogram_extractor.stft.conv_imag.weight"


def read_config(path: Path, tensors: Mapping[str, Tensor], named: str | None) -> Config:
    """The shape of a PANNs file. named: what the user says it is. Raises InputError."""
    architecture = chosen(path, tensors, named)
    family = family_of(architecture)
    n_bins, _, n_fft = size(path, tensors, REAL, 3)
    if n_fft not in FRONTS or n_bins != n_fft // 2 + 1:
        raise InputError(
            f"{path}: a window of {n_fft} samples and {n_bins} bins is not PANNs' (512 and 257, say)."
        )
    rate, hop, f_max = FRONTS[n_fft]
    front = Front(rate, n_fft, hop, size(path, tensors, MEL, 2)[1], F_MIN, f_max)
    hidden, labels = (size(path, tensors, f"{name}.weight", 2)[0] for name in ("fc1", "fc_audioset"))
    head = Head(labels, POOLS.get(architecture, "peak"), hidden, scores="sigmoid")
    blocks = tuple(BLOCKS[family](path, tensors, i, stride) for i, stride in enumerate(STRIDES[family]))
    return Config(architecture, front, blocks, head, window_seconds=SECONDS)


def family_of(architecture: str) -> str:
    """The family whose tensors an architecture has."""
    return architecture if architecture in STRIDES else "Cnn14"


def chosen(path: Path, tensors: Mapping[str, Tensor], named: str | None) -> str:
    """Which architecture it is: as the user says, as the file is called, or as only one can be."""
    if named is not None and named not in PANNS:
        raise InputError(f"there is no model {shown(named)}; choose one of {', '.join(PANNS)}.")
    families = [family for family, hallmark in HALLMARKS.items() if hallmark in tensors]
    said = named or architecture_of(path)
    if not families:
        raise InputError(
            f"{path} holds {shown(said) if said else 'a model'} with none of the tensors that would tell it "
            f"({', '.join(HALLMARKS.values())}); {', '.join(PANNS)} are read."
        )
    if said is None and SCORED in path.name:
        raise InputError(
            f"{path} is called {shown(path.name.partition(SCORED)[0])}, which is not read here; is it one "
            f"of {', '.join(PANNS)} after all, say so with --model."
        )
    if said is None and families != ["Cnn14"]:
        return families[0]
    if said is None:
        raise InputError(
            f"{path} may be a Cnn14 or a decision-level one, whose tensors have the same names; "
            f"say which with --model: {', '.join(('Cnn14', *POOLS))}."
        )
    if family_of(said) not in families:
        raise InputError(f"{path} is called a {said}, but its tensors are a {families[0]}'s; see --model.")
    return said


def _twice(path: Path, tensors: Mapping[str, Tensor], i: int, stride: int) -> Block:
    return Block("twice", size(path, tensors, f"conv_block{i + 1}.conv1.weight", 4)[0], stride)


def _mobile_1(path: Path, tensors: Mapping[str, Tensor], i: int, stride: int) -> Block:
    name = f"features.{i}.{4 if i else 0}.weight"
    return Block("separable" if i else "conv", size(path, tensors, name, 4)[0], stride, striding="pool")


def _mobile_2(path: Path, tensors: Mapping[str, Tensor], i: int, stride: int) -> Block:
    if i in (0, len(STRIDES["MobileNetV2"]) - 1):
        width, _, kernel, _ = size(path, tensors, f"features.{i}.0.weight", 4)
        return Block("conv", width, stride, kernel, activation="relu6", striding="pool")
    first, last = (f"features.{i}.conv.{part}.weight" for part in ((0, 4) if i == 1 else (0, 7)))
    expanded, given, *_ = size(path, tensors, first, 4)
    if i == 1:  # the first block alone expands nothing, and its first convolution is depthwise
        given = size(path, tensors, "features.0.0.weight", 4)[0]
    if (expanded == given) != (i == 1):
        raise InputError(f"{path}: '{first}' makes {expanded} channels of {given}, as no MobileNetV2 does.")
    width = size(path, tensors, last, 4)[0]
    return Block("inverted", width, stride, expanded=expanded, activation="relu6", striding="pool")


BLOCKS = {"Cnn14": _twice, "MobileNetV1": _mobile_1, "MobileNetV2": _mobile_2}


def walk(move: Transfer, config: Config) -> None:
    """Tell a `Transfer` where every tensor of a classifier is in a PANNs file."""
    for target, source in (("front.real", REAL), ("front.imag", IMAG), ("front.mel", MEL)):
        move.copy(target, source)
    move.batch_norm("network.norm", "bn0")
    for target, conv, norm in pairs(config):
        move.copy(f"network.blocks.{target}.conv.weight", f"{conv}.weight")
        move.batch_norm(f"network.blocks.{target}.norm", norm)
    for target, source in (("hidden", "fc1"), ("out", "fc_audioset")):
        for part in ("weight", "bias"):
            move.copy(f"network.{target}.{part}", f"{source}.{part}")


def pairs(config: Config) -> Iterator[tuple[str, str, str]]:
    """Of every convolution with a norm: where it is among our blocks, the convolution's name, the norm's."""
    for i, block in enumerate(config.blocks):
        if block.kind == "twice":
            yield f"{i}.first", f"conv_block{i + 1}.conv1", f"conv_block{i + 1}.bn1"
            yield f"{i}.second", f"conv_block{i + 1}.conv2", f"conv_block{i + 1}.bn2"
        elif block.kind == "conv":
            yield f"{i}", f"features.{i}.0", f"features.{i}.{1 if i else 2}"
        elif block.kind == "separable":
            yield f"{i}.depthwise", f"features.{i}.0", f"features.{i}.2"
            yield f"{i}.pointwise", f"features.{i}.4", f"features.{i}.5"
        else:
            inside = f"features.{i}.conv"
            first = 0
            if i > 1:  # the first of them expands nothing
                yield f"{i}.expand", f"{inside}.0", f"{inside}.1"
                first = 3
            yield f"{i}.depthwise", f"{inside}.{first}", f"{inside}.{first + 2}"
            yield f"{i}.project", f"{inside}.{first + 4}", f"{inside}.{first + 5}"
