"""What an exercise's check answers, and how a check is written."""

import functools
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass

RIGHT, NOT_YET, WRONG = "right", "not yet attempted", "wrong"
COLOURS = {RIGHT: "#009E73", NOT_YET: "#767676", WRONG: "#D55E00"}  # colour-blind safe; the word says it too
MIME_TYPE = "application/vnd.audio-models-everywhere.verdict+json"  # for `course.py scores`


class Wrong(Exception):
    """Raised by a check; the message says why, and never gives the answer away."""


class NotYet(Exception):
    """Raised where a function that the reader is to write still returns nothing."""


@dataclass(frozen=True)
class Verdict:
    """The exercise's name, one of the three states, and one or two sentences."""

    exercise: str
    state: str
    why: str

    def __str__(self) -> str:
        return f"{self.state}: {self.why}"

    def _repr_mimebundle_(self, **_: object) -> dict:
        mark = f"<b style='color:{COLOURS[self.state]}'>{self.state}</b>"
        return {
            "text/plain": str(self),
            "text/html": f"<p>{mark}: {html.escape(self.why)}</p>",
            MIME_TYPE: {"exercise": self.exercise, "state": self.state},
        }


def exercise(check: Callable[..., str]) -> Callable[..., Verdict]:
    """Turn a function that returns praise or raises `Wrong` into one that returns a `Verdict`.

    Its first argument is the reader's answer; the three dots of a stub, or None, are not an attempt.
    """

    @functools.wraps(check)
    def checked(answer: object = ..., *given: object) -> Verdict:
        name = check.__name__
        if answer is None or answer is ...:
            return Verdict(
                name, NOT_YET, "put your answer in place of the three dots, then run the cell again."
            )
        try:
            return Verdict(name, RIGHT, check(answer, *given))
        except NotYet:
            return Verdict(name, NOT_YET, "write the function's body, then run the cell again.")
        except Wrong as wrong:
            return Verdict(name, WRONG, str(wrong))

    return checked


def or_ours(
    ours: Mapping[str, Callable[..., object]],
    check: Callable[..., Verdict],
    answer: object = ...,
    *given: object,
) -> object:
    """The reader's answer if the check finds it right, else the course's: so that one can read on.

    ours: by the check's name, what gives the course's answer.
    """
    return answer if check(answer, *given).state == RIGHT else ours[check.__name__](*given)


def called(function: object, *arguments: object) -> object:
    """What the reader's function returns. Raises `Wrong` if it fails, `NotYet` if it returns nothing."""
    if not callable(function):
        raise Wrong(f"the answer is a {type(function).__name__}, but the check needs a function.")
    try:
        result = function(*arguments)
    except Exception as error:  # the reader's code may fail in any way
        raise Wrong(f"the function raised {type(error).__name__}: {error}") from error
    if result is None or result is ...:
        raise NotYet
    return result


def number(answer: object) -> float:
    """The answer as a number. Raises `Wrong`."""
    try:
        return float(answer)
    except (TypeError, ValueError) as error:
        raise Wrong(f"the answer is a {type(answer).__name__}, but the check needs a number.") from error


def whole_number(answer: object) -> int:
    """The answer as a whole number. Raises `Wrong`."""
    value = number(answer)
    if not value.is_integer():  # neither are infinity and what is not a number
        raise Wrong(f"{value:g} is not a whole number.")
    return int(value)


def close(answer: float, value: float) -> bool:
    """Whether the answer is the value, up to rounding to three digits."""
    return abs(answer - value) <= 0.005 * abs(value)


def explain(answer: object, mistakes: Mapping[str, object], same: Callable[..., bool] = close) -> None:
    """Raise `Wrong` with the reason if the answer is one of the known mistakes, given by reason."""
    for why, mistake in mistakes.items():
        if same(answer, mistake):
            raise Wrong(why)
