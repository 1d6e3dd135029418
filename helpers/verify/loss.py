"""What a model lost on its way to fewer bits, beside the float32 model."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from helpers.runtime.sampling import log_sum_exp
from helpers.runtime.session import Graph
from helpers.verify.side_by_side import several

NLL, KL, AGREEMENT, SNR = "NLL, change", "KL (nats)", "same first choice", "SNR (dB)"
AT_LEAST = (AGREEMENT, SNR)  # the others are at most


@dataclass(frozen=True)
class Loss:
    """What became of a model that names tokens. nll, nll_float in nats a token; kl from float32, in nats."""

    nll: float
    nll_float: float
    kl: float
    agreement: float  # share of places where both put the same token first

    @property
    def change(self) -> float:
        """Of the NLL, as a share of float32's."""
        return self.nll / self.nll_float - 1

    @property
    def measures(self) -> dict[str, float]:
        """By the names that limits have."""
        return {NLL: self.change, KL: self.kl, AGREEMENT: self.agreement}


def loss_of(asked: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Loss:
    """Means over clips of the means over places.

    asked: of each clip float32's logits (N, V), the smaller model's, and the tokens (N,) that were there.
    """
    rows = []
    for in_float, small, true in asked:
        whole, other = log_softmax(in_float), log_softmax(small)
        nll, nll_float = (-np.take_along_axis(log_p, true[:, None], 1).mean() for log_p in (other, whole))
        kl = (np.exp(whole) * (whole - other)).sum(-1).mean()
        rows.append((nll, nll_float, kl, (whole.argmax(-1) == other.argmax(-1)).mean()))
    return Loss(*(float(value) for value in np.mean(rows, axis=0)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities in float64 over the last axis: differences of a thousandth are what is measured."""
    logits = logits.astype(np.float64)
    return logits - log_sum_exp(logits)


def snr_db(graph: Graph, in_float: Graph, inputs: Iterable[np.ndarray]) -> float:
    """The least ratio over inputs, in dB, of what a graph gives to what the smaller one does otherwise.

    Of a graph with several outputs, the least of those too.
    """
    ratios = []
    for one in inputs:
        for whole, other in zip(several(in_float(one)), several(graph(one))):
            error = np.square(other - whole).sum()
            ratios.append(10 * np.log10(np.square(whole).sum() / max(error, 1e-30)))
    return float(min(ratios))
