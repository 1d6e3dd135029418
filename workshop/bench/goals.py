"""What the course asks of a benchmark, beside what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from helpers.support.tables import markdown_table


@dataclass(frozen=True)
class Goal:
    """What is asked, and what was measured; None where nothing was.

    bound: what it would be if all of the time went to products of matrices, at this machine's ceiling.
    """

    name: str
    least: float
    unit: str  # "x" for ratios, "%" for shares
    measured: float | None
    bound: float | None = None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured >= self.least else "NOT MET"

    def shown(self, value: float | None) -> str:
        """A value with its unit."""
        return or_dash(value, f"{{:.2f}} {self.unit}")


def goals_table(goals: Sequence[Goal]) -> str:
    """In Markdown."""
    rows = [
        (one.name, one.shown(one.least), one.shown(one.measured), one.shown(one.bound), one.verdict)
        for one in goals
    ]
    return markdown_table(("goal", "at least", "measured", "at the ceiling", "verdict"), rows)


def or_dash(value: float | None, form: str) -> str:
    """A number in this form."""
    return "-" if value is None else form.format(value)
