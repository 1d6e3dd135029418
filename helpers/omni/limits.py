"""What an omni's graph of less than float32 may lose."""

from helpers.verify import AGREEMENT, KL, SNR

EIGHT_BIT = {
    "ear": {SNR: 20.0},
    "eye": {SNR: 20.0},
    "thinker": {KL: 0.01, AGREEMENT: 0.95},
    "talker": {AGREEMENT: 0.9},
}
HALF = {
    "thinker": {KL: 0.001, AGREEMENT: 0.99},
    "talker": {AGREEMENT: 0.95},
}


def limits(graph: str, precision: str) -> dict[str, float]:
    """What a graph of a bundle may lose at most; nothing is said of float32, which must be in parity."""
    if precision == "fp32":
        return {}
    return EIGHT_BIT[graph] if precision == "int8" else HALF.get(graph, {SNR: 40.0})
