"""The shape of a classifier, as numbers: a front end, a row of blocks, a head.

All families are rows of the same few blocks. The course's own checkpoints have such a shape in `config.json`;
of a public file it is read off the tensors (see `panns`).
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from math import prod

from helpers.classify.files import CONFIG
from helpers.support.config import LARGEST, is_whole, shown
from helpers.support.errors import InputError

KINDS = ("conv", "twice", "separable", "inverted", "fused", "ghost")
ATTENTIONS = ("", "se", "eca")
POOLS = ("mean", "peak", "steps_max", "steps_mean")
OUTPUTS = ("linear", "cosine", "arcface")
SCORES = ("sigmoid", "softmax")
EMBEDDINGS = ("last", "pooled")
EARS = ("log_mel", "kaldi")
ACTIVATIONS = ("none", "relu", "relu6", "silu", "hardswish")
STRIDINGS = ("step", "pool", "same")
MOST_BLOCKS, MOST_LABELS = 500, 100_000
WIDEST, LARGEST_STRIDE = 1 << 16, 8


@dataclass(frozen=True)
class Front:
    """The ear: rates and frequencies in hertz, window and hop in samples.

    ear: "log_mel", or "kaldi", see `layers.spectrogram`. level: whether the mean over the clip is taken off
    the decibels, so that loudness does not count.
    """

    sample_rate: int = 16000
    n_fft: int = 512
    hop: int = 160
    n_mels: int = 64
    f_min: float = 50.0
    f_max: float = 8000.0
    level: bool = False
    ear: str = "log_mel"


@dataclass(frozen=True)
class Block:
    """One block of `layers.images`. expanded: the width inside; squeezed: of squeeze and excitation.

    squeezing: the activation within that; "" for the block's own.
    """

    kind: str
    width: int
    stride: int = 1
    kernel: int = 3
    expanded: int = 0
    attention: str = ""
    squeezed: int = 0
    activation: str = "relu"
    striding: str = "step"
    squeezing: str = ""


@dataclass(frozen=True)
class Head:
    """What makes scores of the last block's output.

    pool: "mean" over time and frequency; "peak", the mean over frequency, then over time the mean and the
    largest added; "steps_max", "steps_mean": scores for each step, of which the clip has the largest or the
    mean. hidden: the width of a layer before the last, 0 for none. output: "linear", or the cosine of the
    angle to each label's direction times `scale`; "arcface" is the same, trained with a margin. embedding:
    what the model gives beside scores, "last" for what the last layer looks at, or "pooled" as it is before
    the hidden layer.
    """

    n_labels: int
    pool: str = "mean"
    hidden: int = 0
    activation: str = "relu"
    output: str = "linear"
    scale: float = 16.0
    scores: str = "softmax"
    embedding: str = "last"


@dataclass(frozen=True)
class Config:
    """A whole classifier. normed: whether each mel band is brought to a common range. eps: the norms'."""

    architecture: str
    front: Front
    blocks: tuple[Block, ...]
    head: Head
    normed: bool = True
    eps: float = 1e-5
    window_seconds: float = 2.0

    @property
    def stride(self) -> int:
        """How many frames of the front end make a step of the last block."""
        return prod(block.stride for block in self.blocks)

    @property
    def by_steps(self) -> bool:
        return self.head.pool.startswith("steps")

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the graph gives, in order."""
        return ("scores", "framewise") if self.by_steps else ("scores", "embedding")

    @property
    def shortest(self) -> int:
        """Samples: a window of the front end, and enough frames that a step is left for the last block."""
        pools = any(block.kind == "twice" or block.striding == "pool" for block in self.blocks)
        return max(self.front.n_fft, (self.stride - 1) * self.front.hop if pools else 0)

    def to_json(self) -> dict:
        """As `config.json` has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping) -> "Config":
        """The way back, from a stranger's file. Raises InputError that names what can't be used."""
        blocks = content.get("blocks")
        if not isinstance(blocks, list) or not 0 < len(blocks) <= MOST_BLOCKS:
            raise InputError(f"config.json: 'blocks' should be a list of 1 to {MOST_BLOCKS} blocks.")
        parts = {
            "front": _read(Front, content.get("front"), "front"),
            "blocks": tuple(_read(Block, one, f"blocks[{i}]") for i, one in enumerate(blocks)),
            "head": _read(Head, content.get("head"), "head"),
        }
        rest = {field.name: content[field.name] for field in fields(cls) if field.name in content}
        config = _read(cls, rest | parts, "config")
        config.check()
        return config

    def check(self, called: str = CONFIG) -> None:
        """Raise InputError for numbers that no model has. called: the file that they are from."""
        front, head = self.front, self.head
        names = [(one.kind, KINDS) for one in self.blocks] + [
            (one.attention, ATTENTIONS) for one in self.blocks
        ]
        names += [(one.activation, ACTIVATIONS) for one in (*self.blocks, head)]
        names += [(one.striding, STRIDINGS) for one in self.blocks]
        names += [(one.squeezing, ("", *ACTIVATIONS)) for one in self.blocks]
        names += [(head.pool, POOLS), (head.output, OUTPUTS), (head.scores, SCORES)]
        names += [(head.embedding, EMBEDDINGS), (front.ear, EARS)]
        for name, known in names:
            if name not in known:
                raise InputError(f"{called}: there is no {shown(name)}; choose one of {', '.join(known)}.")
        counts = {
            "sample_rate": (front.sample_rate, 1000, 200_000), "n_fft": (front.n_fft, 16, 1 << 12),
            "hop": (front.hop, 1, 1 << 14), "n_mels": (front.n_mels, 1, 1024),
            "n_labels": (head.n_labels, 1, MOST_LABELS), "hidden": (head.hidden, 0, WIDEST),
            "window_seconds": (self.window_seconds, 0.01, 3600), "eps": (self.eps, 1e-12, 1),
            "scale": (head.scale, 1e-6, 1e6), "f_min": (front.f_min, 0, front.f_max - 1),
            "f_max": (front.f_max, 1, front.sample_rate / 2),
        }  # fmt: skip
        for one in self.blocks:
            counts |= {
                "width": (one.width, 1, WIDEST), "stride": (one.stride, 1, LARGEST_STRIDE),
                "kernel": (one.kernel, 1, 31), "expanded": (one.expanded, 0, WIDEST),
                "squeezed": (one.squeezed, 0, WIDEST),
            }  # fmt: skip
            _check_counts(counts, called)
            if one.kind in ("inverted", "fused", "ghost") and not one.expanded:
                raise InputError(f"{called}: a block of kind '{one.kind}' needs 'expanded'.")
            if (one.attention == "se") != (one.squeezed > 0):
                raise InputError(f"{called}: 'squeezed' goes with the attention 'se', and only with it.")
            if one.kernel < one.stride or one.kernel % 2 == 0:
                raise InputError(f"{called}: a 'kernel' is odd and no smaller than its 'stride'.")
        if front.n_fft % 2 or self.stride > LARGEST:
            raise InputError(f"{called}: 'n_fft' should be even, and all strides together below a million.")


def _check_counts(counts: Mapping[str, tuple[float, float, float]], called: str) -> None:
    for name, (value, least, most) in counts.items():
        if not least <= value <= most:
            raise InputError(f"{called}: '{name}' is {shown(value)}, not from {least:g} to {most:g}.")


def _read(kind: type, content: object, called: str):
    """A dataclass from a JSON object, every value of the type of its field. Raises InputError."""
    if not isinstance(content, Mapping):
        raise InputError(f"config.json: '{called}' should be an object, not {shown(content)}.")
    known = {one.name: one for one in fields(kind)}
    for name, value in content.items():
        if name not in known:
            raise InputError(f"config.json: {shown(name)} in '{called}' is nothing this course knows.")
        if not _fits(known[name].type, value):
            raise InputError(f"config.json: '{name}' in '{called}' can't be {shown(value)}.")
    missing = [name for name, one in known.items() if name not in content and one.default is MISSING]
    if missing:
        raise InputError(f"config.json: '{called}' lacks '{missing[0]}'.")
    return kind(**content)


def _fits(kind: object, value: object) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return is_whole(value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) if kind is str else True
