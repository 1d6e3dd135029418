"""Checks of notebook 33, The thinker."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.layers.grouped import Rotary, turned
from helpers.lesson.checks.tensors import expect, of_shape, within
from helpers.lesson.checks.verdict import Wrong, called, exercise, explain

PLACES = (0, 1, 7, 250)
ITEMS = (([2, 30, 31, 3], [40, 41, 42]), ([1, 20, 2, 30, 3], [50]), ([2, 3], [40, 41, 40, 43, 44]))
END, NOBODY = 4, -100
N_HEADS, SIZE, WIDTH = 3, 8, 5


@exercise
def turn(function: Callable[[Tensor, int], Tensor]) -> str:
    """A vector and its place -> the vector with each pair turned."""
    x = torch.randn(16, generator=torch.Generator().manual_seed(1))
    for place in PLACES:
        turns = Rotary(16)(torch.tensor([place]))
        right = turned(x[None], turns)[0]
        answer = of_shape(called(function, x.clone(), place), (16,), "a vector of 16 numbers became")
        neighbours = turned(x[None].unflatten(1, (8, 2)).transpose(1, 2).flatten(1), turns)
        wide = (place / 10000 ** (torch.arange(8) / 16)).float()
        mistakes = {
            "it is turned the other way: from the second half towards the first.": (
                turned(x[None], (turns[0], -turns[1]))[0]
            ),
            "the pairs are i and i + size / 2; those are neighbours.": (
                neighbours.unflatten(1, (2, 8)).transpose(1, 2).flatten(1)[0]
            ),
            "the exponent is 2 i / size; yours grows by one half of that.": (
                turned(x[None], (wide.cos()[None], wide.sin()[None]))[0]
            ),
        }
        if not expect(answer, right, mistakes if place else {}, within(1e-4, 1e-4)):
            raise Wrong(f"at place {place} number 0 becomes {answer[0]:.3f}, not {right[0]:.3f}.")
    return "and no length changes: a turn keeps it."


@exercise
def targets(function: Callable[[list[int], list[int], int], tuple[list[int], list[int]]]) -> str:
    """Prompt, answer, the number of the end -> what is given, and what is asked for at each place."""
    for prompt, answer in ITEMS:
        given, asked = prompt + answer, [NOBODY] * (len(prompt) - 1) + [*answer, END]
        found = called(function, list(prompt), list(answer), END)
        try:
            pair = tuple([int(one) for one in part] for part in found)
            found_given, found_asked = pair
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is two lists: what is given, and what is asked for.") from error
        if (found_given, found_asked) == (given, asked):
            continue
        if len(found_given) != len(found_asked):
            raise Wrong(f"{len(found_given)} places are given and {len(found_asked)} are asked about.")
        reasons = {
            "that is not shifted: at each place it is asked for what it was just given.": (
                [NOBODY] * len(prompt) + answer
            ),
            "that is shifted twice: the first word of the answer is never asked for.": (
                [NOBODY] * (len(prompt) - 1) + [*answer[1:], END, NOBODY]
            ),
            "picture and question are given; nobody can guess them, so nobody asks.": ([*given[1:], END]),
        }
        explain(found_asked, reasons, lambda one, other: one == other)
        if found_given == [*given, END]:
            raise Wrong("nothing is asked for after the end, so the end need not be given.")
        raise Wrong(f"prompt {prompt}, answer {answer}: {found_given} are given, {found_asked} asked for.")
    return "shifted once, and the end is a word like any other: it must be learned."


@exercise
def reordered(function: Callable[[Tensor, int], Tensor]) -> str:
    """A projection's weight for turned neighbours, and its heads -> the same for turned halves."""
    rng = torch.Generator().manual_seed(2)
    weights = [torch.randn(N_HEADS * SIZE, WIDTH, generator=rng) for _ in range(2)]
    x, turns = torch.randn(4, WIDTH, generator=rng), Rotary(SIZE)(torch.arange(4))

    def scores(pair: list[Tensor], turn: Callable[[Tensor], Tensor]) -> Tensor:
        queries, keys = (turn((x @ one.T).unflatten(1, (N_HEADS, SIZE)).transpose(0, 1)) for one in pair)
        return queries @ keys.transpose(1, 2)

    def neighbours(x: Tensor) -> Tensor:
        return turned(x.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2), turns)

    right = scores(weights, neighbours)
    given = [called(function, one.clone(), N_HEADS) for one in weights]
    said = f"a weight of {(N_HEADS * SIZE, WIDTH)} became"
    answer = [of_shape(one, (N_HEADS * SIZE, WIDTH), said) for one in given]
    if torch.allclose(scores(answer, lambda x: turned(x, turns)), right, atol=1e-4):
        return "all shapes agreed before, too: only scores can tell."
    first, back = weights[0], weights[0].unflatten(0, (N_HEADS, 2, -1)).transpose(1, 2).flatten(0, 2)
    explain(
        answer[0],
        {
            "nothing has moved.": first,
            "that is the way back, from halves to neighbours.": back,
            "the heads got mixed up: each has its own pairs.": (
                first.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
            ),
        },
        torch.equal,
    )
    rows = sorted(map(tuple, answer[0].tolist())) == sorted(map(tuple, first.tolist()))
    raise Wrong(
        "rows only change places, and these are other numbers."
        if not rows
        else "the rows are all there, but scores differ: which two rows does our layer take as a pair?"
    )
