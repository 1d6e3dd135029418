"""Checks of notebook 05, Export and prove it."""

import operator
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from helpers.layers import CodebookEmbedding
from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number, whole_number
from helpers.lesson.layerwise import export_layer, run_layer
from helpers.support.errors import InputError

CODES = ("clips", "codebooks", "frames")  # the axes of what goes into a transformer
EXAMPLE = (2, 3, 12)
FAULTS = {  # what a faulty export of a tagger does, and at how many clips and frames it shows
    "cuts what is longer than 100 frames": lambda clips, frames: frames > 100,
    "is silent for a single frame": lambda clips, frames: frames == 1,
    "drops the last of an odd number of frames": lambda clips, frames: frames > 1 and frames % 2,
    "mixes the clips of a batch": lambda clips, frames: clips > 1,
}
MOST_SIZES = 3
OTHERS = {"one clip": (1, 3, 12), "13 frames": (2, 3, 13), "one frame": (2, 3, 1)}


@exercise
def dynamic_axes(axes: dict[int, str]) -> str:
    """The axes of codes (B, C, T) that may change after the export, {axis: name}: a layer is exported so."""
    if not isinstance(axes, dict) or not all(isinstance(name, str) for name in axes.values()):
        raise Wrong('the answer is a dictionary from axis to name, such as {2: "frames"}.')
    unknown = [axis for axis in axes if axis not in range(len(CODES))]
    if unknown:
        raise Wrong(f"there is no axis {unknown[0]!r}: codes have the axes 0, 1 and 2.")
    if 1 in axes:
        raise Wrong(
            "codebooks can't change: the projection after the embedding has weights for each of them."
        )
    if len(set(axes.values())) < len(axes):
        raise Wrong("two axes with one name would have to be equally long; each needs its own.")
    layer = CodebookEmbedding(n_codebooks=EXAMPLE[1], vocab_size=7, latent_dim=4, width=8)
    with tempfile.TemporaryDirectory() as folder:
        example = torch.zeros(EXAMPLE, dtype=torch.long)
        path = export_layer(layer, [example], Path(folder) / "layer.onnx", [axes] if axes else None)
        for what, shape in OTHERS.items():
            try:
                run_layer(path, torch.zeros(shape, dtype=torch.long))
            except InputError as error:
                said = f"the example had {EXAMPLE[0]} clips of {EXAMPLE[2]} frames, and {what} is refused"
                raise Wrong(f"{said}: a size is still frozen.") from error
    return "a layer was exported like that: one clip, 13 frames and a single frame all go through."


@exercise
def equal_share(function: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """A function of two arrays of scores (B, P, T, V): the share of places with the same best token."""
    rng = np.random.default_rng(0)
    ours = rng.standard_normal((2, 4, 25, 16)).astype(np.float32)
    theirs = ours + np.float32(1e-6) * rng.standard_normal(ours.shape).astype(np.float32)  # rounding
    changed = rng.random(ours.shape[:-1]) < 0.1
    theirs[changed] = np.roll(ours[changed], 1, axis=-1)  # another token is the best one there
    share = number(called(function, ours, theirs))
    equal = ours.argmax(-1) == theirs.argmax(-1)
    mistakes = {
        "the scores themselves were compared: rounding makes them differ where the tokens are equal.": (
            (ours == theirs).mean()
        ),
        "that is the share of places that differ.": 1 - equal.mean(),
        "that is a count; divide by the number of places.": equal.sum(),
        "that is in percent; a share lies between 0 and 1.": 100 * equal.mean(),
        "the largest scores were compared; compare the places where they stand.": (
            (ours.max(-1) == theirs.max(-1)).mean()
        ),
        "the scores were compared, up to rounding; compare which of them is the largest.": (
            np.isclose(ours, theirs).mean()
        ),
        "all or nothing is too coarse: how many of the places agree?": float(equal.all()),
    }
    if close(share, equal.mean()):
        return f"in the check's example {share:.1%} of {equal.size} places agree, whatever rounding does."
    for axis, name in enumerate(("clips", "codebooks", "frames")):
        wrong_way = ours.argmax(axis) == theirs.argmax(axis)
        mistakes[f"the best was looked for among {name}; the codes lie along the last axis."] = (
            wrong_way.mean()
        )
    explain(share, mistakes)
    raise Wrong("take the place of the largest score along the last axis on both sides, and compare those.")


@exercise
def sizes(answer: list[tuple[int, int]]) -> str:
    """Sizes (clips, frames), MOST_SIZES at most, at which each of FAULTS shows."""
    try:
        found = [(whole_number(clips), whole_number(frames)) for clips, frames in answer]
    except (TypeError, ValueError) as error:
        raise Wrong("the answer is a list of pairs, clips and frames, such as [(2, 12)].") from error
    if len(found) > MOST_SIZES or min(map(min, found), default=0) < 1:
        raise Wrong(f"give one to {MOST_SIZES} sizes, each of at least one clip and one frame.")
    for fault, shows in FAULTS.items():
        if not any(shows(*size) for size in found):
            raise Wrong(f"an export that {fault} would pass at all of your sizes.")
    return f"each of the {len(FAULTS)} faults shows at one of your sizes; no list shows every fault there is."


def _asked() -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Scores (2, 30, 20) of two programs and of the judge, and at how many places they are how far apart.

    The scores lie near 300, where 32 bits have steps of 3e-5: what is less apart, only the judge can tell.
    """
    rng = np.random.default_rng(0)
    judge = 300 + rng.uniform(-9, -4, (2, 30, 20))
    kinds = {"equal": 3.0, "tie": 2e-6, "close": 1.2e-5, "turned": -0.01, "far": 0.01}
    kind = rng.permutation(np.repeat(range(len(kinds)), (14, 13, 9, 7, 17))).reshape(2, 30)
    one, other = np.moveaxis(rng.permuted(np.tile(np.arange(20), (2, 30, 1)), axis=-1)[..., :2, None], 2, 0)
    np.put_along_axis(judge, one, 300, -1)
    np.put_along_axis(judge, other, 300 - np.array(list(kinds.values()))[kind][..., None], -1)
    ours, theirs = judge.astype(np.float32), judge.astype(np.float32)
    np.put_along_axis(ours, one, 300.1, -1)
    np.put_along_axis(theirs, np.where(kind[..., None] == 0, one, other), 300.1, -1)
    return ours, theirs, judge, {name: int((kind == i).sum()) for i, name in enumerate(kinds)}


@exercise
def real_mistakes(count: Callable[[np.ndarray, np.ndarray, np.ndarray], int]) -> str:
    """A function of two programs' scores and the judge's (..., V): the places that differ and are no ties."""
    ours, theirs, judge, n = _asked()
    differ = sum(n.values()) - n["equal"]
    answer = whole_number(called(count, ours.copy(), theirs.copy(), judge.copy()))
    if answer == differ - n["tie"]:
        return f"of {differ} places that differ {n['tie']} are ties; the other {answer} need an explanation."
    mistakes = {
        "that counts every place that differs, the ties too.": differ,
        "that is how many are ties; asked for are the others.": n["tie"],
        "that counts places where both choose alike, too.": differ - n["tie"] + n["equal"],
        "somewhere the judge prefers the other program's code, and by far: then ours is the mistake.": (
            differ - n["tie"] - n["turned"]
        ),
        "some places 1.2e-5 apart are taken for ties; near 300, 32 bits can't tell them apart, and 64 can.": (
            differ - n["tie"] - n["close"]
        ),
    }
    explain(answer, mistakes, operator.eq)
    raise Wrong("at each place that differs there are two candidates, and the judge has a score for both.")
