"""What scores say about labels: precision, recall, average precision, confusion, calibration.

Scores are (n, labels), each row a clip's; labels are (n,), the number of the true one.
"""

from dataclasses import dataclass

import numpy as np

BINS = 15  # of confidence, for calibration


@dataclass(frozen=True)
class Metrics:
    """Of one model on one set of clips, each from 0 to 1.

    precision, recall and f1 are means over labels, each label counting alike; average_precision likewise;
    calibration: how far on average what it says of its first choice is from how often that is right
    (expected calibration error, Guo et al. 2017). confusion (labels, labels): rows are true, columns said.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    average_precision: float
    calibration: float
    confusion: np.ndarray


def metrics(scores: np.ndarray, labels: np.ndarray) -> Metrics:
    """All of them."""
    table = confusion(scores.argmax(1), labels, scores.shape[1])
    precision, recall, f1 = per_label(table)
    mean = float(np.mean([average_precision(scores[:, i], labels == i) for i in range(scores.shape[1])]))
    return Metrics(
        float(np.trace(table) / table.sum()), float(precision.mean()), float(recall.mean()), float(f1.mean()),
        mean, calibration_error(scores, labels), table,
    )  # fmt: skip


def confusion(said: np.ndarray, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """(labels, labels) counts: rows are true, columns said."""
    return np.bincount(labels * n_labels + said, minlength=n_labels**2).reshape(n_labels, n_labels)


def per_label(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each label, (labels,) each; 0 where there is nothing to divide by."""
    hits = np.diag(table).astype(float)
    precision, recall = hits / np.maximum(table.sum(0), 1), hits / np.maximum(table.sum(1), 1)
    both = precision + recall
    return precision, recall, 2 * precision * recall / np.where(both > 0, both, 1)


def average_precision(scores: np.ndarray, is_true: np.ndarray) -> float:
    """The mean precision at each true clip when clips are ordered by score (n,); NaN where none is true.

    Clips of one score come together: their order is chance.
    """
    order = np.argsort(-scores, kind="stable")
    scores, is_true = scores[order], is_true[order]
    found = np.cumsum(is_true)
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # of each run of equal scores
    precision, new = found[last] / (last + 1), np.diff(found[last], prepend=0)
    return float((precision * new).sum() / found[-1]) if found[-1] else float("nan")


def calibration_error(scores: np.ndarray, labels: np.ndarray, n_bins: int = BINS) -> float:
    """The mean distance of confidence from success, over bins of confidence as full as they are."""
    confidence, right = scores.max(1), scores.argmax(1) == labels
    place = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    apart = [np.abs((confidence - right)[place == i].sum()) for i in range(n_bins)]
    return float(np.sum(apart) / len(labels))
