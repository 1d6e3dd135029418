"""What a classifier's graph of less than float32 may lose."""

from helpers.verify import AGREEMENT

CHANGE = "score, mean change"  # of all labels over all clips
LARGEST = "score, largest change"
# At least twice what the golden models lose, whose weights are random.
LIMITS = {
    "fp16": {AGREEMENT: 0.99, CHANGE: 0.001, LARGEST: 0.01},
    "int8": {AGREEMENT: 0.9, CHANGE: 0.02, LARGEST: 0.2},
}


def limits(precision: str) -> dict[str, float]:
    """What a graph may lose at most; nothing is said of float32, which must be in parity."""
    return LIMITS.get(precision, {})
