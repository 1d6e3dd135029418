"""Checks of notebook 23, Train honestly."""

from collections.abc import Callable

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

HERDS = ((4, 4, 4, 4, 4, 4, 4, 4), (9, 1, 3, 7, 2, 2, 5, 1, 6, 4), (30, 1, 1, 1, 1, 1, 5))  # clips an animal
SHARE = 0.25  # to hold out
OURS, THEIRS = (78.0, 83.5, 74.0, 80.5), (75.0, 81.5, 72.5, 78.0)  # two recipes, a number a seed


@exercise
def apart(function: Callable[[np.ndarray, float], np.ndarray]) -> str:
    """Whose each clip is (n,), a share -> which clips are held out (n,): no animal on both sides."""
    for i, herd in enumerate(HERDS):
        rng = np.random.default_rng(i)
        animals = rng.permutation(np.repeat(rng.permutation(100)[: len(herd)], herd))
        held = np.asarray(called(function, animals.copy(), SHARE))
        if held.shape != animals.shape or held.dtype != bool:
            raise Wrong(f"for {len(animals)} clips the answer is {len(animals)} times True or False.")
        if not held.any():
            raise Wrong("nothing is held out.")
        both = set(animals[held]) & set(animals[~held])
        if both:
            raise Wrong(f"animal {min(both)} is on both sides: it would be recognised, not its species.")
        if held.sum() < SHARE * len(animals):
            raise Wrong(f"{held.sum()} of {len(animals)} clips are too few: the share is one of clips.")
        if held.sum() >= SHARE * len(animals) + max(herd):
            raise Wrong(f"{held.sum()} of {len(animals)} clips are more than needed; less is left to learn.")
    return "what is held out is as strange as what will come."


@exercise
def paired(function: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> str:
    """Scores of two recipes with the same seeds (n,) -> mean difference, and its standard error."""
    for n in (4, 3):
        ours, theirs = np.array(OURS[:n]), np.array(THEIRS[:n])
        apart = ours - theirs
        answer = called(function, ours.copy(), theirs.copy())
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise Wrong("the answer is a pair: the mean difference, and its standard error.")
        mean, error = map(number, answer)
        explain(mean, {"the sign: how much better is the first than the second?": -apart.mean()})
        if not close(mean, apart.mean()):
            raise Wrong(f"the mean difference is not {mean:g}.")
        alone = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / n)
        explain(
            error,
            {
                "a deviation over n seeds is divided by n - 1 under the root: ddof=1.": apart.std() / n**0.5,
                "that is how far one seed is off, not their mean: divide by the root of n.": apart.std(
                    ddof=1
                ),
                "the seeds are the same for both: take each pair's difference first, then its spread.": alone,
            },
        )
        if not close(error, apart.std(ddof=1) / n**0.5):
            raise Wrong(f"the mean is right; the standard error is not {error:g}.")
    return "pairs cancel what both recipes owe to the seed."


def our_honest(hits: np.ndarray, folds: np.ndarray) -> float:
    """The course's answer to `honest`."""
    right = np.zeros(len(folds))
    for fold in np.unique(folds):
        inside = folds == fold
        right[inside] = hits[hits[:, ~inside].mean(1).argmax(), inside]
    return float(right.mean())


def detectors(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Made up: what 60 detectors had right of 90 clips, and which part each clip is of; the parts differ."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.45, 0.6, (60, 1))
    return rng.random((60, 90)) < skill, np.repeat([0, 1, 2], (50, 25, 15))


@exercise
def honest(function: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """What was right (models, clips), which part each clip is of (clips,) -> what choosing is worth."""
    for seed in (3, 4, 5):
        hits, folds = detectors(seed)
        right = our_honest(hits, folds)
        answer = number(called(function, hits.copy(), folds.copy()))
        if abs(answer - right) < 1e-6:
            continue
        parts = [folds == fold for fold in np.unique(folds)]
        inside = np.mean(np.concatenate([hits[hits[:, one].mean(1).argmax(), one] for one in parts]))
        each = np.mean([hits[hits[:, ~one].mean(1).argmax(), one].mean() for one in parts])
        explain(
            answer,
            {
                "that is the best one's share of all clips: chosen and scored on the same.": hits.mean(
                    1
                ).max(),
                "each is scored on the part that it was chosen on; choose on the others.": inside,
                "that is what they have right on average: nobody has chosen yet.": hits.mean(),
                "every clip counts alike; your parts do, though one has 50 clips and one 15.": each,
            },
            lambda one, other: abs(one - other) < 1e-9,
        )
        raise Wrong(f"for {hits.shape[0]} models and {len(parts)} parts it is {right:.3f}, not {answer:.3f}.")
    return "choosing is a part of training, so it is tested like the rest."
