"""What was measured, beside what the course asks of it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from helpers.support.tables import markdown_table
from workshop.scoring.statistics import Score, ratio, score

AT_LEAST, AT_MOST = ">=", "<="


@dataclass(frozen=True)
class Row:
    """A mean with its interval. asked: AT_LEAST or AT_MOST, and the number; None where nothing is asked."""

    measure: str
    of: str
    score: Score
    asked: tuple[str, float] | None = None

    @property
    def met(self) -> bool | None:
        """Whether the mean is what is asked; None where nothing is, or nothing could be measured."""
        if self.asked is None or not math.isfinite(self.score.mean):
            return None
        side, bound = self.asked
        return self.score.mean >= bound if side == AT_LEAST else self.score.mean <= bound

    def cells(self) -> tuple[str, ...]:
        asked = "" if self.asked is None else f"{self.asked[0]} {self.asked[1]:.3g}"
        verdict = {None: "", True: "met", False: "NOT MET"}[self.met]
        return self.measure, self.of, _shown(self.score), asked, verdict

    def to_json(self) -> dict:
        """Every number; NaN is null."""
        numbers = asdict(self.score)
        numbers["clips"] = [_or_none(one) for one in numbers["clips"]]
        numbers |= {name: _or_none(numbers[name]) for name in ("mean", "low", "high")}
        return {"measure": self.measure, "of": self.of, **numbers, "asked": self.asked, "met": self.met}


def _shown(found: Score) -> str:
    if not math.isfinite(found.mean):
        return "-"
    spread = f" [{found.low:.1f}, {found.high:.1f}]" if math.isfinite(found.low) else ""
    return f"{found.mean:.1f}{spread}"


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def shares(right: Sequence[bool]) -> Score:
    """How many are, in per cent."""
    return score([100.0 * one for one in right]) if len(right) else Score((), math.nan, math.nan, math.nan)


def errors(counts: Sequence[tuple[int, int]]) -> Score:
    """Of pairs of errors and words: per cent of all words."""
    return ratio([100.0 * wrong for wrong, _ in counts], [words for _, words in counts])


def alone(value: float) -> Score:
    """A number without an interval."""
    return Score((value,), value, math.nan, math.nan)


def table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    headings = ("measure", "of", "mean [95 % interval]", "asked", "verdict")
    return markdown_table(headings, [row.cells() for row in rows])
