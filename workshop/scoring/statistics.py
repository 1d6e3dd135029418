"""A mean over clips and how far to trust it: bootstrap intervals (Efron 1979), seeded.

The clips are the sample: an interval says what other clips of the same kind might have given. It knows
nothing of how the checkpoint itself would vary with another seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True)
class Score:
    """A quantity for every clip, its mean, and the ends of the mean's 95 % interval (NaN for one clip)."""

    clips: tuple[float, ...]
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "-"
        bounds = f" [{self.low:.3f}, {self.high:.3f}]" if math.isfinite(self.low) else ""
        return f"{self.mean:.3f}{bounds}"

    @property
    def margin(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def score(values: Sequence[float]) -> Score:
    """The mean of one value a clip."""
    return ratio(values, np.ones(len(values)))


def difference(values: Sequence[float], others: Sequence[float]) -> Score:
    """The mean of `values - others`, clip by clip: what all clips have in common drops out."""
    return score(np.asarray(values, float) - np.asarray(others, float))


def ratio(values: Sequence[float], others: Sequence[float]) -> Score:
    """The mean of `values` over the mean of `others`, both resampled with the same clips.

    NaN where the mean of `others` is 0. `clips` holds each clip's own ratio.
    """
    values, others = np.asarray(values, float), np.asarray(others, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(others != 0, values / others, math.nan)
        whole = float(values.mean() / others.mean()) if others.mean() else math.nan
        low, high = math.nan, math.nan
        if len(values) > 1:
            drawn = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))
            means = values[drawn].mean(1) / others[drawn].mean(1)
            low, high = (float(end) for end in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Score(tuple(each.tolist()), whole, low, high)
