"""What a MusicGen graph of less than float32 may lose."""

from helpers.verify import AGREEMENT, KL, NLL, SNR

LIMITS = {
    "fp16": {NLL: 0.001, KL: 0.0001, AGREEMENT: 0.99},
    "int8-block": {NLL: 0.01, KL: 0.005, AGREEMENT: 0.9},
    "int4": {NLL: 0.05, KL: 0.15, AGREEMENT: 0.5},
}
SOUND_LIMITS = {SNR: 40.0}
TEXT_LIMITS = {SNR: 25.0}  # what is read: the text, and the keys and values made of it


def limits(graph: str, precision: str) -> dict[str, float]:
    """What a graph of a bundle may lose at most; nothing is said of float32, which must be in parity."""
    if precision == "fp32":
        return {}
    if graph == "lm":
        return LIMITS[precision]
    return SOUND_LIMITS if graph == "encodec_decoder" else TEXT_LIMITS
