"""Classifiers of the course's size, to be trained: five families in rows of the same blocks."""

from collections.abc import Callable

from helpers.classify.configs import Block, Config, Front, Head
from helpers.support.errors import InputError

FRONT = Front(16000, 512, 320, 64, 50.0, 8000.0, level=True)
FOLD = 4  # how much narrower squeeze and excitation is than what it weighs
HEADS = {
    "softmax": {"output": "linear", "scores": "softmax"},
    "sigmoid": {"output": "linear", "scores": "sigmoid"},
    "cosine": {"output": "cosine", "scores": "softmax"},
    "arcface": {"output": "arcface", "scores": "softmax"},
}


def cnn14(width: int = 8) -> tuple[Block, ...]:
    """Six pairs of 3x3 convolutions, each twice as wide as the one before (Kong et al. 2020)."""
    return tuple(Block("twice", width << i, 2 if i < 5 else 1) for i in range(6))


def mobilenet_v1(
    widths: tuple[int, ...] = (8, 16, 32, 32, 64, 64, 128, 128, 128, 256),
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1),
) -> tuple[Block, ...]:
    """A convolution, then separable ones (Howard et al. 2017)."""
    kinds = ["conv", *["separable"] * (len(widths) - 1)]
    return tuple(Block(*one) for one in zip(kinds, widths, strides, strict=True))


def student() -> tuple[Block, ...]:
    """Few separable convolutions: some 55,000 numbers, for a small device."""
    return mobilenet_v1((24, 48, 64, 96, 128, 192), (2, 2, 1, 2, 1, 1))


def tiny() -> tuple[Block, ...]:
    """Some 10,000 numbers."""
    return mobilenet_v1((12, 24, 32, 48, 64), (2, 2, 1, 2, 1))


def mobilenet_v2() -> tuple[Block, ...]:
    """Wide inside, narrow outside (Sandler et al. 2018)."""
    # width, how many, stride, times wider inside
    rows = ((8, 1, 1, 1), (12, 2, 2, 6), (16, 3, 2, 6), (24, 3, 2, 6), (40, 2, 1, 6))
    blocks, before = [Block("conv", 16, 2, activation="relu6")], 16
    for width, n, stride, times in rows:
        for i in range(n):
            step = stride if i == 0 else 1
            blocks.append(Block("inverted", width, step, expanded=times * before, activation="relu6"))
            before = width
    return (*blocks, Block("conv", 256, 1, 1, activation="relu6"))


def efficientnet_v2() -> tuple[Block, ...]:
    """Fused blocks first, then inverted ones that weigh their channels (Tan & Le 2021)."""
    return _bottlenecks("fused", "inverted", "se")


def ghost() -> tuple[Block, ...]:
    """The same row, half of the channels made cheaply and weighed by ECA (Han and Wang et al., 2020)."""
    return _bottlenecks("ghost", "ghost", "eca")


def _bottlenecks(first: str, then: str, attention: str) -> tuple[Block, ...]:
    blocks, before = [Block("conv", 16, 2, activation="silu")], 16
    for width, n, stride in ((16, 1, 1), (24, 2, 2), (32, 2, 2)):
        for i in range(n):
            wide = before if width == 16 else 4 * before
            step = stride if i == 0 else 1
            blocks.append(Block(first, width, step, expanded=wide, activation="silu"))
            before = width
    for width, n, stride in ((48, 3, 2), (64, 3, 1)):
        for i in range(n):
            squeezed = max(8, before // FOLD) if attention == "se" else 0
            step = stride if i == 0 else 1
            blocks.append(Block(then, width, step, 3, 4 * before, attention, squeezed, "silu"))
            before = width
    return (*blocks, Block("conv", 256, 1, 1, activation="silu"))


FAMILIES: dict[str, tuple[Callable[[], tuple[Block, ...]], str]] = {  # blocks, and how the head pools
    "cnn14": (cnn14, "peak"),
    "mobilenet_v1": (mobilenet_v1, "peak"),
    "mobilenet_v2": (mobilenet_v2, "peak"),
    "efficientnet_v2": (efficientnet_v2, "mean"),
    "ghost": (ghost, "mean"),
    "student": (student, "peak"),
    "tiny": (tiny, "peak"),
}


def family(name: str, n_labels: int, head: str = "softmax", front: Front = FRONT, hidden: int = 0) -> Config:
    """The shape of a classifier to be trained. Raises InputError for a name that is not one."""
    if name not in FAMILIES or head not in HEADS:
        raise InputError(
            f"there is no family '{name}' with the head '{head}'; choose one of {', '.join(FAMILIES)}, "
            f"and one of {', '.join(HEADS)}."
        )
    blocks, pool = FAMILIES[name]
    return Config(name, front, blocks(), Head(n_labels, pool, hidden, **HEADS[head]))
