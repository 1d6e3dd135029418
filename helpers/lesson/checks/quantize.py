"""Checks of notebook 06, Smaller and faster."""

from collections.abc import Callable, Mapping, Sequence

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
def needs_float(answer: str, losses: Mapping[str, float]) -> str:
    """The part that costs most in 8 bit; losses are KL by part."""
    if not isinstance(answer, str) or answer not in losses:
        raise Wrong(f"there is no part {answer!r}; choose one of {', '.join(map(repr, losses))}.")
    worst = max(losses, key=losses.get)
    if answer == worst:
        return f"alone it costs {losses[worst]:.4f} nats, the most of all: keep it in float first."
    if answer == min(losses, key=losses.get):
        raise Wrong("that one costs least of all.")
    raise Wrong(f"it costs {losses[answer]:.4f} nats, and another part costs more.")


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
