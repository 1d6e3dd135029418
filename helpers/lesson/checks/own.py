"""Checks of notebook 08, Your own model."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from helpers import checkpoints
from helpers.lesson.checks import verdict
from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import (
    NotYet,
    Wrong,
    called,
    close,
    exercise,
    explain,
    number,
)
from helpers.runtime.session import OnnxGraph
from helpers.support.errors import InputError
from helpers.support.files import ROOT
from helpers.verify import TOLERANCE, relative_difference

FILES = ROOT / "models" / "follower"
HEADS, STORED = 4, 100  # of the follower: heads, and the frames that its table is for
A_MINUTE = 2584  # of the tapper's frames
FORGETS = 0.75  # what the tapper's running mean keeps from frame to frame


@exercise
def input_norm(function: Callable[[Tensor], Tensor], metadata: Mapping) -> str:
    """A function that brings log-mel frames (B, T, M) to what the follower was trained on."""
    mean, deviation = metadata["input"]["mean"], metadata["input"]["std"]
    mel = 2 * torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)) - 2
    answer = of_shape(called(function, mel), mel.shape, "the frames keep their shape; the function gave")
    mistakes = {
        "the frames come back as they were.": mel,
        "the mean is still in it.": mel / deviation,
        "only the mean is gone; how wide the numbers spread is not what the model expects.": mel - mean,
        "that is the way back, from what the model sees to what was measured.": mel * deviation + mean,
        "what is left after the mean should be divided by the deviation, not multiplied.": (
            (mel - mean) * deviation
        ),
        "the mean has a sign of its own: it was added, not taken away.": (mel + mean) / deviation,
        "divided first, and then the mean was taken away: the order is the other one.": mel / deviation
        - mean,
        "those are this sound's own numbers; the model was trained with the same two for every sound.": (
            (mel - mel.mean()) / mel.std()
        ),
    }
    if expect(answer, (mel - mean) / deviation, mistakes, within(rtol=0, atol=1e-5)):
        return "what the model sees has a mean near zero again, as in its training."
    raise Wrong("two numbers in the file's metadata are about the input; use both, and nothing else.")


@exercise
def wiring(names: Mapping[str, str]) -> str:
    """Which of the file's two norms is whose: {"attention": prefix, "feed_forward": prefix}."""
    if not isinstance(names, Mapping) or set(names) != {"attention", "feed_forward"}:
        raise Wrong("the answer is a dictionary with the keys 'attention' and 'feed_forward'.")
    if ... in names.values():
        raise NotYet
    unknown = [name for name in names.values() if name not in ("mixer.ln.0", "mixer.ln.1")]
    if unknown:
        raise Wrong(f"{unknown[0]!r} is not the beginning of a norm's names, such as 'mixer.ln.0'.")
    if names["attention"] == names["feed_forward"]:
        raise Wrong("one norm is used twice, and the other would be left over.")
    if names["attention"] == "mixer.ln.0":
        raise Wrong("that is how they are counted; does the attention's line come down to rounding with it?")
    return "the file counts them in another order than they are used; no shape could tell."


@exercise
def lora_scale(scale: float) -> str:
    """By what the follower's LoRA product B A is multiplied."""
    scale, rank, alpha = number(scale), 4, 16
    mistakes = {
        "that is with an alpha of 1, as VampNet has it; what does this file's metadata say?": 1 / rank,
        "that is alpha; it is divided by something.": alpha,
        "upside down: alpha stands above.": rank / alpha,
        "alpha and rank are not multiplied.": rank * alpha,
        "that leaves the product as it is.": 1,
    }
    if close(scale, alpha / rank):
        return "alpha over rank; in no tensor, and nothing but a comparison would have told."
    explain(scale, mistakes)
    raise Wrong("two numbers decide it: the thin side of both matrices, and one in the metadata.")


def distance_bias(n: int) -> Tensor:
    """The follower's table for any number of frames: (HEADS, n, n)."""
    time = torch.arange(n)
    slopes = 2.0 ** -torch.arange(1, HEADS + 1)
    return -slopes[:, None, None] * (time[:, None] - time).abs()


