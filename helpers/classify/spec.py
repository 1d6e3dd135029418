"""What the runtime must know of a classifier: numbers that `bundle.json` has under the same names."""

import os
from dataclasses import dataclass

from helpers.runtime.manifest import load_manifest, read_counts, unusable

LEAST = {"sample_rate": 1000, "hop": 1, "shortest": 1}
OUTPUTS = (("scores", "embedding"), ("scores", "framewise"))
MOST_LABELS, LONGEST_LABEL, LONGEST_WINDOW = 100_000, 200, 3600


@dataclass(frozen=True)
class Spec:
    """What the runtime must know.

    sample_rate in hertz; hop, of the features, in samples; shortest: samples without which there is no
    answer, a shorter sound is filled with silence; outputs: what the graph gives, in order; window_seconds:
    how long the clips were that it was trained on.
    """

    architecture: str
    sample_rate: int
    hop: int
    shortest: int
    window_seconds: float
    outputs: tuple[str, ...]
    labels: tuple[str, ...]


def read_spec(bundle: str | os.PathLike) -> Spec:
    """What a bundle's manifest says of its model. Raises InputError for what says less."""
    manifest = load_manifest(bundle, "classify")
    counts = read_counts(bundle, LEAST)
    labels, seconds, outputs = (manifest.get(name) for name in ("labels", "window_seconds", "outputs"))
    if not isinstance(labels, list) or not 0 < len(labels) <= MOST_LABELS:
        raise unusable(bundle, "labels")
    if not all(isinstance(label, str) and len(label) <= LONGEST_LABEL for label in labels):
        raise unusable(bundle, "labels")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= LONGEST_WINDOW:
        raise unusable(bundle, "window_seconds")
    if not isinstance(outputs, list) or tuple(outputs) not in OUTPUTS:
        raise unusable(bundle, "outputs")
    if not isinstance(manifest.get("architecture"), str):
        raise unusable(bundle, "architecture")
    return Spec(
        manifest["architecture"], **counts, window_seconds=float(seconds), outputs=tuple(outputs),
        labels=tuple(labels),
    )  # fmt: skip
