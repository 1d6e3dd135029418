"""What a VampNet graph of less than float32 may lose."""

from helpers.vampnet.pipeline import STAGES
from helpers.verify import AGREEMENT, KL, NLL, SNR

# What a graph may lose, measured as in `fidelity`; at least twice what the course's checkpoint loses. First
# choices among many nearly as likely ones (c2f's are right once in six times) change long before the NLL.
LIMITS = {
    "fp16": {NLL: 0.001, KL: 0.0001, AGREEMENT: 0.99},
    "int8": {NLL: 0.01, KL: 0.005, AGREEMENT: 0.9},
    "int8-block": {NLL: 0.01, KL: 0.002, AGREEMENT: 0.93},
    "int4": {NLL: 0.05, KL: 0.12, AGREEMENT: 0.5},
}
SOUND_LIMITS = {SNR: 40.0}


def limits(graph: str, precision: str) -> dict[str, float]:
    """What a graph of a bundle may lose at most; nothing is said of float32, which must be in parity."""
    if precision == "fp32":
        return {}
    return LIMITS[precision] if graph in STAGES else SOUND_LIMITS
