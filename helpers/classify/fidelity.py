"""What a smaller graph lost, measured on the course's clips against the float32 model."""

from collections.abc import Iterator

import numpy as np

from helpers.audio.clips import load_clips
from helpers.classify.limits import CHANGE, LARGEST, limits
from helpers.classify.pipeline import Pipeline
from helpers.verify import AGREEMENT, AT_LEAST, Finding

SECONDS = 6.0  # of each clip


def findings(precisions: dict[str, str], in_float: Pipeline, small: Pipeline) -> Iterator[Finding]:
    """The graph beside its limits, if it is below float32."""
    precision = precisions["classifier"]
    allowed = limits(precision)
    if allowed:
        measures = measured(in_float, small)
        for measure, limit in allowed.items():
            yield Finding("classifier", precision, measure, measures[measure], limit, measure in AT_LEAST)


def measured(in_float: Pipeline, small: Pipeline) -> dict[str, float]:
    """What the graph lost, by the names that limits have."""
    clips = load_clips(longest=SECONDS)
    whole, other = (
        np.concatenate([one.scores(clip.audio, clip.sample_rate) for clip in clips])
        for one in (in_float, small)
    )
    change = np.abs(whole - other)
    agreement = (whole.argmax(-1) == other.argmax(-1)).mean()
    return {AGREEMENT: float(agreement), CHANGE: float(change.mean()), LARGEST: float(change.max())}
