"""Checks of notebook 15, Fast."""

from collections.abc import Callable, Mapping

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, explain, number
from helpers.musicgen.limits import NLL

WORDS = (50 / 3.5, 50 / 14)  # a second, in 4 bit and in float16
BYTES, WEIGHTS, PAST = 200 / 50, 1.7, 0.02  # GB: read in the time of a column, and what there is to read
SERVED = (57, 89)  # listeners with two pasts each, with weights in float32 and in 8 bit


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
def server(answer: tuple[int, int]) -> str:
    """How many listeners a server has the time for: with weights in float32, and in 8 bit."""
    whole, small = _pair(answer, "in float32, in 8 bit")
    explain(
        whole,
        {
            "in float32: guidance asks twice, and each listener has two pasts.": 115,
            "in float32: the weights are read as well, at every step.": 100,
        },
    )
    for given, right, weights in ((whole, SERVED[0], WEIGHTS), (small, SERVED[1], WEIGHTS / 4)):
        if right < given <= right + 1:
            raise Wrong(f"with {given:g} listeners a step takes longer than a column lasts.")
        if given != right and close(given, (BYTES - weights) / PAST):
            raise Wrong("with guidance there are two pasts for a listener in 8 bit too.")
    if whole != SERVED[0]:
        raise Wrong("in float32: how much can be read in the time of one column? What of it is the weights?")
    if close(small, (BYTES - WEIGHTS / 4) / (2 * PAST / 4)):
        raise Wrong("in 8 bit: only the weights shrink; the pasts stay as they are.")
    if small != SERVED[1]:
        raise Wrong("float32 is right; with 8 bit the weights are a quarter, and the rest is left for pasts.")
    return "a quarter of the weights, and not four times the listeners: the pasts are what is read by then."