@exercise
def bias_rule(function: Callable[[int], Tensor]) -> str:
    """A function of the number of frames n that makes the follower's table for it, (HEADS, n, n)."""
    for n in (STORED, STORED + 1, 1, 37, 431):
        right = distance_bias(n)
        try:
            answer = called(function, n)
        except Wrong as wrong:
            raise Wrong(f"for {n} frames {wrong}") from wrong
        answer = of_shape(answer, right.shape, f"for {n} frames it should be {tuple(right.shape)}, and was")
        time, steps = torch.arange(n), torch.arange(1, HEADS + 1)[:, None, None]
        away = time[:, None] - time
        mistakes = {
            "the sign is wrong: far frames count more than near ones.": -right,
            "only one side is lowered; frames before and after count alike.": right * (away > 0),
            "only one side is lowered; frames after and before count alike.": right * (away < 0),
            "one side is lowered and the other raised: take the distance without its sign.": (
                -(2.0**-steps) * away
            ),
            "the heads are in the other order.": right.flip(0),
            "all heads fall equally; look at the second one.": right[:1].expand_as(right),
            "the first head is right; the others fall more slowly than that.": -away.abs() / (steps + 1.0),
        }
        if not expect(answer.float(), right, mistakes if n == STORED else {}, within(rtol=0, atol=1e-4)):
            if n != STORED:
                raise Wrong(f"for {STORED} frames it is the table, and for {n} it is something else.")
            raise Wrong("read a row of each head from the diagonal on: by how much does each step fall?")
    return "the same as the table at 100 frames, and defined for 1, 37, 101 and 431 as well."


@exercise
def open_axes(axes: Mapping[str, Mapping[int, str]]) -> str:
    """The axes of the follower's input `mel` and outputs `pitch`, `voicing` that may change, with names."""
    wanted = {"mel", "pitch", "voicing"}
    if not isinstance(axes, Mapping) or not all(isinstance(one, Mapping) for one in axes.values()):
        raise Wrong('the answer is a dictionary of dictionaries, such as {"mel": {0: "batch"}}.')
    if set(axes) != wanted:
        raise Wrong(f"one entry each for the input and both outputs: {', '.join(sorted(wanted))}.")
    for name, size in {"mel": 3, "pitch": 3, "voicing": 2}.items():
        if set(axes[name]) - set(range(size)):
            raise Wrong(f"{name} has the axes 0 to {size - 1}.")
        if 2 in axes[name]:
            raise Wrong(f"the last axis of {name} is the model's own size: weights are made for it.")
        for axis, what in ((0, "how many sounds"), (1, "how many frames")):
            if axis not in axes[name]:
                raise Wrong(f"{name} would be frozen in {what}.")
    both = [axes[name][0] for name in wanted], [axes[name][1] for name in wanted]
    if any(len(set(names)) > 1 for names in both):
        raise Wrong("what is equally long in the input and the outputs should have one name.")
    if both[0][0] == both[1][0]:
        raise Wrong("batch and time with one name would have to be equally long.")
    return "sounds and frames are open everywhere, and who reads the file sees which sizes are equal."


def tapped(
    bands: Tensor, weights: Mapping[str, Tensor], with_level: bool = True, past: str = "before"
) -> tuple[Tensor, Tensor]:
    """The tapper on (T, B, bands): two outputs (T, B). `with_level` and `past` make mistakes."""
    mixed = (bands - weights["level"] if with_level else bands) @ weights["inp.weight"].T
    time = torch.arange(bands.shape[0])
    gap = time[:, None] - time
    gap = {"before": gap, "after": -gap, "itself too": gap + 1}[past]
    table = torch.where(gap > 0, (1 - FORGETS) * FORGETS ** (gap.clamp(min=1) - 1.0), 0.0)
    news = mixed - torch.einsum("ts,sbw->tbw", table, mixed)
    hidden = (torch.cat([mixed, news], -1) @ weights["hid.weight"].T + weights["hid.bias"]).relu()
    return tuple((hidden @ weights[f"{n}.weight"].T + weights[f"{n}.bias"])[..., 0] for n in ("on", "hold"))


