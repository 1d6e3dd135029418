"""Checks of notebook 04, Moving the weights."""

from collections.abc import Callable

import torch

from helpers.checkpoints import Checkpoint
from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

PARTS = {"snake_1": 0, "conv_1": 1, "snake_2": 2, "conv_2": 3}


@exercise
def file_name(function: Callable[[int, int, str], str], codec: Checkpoint) -> str:
    """From stage, layer and part of our encoder to the beginning of its tensors' names in the file."""
    n_stages = len(codec.kwargs["encoder_rates"])
    places = [(stage, layer, part) for stage in range(n_stages) for layer in range(3) for part in PARTS]
    for stage, layer, part in places:
        answer = called(function, stage, layer, part)
        right = f"encoder.block.{stage + 1}.block.{layer}.block.{PARTS[part]}"
        if answer == right:
            continue
        where = f"stage {stage}, layer {layer}, {part}"
        if not isinstance(answer, str):
            raise Wrong(f"a name is text; for {where} the function gave a {type(answer).__name__}.")
        if answer.replace(f"block.{stage}.", f"block.{stage + 1}.", 1) == right:
            raise Wrong("the file's first block is the convolution at the start: stage 0 is block 1.")
        if answer.rstrip(".") == right:
            raise Wrong("the last dot is too much.")
        if not any(name.startswith(f"{answer}.") for name in codec.tensors):
            raise Wrong(f"for {where} it gives {answer!r}, and no tensor of the file begins like that.")
        if answer.rpartition(".")[0] == right.rpartition(".")[0]:
            raise Wrong(f"the last number is not that of {part}: snakes and convolutions take turns.")
        raise Wrong(f"for {where} it gives {answer!r}, which is another part of the encoder.")
    return f"all {len(places)} parts are found under their names."


@exercise
def lora_folded(fold: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]) -> str:
    """A function of weight (out, in), A (rank, in), B (out, rank) and alpha that gives the folded weight."""
    generator = torch.Generator().manual_seed(0)
    weight, down, up = (torch.randn(size, generator=generator) for size in ((6, 6), (2, 6), (6, 2)))
    alpha, product = 5.0, up @ down
    said = f"the folded weight has the shape of the weight, {tuple(weight.shape)}, not"
    answer = of_shape(called(fold, weight.clone(), down, up, alpha), weight.shape, said)
    mistakes = {
        "the correction is not divided by the rank.": weight + alpha * product,
        "alpha does nothing; it multiplies the correction.": weight + product / 2,
        "neither alpha nor the rank do anything.": weight + product,
        "that is the correction alone; it belongs on top of the weight.": alpha * product / 2,
        "the correction is multiplied by the rank; divide.": weight + alpha * product * 2,
        "alpha and the rank are swapped.": weight + 2 / alpha * product,
        "that divides by the number of inputs; the rank is the thin side of both matrices.": (
            weight + alpha * product / 6
        ),
        "the weight is scaled too; only the correction is.": alpha / 2 * (weight + product),
        "the correction is transposed: B comes first, then A.": weight + alpha * product.T / 2,
        "the weight comes back as it was: the pair was dropped, as in the failed attempt.": weight,
        "the correction is taken away instead of added.": weight - alpha * product / 2,
    }
    if expect(answer, weight + alpha / 2 * product, mistakes, within(rtol=1e-5, atol=1e-5)):
        return "the pair is in the weight now, and costs nothing any more."
    raise Wrong("compare with W + alpha / rank B A, number by number.")


OTHERS = {16.0: (40, 4, 24), 1.0: (32, 8, 32), 24.0: (16, 2, 48)}  # alpha -> outputs, rank, inputs


@exercise
def lost_alpha(find: Callable[..., float]) -> str:
    """A function of weight, A, B, x (frames, in) and y (frames, out), stored in 16 bits, that gives alpha.

    What it finds is tried on frames that it was not given.
    """
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for alpha, (n_out, rank, n_in) in OTHERS.items():
        made = [
            torch.randn(size, generator=generator) for size in ((n_out, n_in), (rank, n_in), (n_out, rank))
        ]
        weight, down, up = made[0], 0.1 * made[1], 0.1 * made[2]
        folded = weight + alpha / rank * up @ down
        x, new = torch.randn(2, 200, n_in, generator=generator)
        y = (x @ folded.T).half().float()
        answer = number(called(find, weight.clone(), down.clone(), up.clone(), x.clone(), y.clone()))
        mistakes = {
            "that is what the product is multiplied by; alpha is divided by the rank to get it.": alpha
            / rank,
            "that is alpha times the rank: once too often.": alpha * rank,
            "the sign is turned round: what was given, minus what the weight alone gives.": -alpha,
            "that divides by the number of inputs; the rank is the thin side of both matrices.": (
                alpha / rank * n_in
            ),
        }
        if not close(answer, alpha):
            explain(answer, mistakes)
            raise Wrong(
                f"alpha was {alpha:g}, and the function finds {answer:.4g}. What the weight gives is known, "
                "what is left is the pair's; and y is rounded, so that a single number of it says little."
            )
        apart = new @ (weight + answer / rank * up @ down - folded).T
        worst = max(worst, (apart.abs().max() / (new @ folded.T).abs().max()).item())
    return f"on 200 frames that it had not seen, the folded layers are off by {worst:.0e} at most."
