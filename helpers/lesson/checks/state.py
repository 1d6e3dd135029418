"""Checks of notebook 12, State."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, explain, number

LAYERS, HEADS, HEAD_SIZE, POSITIONS = 32, 8, 128, 4096  # of the language model in exercise 2
CASES = {"first": "looks ahead", "second": "forgets the past", "third": "ignores the text"}
FAILURES = (*CASES.values(), "special token one off", "reads another column")
SPLITS = ((1, 1, 1, 1, 1, 1), (4, 1, 1), (2, 3, 1), (6,))


@exercise
def step(function: Callable) -> str:
    """Attention over a past: step(query, key, value, past) -> what is attended to, and the longer past."""
    query, key, value = torch.randn(3, 2, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    whole = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    for split in SPLITS:
        out = _in_steps(function, (query, key, value), split)
        if not torch.allclose(out, whole, rtol=0, atol=1e-5):
            raise Wrong(_what_is_off(out, whole, split))
    return f"cut in {len(SPLITS)} ways, the same as without a past, also one column at a time."


def _in_steps(function: Callable, all_of: tuple[Tensor, ...], split: tuple[int, ...]) -> Tensor:
    past, outs = None, []
    for part in zip(*(one.split(split, dim=2) for one in all_of)):
        answer = called(function, *part, past)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise Wrong("return two things: what is attended to, and the longer past.")
        out, past = answer
        if not isinstance(out, Tensor) or out.shape != part[0].shape:
            raise Wrong(f"what is attended to has the queries' shape, {tuple(part[0].shape)}.")
        outs.append(out)
    return torch.cat(outs, dim=2)


def _what_is_off(out: Tensor, whole: Tensor, split: tuple[int, ...]) -> str:
    close_by_column = ((out - whole).abs().amax((0, 1, 3)) < 1e-5).tolist()
    if len(split) == len(out[0, 0]):
        return (
            "fed one column at a time, the first is right and later ones are not: is the past used, in order?"
        )
    if close_by_column[-1] and not all(close_by_column):
        return "several columns at once, and the last is right but not those before it: they look ahead."
    return f"cut into {split}, the columns are right or not: {close_by_column}."


@exercise
def cache_gigabytes(answer: float) -> str:
    """Of keys and values of 32 layers, 8 heads of 128, 4096 positions, two bytes a number."""
    answer, one = number(answer), LAYERS * HEADS * HEAD_SIZE * POSITIONS * 2 / 1e9
    explain(
        answer,
        {
            "that is the keys alone, or the values.": one,
            "those are numbers of four bytes; these have two.": 4 * one,
            "that is one layer's.": 2 * one / LAYERS,
            "the answer is in gigabytes, of 1000 million bytes.": 2 * one * 1e3,
        },
    )
    if close(answer, 2 * one):
        return "half a gigabyte a conversation; and it must all be read for every next word."
    raise Wrong("layers, heads, numbers a head, positions, bytes a number; and there are keys and values.")


@exercise
def convolution_step(function: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> str:
    """A causal convolution in pieces: function(x, weight, state) -> output, next state."""
    x, weight = _random(2, 3, 11, seed=1), _random(4, 3, 5, seed=2)
    whole = F.conv1d(F.pad(x, (4, 0)), weight)
    for split in ((11,), (6, 5), (1,) * 11, (4, 2, 5)):
        state, outs = torch.zeros(2, 3, 4), []
        for piece in x.split(split, dim=2):
            answer = called(function, piece, weight, state)
            if not isinstance(answer, tuple) or len(answer) != 2:
                raise Wrong("return two things: the output, and the state for the next piece.")
            out, state = answer
            if not isinstance(state, Tensor) or state.shape != (2, 3, 4):
                raise Wrong(
                    "the state is always the last four places of what went in, also after a short piece."
                )
            outs.append(out)
        if not _same(torch.cat(outs, dim=2), whole):
            raise Wrong(f"cut into {split}, it is not what the whole gives: what stands before a piece?")
    return "no edge can be heard, however it is cut: this is how convolutions are streamed."


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=1e-5)


@exercise
def diagnosis(answers: Mapping[str, str]) -> str:
    """Which failure each of three reports is about: {"first": name, ...}."""
    if not isinstance(answers, Mapping) or set(answers) != set(CASES):
        raise Wrong(f"the answer is a dictionary with the keys {', '.join(CASES)}.")
    if ... in answers.values():
        raise NotYet
    for answer in answers.values():
        if answer not in FAILURES:
            raise Wrong(f"{answer!r} is none of the failures: {', '.join(FAILURES)}.")
    wrong = [name for name, failure in CASES.items() if answers[name] != failure]
    if wrong:
        raise Wrong(f"the {wrong[0]} report has another cause: which measurement in it decides?")
    return "each by one measurement, and none by looking at logits of a first pass."
