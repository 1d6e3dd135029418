"""When to say "i do not know": how sure the parts are, each measure beside a bound. No PyTorch.

Who is asked in another language, shown a photograph or asked for what is not in the world still finds some
most probable letters, colours and words, but less probable ones. The bounds are chosen on held-out questions
(`python -m workshop doubt omni`) and travel with the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from helpers.runtime.sampling import log_sum_exp
from helpers.support.config import real, shown
from helpers.support.errors import InputError

REFUSAL = ("i", "do", "not", "know")
NEVER = -1000.0  # how sure of nothing at all; a number that JSON can hold


@dataclass(frozen=True)
class Bounds:
    """How sure to be at least, in nats, of what was heard, of what is seen, of the answer; None: of any."""

    heard: float | None = None
    seen: float | None = None
    answered: float | None = None

    def doubted(self, **measures: float | None) -> tuple[str, ...]:
        """The names of the measures that are below their bound."""
        bounds = {name: bound for name, bound in asdict(self).items() if bound is not None}
        found = {name: value for name, value in measures.items() if value is not None}
        return tuple(name for name, bound in bounds.items() if found.get(name, 0.0) < bound)

    @classmethod
    def read(cls, content: object, words: Sequence[str]) -> "Bounds":
        """From a stranger's JSON; None is none. Raises InputError."""
        if content is None:
            return cls()
        names = [one.name for one in fields(cls)]
        if not isinstance(content, Mapping) or not set(content) <= set(names):
            raise InputError(f"'bounds' should be a table of {', '.join(names)}, not {shown(content)}.")
        given = {name: real(value) for name, value in content.items() if value is not None}
        if not all(NEVER <= value <= 0 for value in given.values()):
            raise InputError(f"'bounds' are logarithms of probabilities, not {shown(content)}.")
        if given and not set(REFUSAL) <= set(words):
            raise InputError(f"'bounds' are of no use to who can't say '{' '.join(REFUSAL)}'.")
        return cls(**given)


def sure_of_sound(letters: np.ndarray) -> float:
    """Logits (T, 28) -> the mean log-probability of the letters that are heard; NEVER where none are."""
    best = log_probabilities(letters).max(-1)[letters.argmax(-1) != 0]
    return float(best.mean()) if len(best) else NEVER


def sure_of_picture(colours: np.ndarray, shapes: np.ndarray) -> float:
    """Logits (cells, n) of both -> the mean log-probability of what is most probable in each cell."""
    return float(np.mean([log_probabilities(one).max(-1).mean() for one in (colours, shapes)]))


def sure_of_answer(log_p: Sequence[float]) -> float:
    """Of its words, one by one -> their mean; NEVER for no word."""
    return float(np.mean(log_p)) if len(log_p) else NEVER


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    return logits - log_sum_exp(logits)
