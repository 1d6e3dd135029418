"""Proof that a graph computes what its module computes: PyTorch and ONNX Runtime side by side.

Numbers must agree to 1e-4 of the largest, and every token must be equal. Where two tokens differ, the
model is asked again in float64: if the two candidates are less than 1e-5 apart there, rounding decides
between equals (a tie); anything else is a failure.
"""

from helpers.verify.certificate import (
    TIE,
    TOLERANCE,
    Certificate,
    Comparison,
    Finding,
    Findings,
    certified,
    file_problems,
    read_claims,
)
from helpers.verify.loss import AGREEMENT, AT_LEAST, KL, NLL, SNR, Loss, log_softmax, loss_of, snr_db
from helpers.verify.side_by_side import (
    Exact,
    Ties,
    choice_ties,
    codec_ties,
    compare,
    compare_sound,
    relative_difference,
    several,
    tones,
)

__all__ = [
    "AGREEMENT",
    "AT_LEAST",
    "Certificate",
    "Comparison",
    "Exact",
    "Finding",
    "Findings",
    "KL",
    "Loss",
    "NLL",
    "SNR",
    "TIE",
    "TOLERANCE",
    "Ties",
    "certified",
    "choice_ties",
    "codec_ties",
    "compare",
    "compare_sound",
    "file_problems",
    "log_softmax",
    "loss_of",
    "read_claims",
    "relative_difference",
    "several",
    "snr_db",
    "tones",
]
