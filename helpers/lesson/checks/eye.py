"""Checks of notebook 35, The eye."""

from collections.abc import Callable, Iterable
from itertools import combinations, product

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, exercise

SIZES = ((4, 4, 4), (3, 4, 5), (5, 7, 9))  # of three features
FEATURES = ("material", "size", "texture")


@exercise
def beside(function: Callable[[Tensor], Tensor]) -> str:
    """Places (B, 64, width) of 8 by 8 -> (B, 16, 4 width): two by two neighbours, one behind the other."""
    x = torch.arange(2 * 64 * 3.0).reshape(2, 64, 3)
    blocks = x.unflatten(1, (4, 2, 4, 2))
    answer = of_shape(called(function, x.clone()), (2, 16, 12), "(2, 64, 3) became")
    mistakes = {
        "those are four places in a row, not two above two.": x.reshape(2, 16, 12),
        "right neighbours, other order: upper left, upper right, lower left, lower right.": (
            blocks.permute(0, 1, 3, 4, 2, 5).flatten(3).flatten(1, 2)
        ),
        "the blocks are right, but they go down the columns; reading order goes along the rows.": (
            blocks.permute(0, 3, 1, 2, 4, 5).flatten(3).flatten(1, 2)
        ),
        "each of a place's numbers should stay beside its others, not beside its neighbours'.": (
            blocks.permute(0, 1, 3, 5, 2, 4).flatten(3).flatten(1, 2)
        ),
    }
    if not expect(answer, blocks.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2), mistakes, torch.equal):
        raise Wrong("the first of sixteen should hold places 0, 1, 8 and 9, in this order.")
    return "a quarter of the places, and no number lost."


@exercise
def contrast(function: Callable[[Tensor, Tensor, float], Tensor]) -> str:
    """Vectors of pictures and of captions (B, D), a factor -> the mean of both cross-entropies."""
    rng = torch.Generator().manual_seed(8)
    pictures, captions = torch.randn(2, 6, 5, generator=rng)
    captions = captions + pictures
    same = within(1e-4, 1e-5)

    def both(a: Tensor, b: Tensor, heat: float) -> tuple[Tensor, Tensor]:
        scores, right = heat * a @ b.T, torch.arange(6)
        return F.cross_entropy(scores, right), F.cross_entropy(scores.T, right)

    units = F.normalize(pictures, dim=-1), F.normalize(captions, dim=-1)
    for heat in (4.0, 20.0):
        answer = of_shape(called(function, pictures.clone(), captions.clone(), heat), (), "the loss became")
        one, other = both(*units, heat)
        mistakes = {
            "a cosine is a product of vectors of length one.": sum(both(pictures, captions, heat)) / 2,
            "only the pictures choose; captions should choose among pictures too.": one,
            "only the captions choose; pictures should choose among captions too.": other,
            "that is the sum of both; take their mean.": one + other,
            "the scores are multiplied by the heat, not divided.": sum(both(*units, 1 / heat)) / 2,
        }
        if not expect(answer, (one + other) / 2, mistakes, same):
            raise Wrong(f"with heat {heat:g} it is {(one + other) / 2:.3f}, not {answer:.3f}.")
    return "CLIP is this line, and four hundred million pictures."


@exercise
def held_out(function: Callable[[int, int, int], Iterable[tuple[int, int, int]]]) -> str:
    """How many values three features have -> triples to hold out."""
    for sizes in SIZES:
        answer = called(function, *sizes)
        try:
            held = {tuple(int(i) for i in one) for one in answer}
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is a set of triples of whole numbers.") from error
        everything = set(product(*map(range, sizes)))
        if not held <= everything:
            raise Wrong(f"of {sizes}, {min(held - everything)} is no triple.")
        if len(held) < sizes[0] * sizes[1]:
            raise Wrong(f"of {sizes}, {len(held)} are held out; {sizes[0] * sizes[1]} are asked for.")
        left = everything - held
        for i, j in combinations(range(3), 2):
            missing = {(one[i], one[j]) for one in held} - {(one[i], one[j]) for one in left}
            if missing:
                raise Wrong(
                    f"of {sizes}, {FEATURES[i]} and {FEATURES[j]} {min(missing)} are left in no training "
                    "triple: who gets them wrong may just not know the pair."
                )
        for i, size in enumerate(sizes):
            if len({one[i] for one in held}) < size:
                raise Wrong(f"of {sizes}, some {FEATURES[i]} is in no held-out triple: it is never tested.")
    return "a Latin square: what it gets wrong now, it can only blame on the triple."
