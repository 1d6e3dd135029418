"""Checks of notebook 12, State."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

LAYERS, HEADS, HEAD_SIZE, POSITIONS = 32, 8, 128, 4096  # of the language model in exercise 2
DIAGNOSES = ("right", "looks ahead", "forgets the past", "ignores the text")
BOOKS, TOKENS, TEXT_WIDTH, ROUNDING = 4, 50, 8, 1e-6
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
def diagnose(function: Callable[[Callable], str]) -> str:
    """A model -> one of DIAGNOSES; the model is `patient`'s, whatever is asked of it."""
    for illness in DIAGNOSES:
        answer = called(function, patient(illness))
        if answer not in DIAGNOSES:
            raise Wrong(f"the answer was {answer!r}, which is none of {', '.join(DIAGNOSES)}.")
        if answer == illness:
            continue
        if illness == "right":
            raise Wrong(f"a healthy one was told that it {answer}: what does rounding change?")
        what = "was found right" if answer == "right" else f"was told that it {answer}"
        raise Wrong(f"one that {illness} {what}: what does your measurement give for this one, and why?")
    return "three measurements, and each shows one cause alone."


def patient(illness: str) -> Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]:
    """A small causal model with one of DIAGNOSES: columns (4, S), text (8,), past -> logits (4, S, 50), past.

    Each column adds to those after it, less and less; all numbers are off by a rounding, otherwise each time.
    """
    rows, heads = _random(TOKENS, 16, seed=3), _random(BOOKS, 16, TOKENS, seed=4)
    words, noise = _random(TEXT_WIDTH, 16, seed=5), torch.Generator().manual_seed(6)

    def model(columns: Tensor, text: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        every = columns if past is None else torch.cat([past, columns], dim=1)
        read = columns if illness == "forgets the past" else every
        apart = torch.arange(read.shape[1])
        shares = 0.8 ** (apart[:, None] - apart).abs()
        heard = (shares if illness == "looks ahead" else shares.tril()) @ rows[read].sum(0)
        said = torch.zeros(16) if illness == "ignores the text" else text @ words
        logits = torch.tanh((heard + said) / 8) @ heads
        logits = logits + ROUNDING * torch.randn(logits.shape, generator=noise)
        return logits[:, -columns.shape[1] :], every

    return model
