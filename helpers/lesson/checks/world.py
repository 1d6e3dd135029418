"""Checks of notebook 31, A world you can check."""

from collections.abc import Callable

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, exercise, explain, number, whole_number

TIP = 0.9  # of the diamond, from its middle
SCORES = ((0.9, 0.45), (0.66, 0.66), (0.5, 0.1), (1.0, 0.2))  # right, right without a look
FEW, MANY, SEED = (10, 997, 1000), 10**12, 3  # items of a dataset


@exercise
def diamond(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Places of the plane -> distances to the nearest side of a square on its tip, negative inside."""
    x, y = np.meshgrid(np.linspace(-1.3, 1.3, 14), np.linspace(-1.3, 1.3, 14))
    answer = np.asarray(called(function, x.copy(), y.copy()))
    if answer.shape != x.shape:
        raise Wrong(f"for places {x.shape} there should be as many values; the answer is {answer.shape}.")
    around = abs(x) + abs(y) - TIP
    right = around / np.sqrt(2)
    same = np.allclose
    explain(
        answer,
        {
            "inside should be negative and outside positive; yours is the other way round.": -right,
            "the edge is right, but it is no distance: one step across a side changes it by 1.41.": around,
            "that square lies flat.": np.maximum(abs(x), abs(y)) - TIP,
            "that is a circle.": np.hypot(x, y) - TIP,
        },
        same,
    )
    if not same(answer, right):
        far = np.unravel_index(abs(answer - right).argmax(), x.shape)
        raise Wrong(f"at ({x[far]:.1f}, {y[far]:.1f}) the distance is not {answer[far]:.2f}.")
    return "four absolute values and a root: the world's shapes are no longer than that."


@exercise
def sees(function: Callable[[float, float], float]) -> str:
    """Shares of right answers, with eyes and without -> the share in which the answer was seen."""
    for right, blind in SCORES:
        share, answer = (right - blind) / (1 - blind), number(called(function, right, blind))
        if abs(answer - share) < 1e-6:
            continue
        explain(
            answer,
            {
                "of what it does not see, only a part is guessed wrong: the gain is larger than it looks.": (
                    right - blind
                ),
                "that is how much better than the blind, not how often it sees.": right / blind,
                "compare with what the blind get wrong, not with what the model gets right.": (
                    (right - blind) / right
                ),
            },
        )
        raise Wrong(f"right in {right:.0%}, the blind in {blind:.0%}: it does not see in {answer:.0%}.")
    return "half right where half can be guessed is nothing seen at all."


@exercise
def place(function: Callable[[int, int, int], int]) -> str:
    """The number of a read, items, seed -> which item: each once in a pass, another order in the next."""
    for n in FEW:
        passes = [[_item(function, k, n, SEED) for k in range(i * n, (i + 1) * n)] for i in (0, 1)]
        for one in passes:
            if len(set(one)) < n:
                raise Wrong(f"of {n} items only {len(set(one))} are read in a pass: some come twice.")
        again = [_item(function, k, n, SEED) for k in range(5)]
        if again != passes[0][:5]:
            raise Wrong("asked again for the same k, it answers otherwise: then nothing can be resumed.")
        if passes[0] == passes[1]:
            raise Wrong("the second pass has the order of the first.")
        if passes[0] == [_item(function, k, n, SEED + 1) for k in range(n)]:
            raise Wrong("another seed should give another order.")
    spread = {_item(function, k, 1000, SEED) // 100 for k in range(100)}
    if len(spread) < 8:
        raise Wrong("the first hundred of a thousand come from few places: that is no shuffle.")
    many = [_item(function, k, MANY, SEED) for k in range(100)]
    if len(set(many)) < 100 or len({one // (MANY // 10) for one in many}) < 8:
        raise Wrong("of a million million items, the first hundred are not all different, or lie together.")
    return "any step of any pass, at once, with nothing saved."


def _item(function: Callable[[int, int, int], int], k: int, n: int, seed: int) -> int:
    answer = whole_number(called(function, k, n, seed))
    if not 0 <= answer < n:
        raise Wrong(f"item {answer} is not among {n}: they are numbered 0 to {n - 1}.")
    return answer