def tapper_weights() -> dict[str, Tensor]:
    """The tapper's tensors, in float32."""
    return {name: one.float() for name, one in checkpoints.read(FILES / "tapper.pth").tensors.items()}


@exercise
def exam(path: str | os.PathLike) -> str:
    """The reader's ONNX file of the tapper: bands (T, B, bands) -> begins, sounds (T, B)."""
    if not isinstance(path, (str, os.PathLike)) or not Path(path).is_file():
        raise Wrong("the answer is the path of the ONNX file that you wrote, and it has to be there.")
    recorded, weights = torch.from_numpy(np.load(FILES / "tapper.npz")["input"]), tapper_weights()
    generator = torch.Generator().manual_seed(0)
    for n, batch in ((64, 2), (64, 5), (65, 2), (1, 1), (300, 3), (A_MINUTE, 1)):
        bands = recorded if (n, batch) == (64, 2) else torch.randn(n, batch, 24, generator=generator) - 2
        said = f"{n} frames of {batch} sounds"
        try:
            found = OnnxGraph(path)(bands.numpy())
        except InputError as error:
            frozen = "how many sounds" if n == 64 else "how many frames"
            why = "the recorded input itself is refused" if bands is recorded else f"{frozen} is frozen"
            raise Wrong(f"{said}: {why}. {error}") from error
        if not isinstance(found, tuple) or len(found) != 2:
            raise Wrong("the graph should have two outputs.")
        if any(one.shape != (n, batch) for one in found):
            shapes = " and ".join(str(one.shape) for one in found)
            raise Wrong(f"{said}: both outputs should be {(n, batch)}, time first; they are {shapes}.")
        if not all(np.isfinite(one).all() for one in found):
            raise Wrong(
                f"{said}: some outputs are no numbers. What does your rule compute for frames still to come, "
                "before they are left out?"
            )
        right = tapped(bands, weights)
        if not _alike(found, right):
            _explain_tapper(found, bands, weights)
            raise Wrong(f"{said}: the shapes are right and the numbers are not; compare part by part.")
    _check_source(path)
    return "two outputs, time first, any length: you took a model through that nobody explained."


def _check_source(path: str | os.PathLike) -> None:
    said = {one.key: one.value for one in onnx.load(path).metadata_props}
    if "source" not in said:
        raise Wrong(
            "the numbers are right; what the file was made from, it does not say: see `source` above."
        )
    if checkpoints.read(FILES / "follower.pth").sha256() == said["source"]:
        raise Wrong("the numbers are right; the file says that it was made from the follower's checkpoint.")
    if checkpoints.read(FILES / "tapper.pth").sha256() != said["source"]:
        raise Wrong("the numbers are right; its `source` is not the checksum of the tapper's checkpoint.")


def _alike(found: tuple, right: tuple) -> bool:
    return all(relative_difference(one.numpy(), two) <= TOLERANCE for one, two in zip(right, found))


def _explain_tapper(found: tuple, bands: Tensor, weights: Mapping[str, Tensor]) -> None:
    right = tapped(bands, weights)
    mistakes = {
        "the two outputs have changed places.": right[::-1],
        "these are probabilities; the recorded arrays are what comes before the sigmoid.": tuple(
            one.sigmoid() for one in right
        ),
        "what the file calls `level` is not used as it should be.": tapped(bands, weights, with_level=False),
        "each frame is compared with what comes after it.": tapped(bands, weights, past="after"),
        "the running mean holds the frame itself already.": tapped(bands, weights, past="itself too"),
    }
    explain(found, mistakes, _alike)


OURS: dict[str, Callable] = {
    "input_norm": lambda metadata: lambda mel: (mel - metadata["input"]["mean"]) / metadata["input"]["std"],
    "wiring": lambda: {"attention": "mixer.ln.1", "feed_forward": "mixer.ln.0"},
    "lora_scale": lambda: 4,
    "bias_rule": lambda: distance_bias,
    "open_axes": lambda: {name: {0: "batch", 1: "frames"} for name in ("mel", "pitch", "voicing")},
}


or_ours = partial(verdict.or_ours, OURS)
