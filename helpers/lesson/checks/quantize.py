"""Checks of notebook 06, Smaller and faster."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

BITS, BLOCK, SCALE_BITS = 4, 32, 16  # of the block-wise files


@exercise
def per_output(quantize: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> str:
    """A function of a weight (inputs, outputs) float32 that gives int8 numbers, and a scale an output."""
    weight = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32) * [0.01, 0.1, 1, 10]
    answer = called(quantize, weight.astype(np.float32))
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Wrong("the function gives two things: the whole numbers and the scales.")
    try:
        whole, scales = (np.asarray(part, dtype=np.float64) for part in answer)
    except (TypeError, ValueError) as error:
        raise Wrong("both the whole numbers and the scales are arrays of numbers.") from error
    if whole.shape != weight.shape:
        raise Wrong(f"the whole numbers have the shape of the weight, {weight.shape}, not {whole.shape}.")
    if scales.size == 1:
        raise Wrong("that is one scale for all: the outputs with small weights are left with nothing.")
    if scales.size == len(weight):
        raise Wrong("that is a scale for each input; each output, a column of the weight, needs its own.")
    if scales.size != weight.shape[1]:
        raise Wrong(f"there are {weight.shape[1]} outputs and {scales.size} scales.")
    if (whole != np.round(whole)).any():
        raise Wrong("the numbers are not whole: divide by the scale, then round.")
    if np.abs(whole).max() > 127:
        raise Wrong("a number lies beyond 127, more than 8 bits hold with a sign.")
    error = np.abs(whole * scales.reshape(1, -1) - weight) / (np.abs(weight).max(0) / 127)
    if error.max() <= 0.501:
        return "no weight is off by more than half a step, however small its output is."
    if np.abs(whole).max() < 127:
        raise Wrong("no number reaches 127: the steps are wider than they need to be.")
    if error.max() <= 1.001:
        raise Wrong("some weights are off by a whole step: was the fraction cut off instead of rounded?")
    raise Wrong("times their scales the numbers should give the weight back, to half a step.")


@exercise
def kept_layer(name: str, shrink: Callable[[str], tuple[float, float]], layers: Sequence[str]) -> str:
    """The layer of another model that stays in float; shrink: such a name -> share of the size, dB."""
    if name not in layers:
        raise Wrong(f"there is no layer {name!r}; choose one of {', '.join(map(repr, layers))}.")
    share, ratio = shrink(name)
    if ratio == max(shrink(layer)[1] for layer in layers):
        return f"{ratio:.0f} dB at {share:.0%} of the size: the convolutions that follow bear 8 bit here."
    raise Wrong(f"with {name} in float it is {ratio:.1f} dB, and another layer would give more.")


@exercise
def bits_a_weight(answer: float) -> str:
    """What a weight takes in a file of 4 bits in blocks of 32, with a scale of 16 bits a block."""
    answer = number(answer)
    if close(answer, BITS + SCALE_BITS / BLOCK):
        return "half a bit a weight for the scales: a smaller block is finer, and costs more."
    mistakes = {
        "that leaves the scales out: each block has one.": BITS,
        "that takes scales of 32 bits; they are stored as float16.": BITS + 32 / BLOCK,
        "that gives each weight a scale of its own; a block shares one.": BITS + SCALE_BITS,
        "that is a whole block; how many weights share those bits?": BITS * BLOCK + SCALE_BITS,
        "that is the share of the scale alone; the weight itself comes on top.": SCALE_BITS / BLOCK,
        "that is with 8 bits a weight; here it is 4.": 8 + SCALE_BITS / BLOCK,
        "that is in bytes; the answer is asked for in bits.": (BITS + SCALE_BITS / BLOCK) / 8,
    }
    explain(answer, mistakes)
    raise Wrong("add the bits of the weight and its share of the scale.")


SHORT = 2  # dB below the root of both sides' sizes at which a balance is still good


def _ratio(x: np.ndarray, weight: np.ndarray, scales: np.ndarray | float = 1.0) -> float:
    """dB of x @ weight to its error in 8 bit: x / scales with one step, weight * scales with one a column.

    x: (frames, inputs). weight: (inputs, outputs). scales: (inputs,).
    """

    def rounded(numbers: np.ndarray, axis: int | None) -> np.ndarray:
        step = np.abs(numbers).max(axis=axis, keepdims=True) / 127
        return np.round(numbers / step) * step

    exact = x @ weight
    scales = np.broadcast_to(scales, x.shape[1:])
    error = rounded(x / scales, None) @ rounded(weight * scales[:, None], 0) - exact
    return float(10 * np.log10(np.square(exact).sum() / np.square(error).sum()))


def _uneven(loud: tuple[int, ...], heavy: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Input (200, 40) and weight (40, 64); some inputs and some of its rows are thirty times as large."""
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((200, 40)), rng.standard_normal((40, 64))
    x[:, loud] *= 30
    weight[heavy, :] *= 30
    return x, weight


@exercise
def balance(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """A function of x (frames, inputs) and a weight (inputs, outputs) that gives a scale for each input.

    Right is what comes near the geometric mean of both sides' needs (Xiao and others, SmoothQuant, 2023).
    """
    plain = []
    for what, (x, weight) in {
        "one loud input": _uneven((0,), ()),
        "one loud input and another with large weights": _uneven((0,), (1,)),
    }.items():
        scales = np.asarray(called(function, x.copy(), weight.copy()), dtype=np.float64)
        if scales.shape != x.shape[1:]:
            raise Wrong(f"asked for are {x.shape[1]} scales, one an input; the function gave {scales.shape}.")
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise Wrong("a scale is divided by, and multiplied with: it has to be above zero.")
        inputs, rows = np.abs(x).max(0), np.abs(weight).max(1)
        before, best = (_ratio(x, weight, one) for one in (1.0, np.sqrt(inputs / rows)))
        ratio = _ratio(x, weight, scales)
        plain.append(f"{before:.0f} to {ratio:.0f} dB")
        if ratio >= best - SHORT:
            continue
        mistakes = {
            "the scales are all alike, which changes nothing.": np.ones(len(scales)),
            "it is the wrong way round: a loud input gets louder.": np.sqrt(rows / inputs),
            "now every input is alike, and all the difference is in the weight, which loses instead.": inputs,
            "now every row of the weight is alike, and all the difference is in the input.": 1 / rows,
            "the input's sizes are halved between both sides, and what the weight brings along is not.": (
                np.sqrt(inputs)
            ),
        }
        because = f"with {what}, {before:.1f} dB become {ratio:.1f}, and {best:.0f} can be had"
        explain(scales, {f"{because}: {why}": one for why, one in mistakes.items()}, _in_proportion)
        raise Wrong(f"{because}: look at the largest number of each input, and of each row, on both sides.")
    return f"{' and '.join(plain)}, and in float the product is what it was."


def _in_proportion(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are equal up to one factor for all."""
    return bool(np.ptp(np.log(one / other)) < 1e-3)
