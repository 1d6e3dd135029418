"""Checks of notebook 15, Fast."""

from collections.abc import Callable, Mapping

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, explain, number
from helpers.musicgen.limits import NLL

WORDS = (50 / 3.5, 50 / 14)  # a second, in 4 bit and in float16
SERVER = (20 / 1.72, 16 * 20 / 2.02)  # columns a second for one listener, and for sixteen in all


def _pair(answer: object, called_so: str) -> tuple[float, float]:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Wrong(f"the answer is a pair of numbers: {called_so}.")
    if ... in answer:
        raise NotYet
    return number(answer[0]), number(answer[1])


@exercise
def words_a_second(answer: tuple[float, float]) -> str:
    """Of 7000 million numbers in 4 bit and in float16, at 50 GB/s."""
    four, half = _pair(answer, "in 4 bit, in float16")
    explain(
        four,
        {
            "four bits are half a byte, not four.": 50 / 28,
            "that is with a byte for each number.": 50 / 7,
            "that is seconds a word; the question is words a second.": 3.5 / 50,
        },
    )
    if not close(four, WORDS[0]):
        raise Wrong("in 4 bit: how many gigabytes are 7000 million half bytes?")
    if not close(half, WORDS[1]):
        raise Wrong("4 bit is right; a number in float16 takes two bytes.")
    return "and no program makes it faster: it is the memory."


@exercise
def choose(function: Callable[[Mapping[str, Mapping[str, float]]], str]) -> str:
    """The fastest form whose NLL rises by at most one percent; "float32" if there is none."""
    cases = (
        ({"a": {"faster": 2.0, NLL: 0.002}, "b": {"faster": 3.0, NLL: 0.008}}, "b", "both are good enough"),
        (
            {"a": {"faster": 2.0, NLL: 0.002}, "b": {"faster": 3.0, NLL: 0.04}},
            "a",
            "the faster one loses 4 %",
        ),
        ({"a": {"faster": 2.0, NLL: 0.02}, "b": {"faster": 3.0, NLL: 0.04}}, "float32", "both lose too much"),
        ({"a": {"faster": 2.0, NLL: -0.03}}, "a", "its NLL even falls"),
    )
    for table, right, what in cases:
        answer = called(function, {name: dict(row) for name, row in table.items()})
        if answer != right:
            raise Wrong(f"{what}: the choice was {answer!r}.")
    return "first what is allowed, then what is fastest."


@exercise
def server(answer: tuple[float, float]) -> str:
    """Columns a second for one listener, and for sixteen in all."""
    alone, together = _pair(answer, "alone, all sixteen")
    if not close(alone, SERVER[0]):
        if close(alone, 20 / 1.7):
            raise Wrong("the listener's past is read at every step as well.")
        raise Wrong("alone: a step reads weights and one past; how many such steps does 20 GB a second give?")
    explain(
        together,
        {
            "that is how many steps; each writes a column for every listener.": 20 / 2.02,
            "sixteen times one alone would need sixteen times the reading; the weights are shared.": (
                16 * SERVER[0]
            ),
            "each listener has a past of its own.": 16 * 20 / 1.72,
            "that is as if the weights were read for each of them.": SERVER[0],
        },
    )
    if not close(together, SERVER[1]):
        raise Wrong("alone is right; with sixteen a step reads the weights once, and sixteen pasts.")
    return "nearly fourteen times as much music from one memory."
