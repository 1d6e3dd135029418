"""The transformers: how well they guess masked tokens, beside guesses that need no model.

NLL is the negative log-likelihood of a masked token in nats: 0 for certainty, log V for a shrug. Fine
codebooks code what the coarse ones left over, which is close to noise: nobody guesses it much better than
by its frequencies, so `c2f` is asked for less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from helpers.vampnet.fidelity import cut, random_mask
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.transformer import VampNet
from workshop.scoring.statistics import Score, difference, ratio, score
from workshop.vampnet.evaluation.baselines import copied

SHARES = (0.25, 0.5, 0.75, 1.0)  # masked
DRAWS = 2  # of random masks, for each share


@dataclass(frozen=True)
class Guesses:
    """One model's guesses of the masked tokens: means over the masked places.

    nll, unigram_nll in nats; accuracy, copy_accuracy as shares. nll_ratio: below 1 the model knows more than
    the frequencies. accuracy_ratio is over that of copying; both are None where nothing is kept.
    nll_by_mask (clips, draws): the NLL of each random mask.
    """

    share: float
    nll: Score
    unigram_nll: Score
    nll_ratio: Score
    accuracy: Score
    copy_accuracy: Score | None
    accuracy_ratio: Score | None
    nll_by_mask: np.ndarray


def guesses(
    model: VampNet,
    codes: Sequence[np.ndarray],
    unigrams: Sequence[np.ndarray],
    chunk: int,
    share: float,
    draws: int = DRAWS,
    seed: int = 0,
    on_clip: Callable[[], object] = lambda: None,
) -> Guesses:
    """Mask a share of the predicted places at random, several times, and ask the model for them.

    codes: the clips' tokens (1, C, T). unigrams: for each clip the log-probabilities (C, V) that stand for
    token frequencies. chunk: frames the model sees at once; what is left over at a clip's end is not scored.
    The same seed masks the same places, whatever the model.
    """
    rows = []
    for i, (item, log_p) in enumerate(zip(codes, unigrams)):
        chunks = cut(item[0, : model.config.n_codebooks], chunk)
        drawn = [(seed, i, round(100 * share), draw) for draw in range(draws if share < 1 else 1)]
        rows.append([_guess(model, chunks, log_p, share, np.random.default_rng(keys)) for keys in drawn])
        on_clip()
    nll, accuracy, unigram, copying = np.array(rows).mean(1).T
    return Guesses(
        share,
        score(nll),
        score(unigram),
        ratio(nll, unigram),
        score(accuracy),
        score(copying) if share < 1 else None,
        ratio(accuracy, copying) if share < 1 else None,
        np.array(rows)[..., 0],
    )


def _guess(
    model: VampNet, chunks: np.ndarray, log_p: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """(NLL, accuracy, unigram NLL, accuracy of copying) of one draw of masks for one clip."""
    n_given = model.config.n_conditioning_codebooks
    true = chunks[:, n_given:]
    masked = random_mask(true.shape, share, rng)
    codes = np.concatenate([chunks[:, :n_given], np.where(masked, model.config.vocab_size, true)], axis=1)
    with torch.inference_mode():
        logits = model(torch.from_numpy(codes))[torch.from_numpy(masked)]  # (masked places, V)
        wanted = torch.from_numpy(true[masked])
        nll = torch.nn.functional.cross_entropy(logits, wanted).item()
        accuracy = (logits.argmax(-1) == wanted).float().mean().item()
    books = np.broadcast_to(np.arange(n_given, len(chunks[0]))[:, None], true.shape)
    unigram = -log_p[books[masked], true[masked]].mean()
    copying = (copied(true, masked)[masked] == true[masked]).mean()
    return nll, accuracy, unigram, copying


@dataclass(frozen=True)
class Comparison:
    """The NLL of two models on the same masks, in nats. `change` is (second - first) / first."""

    first: Score
    second: Score
    difference: Score
    change: Score
    unit: str  # what was resampled for the intervals: clips, or, for a single clip, its masks


def compare(first: Guesses, second: Guesses) -> Comparison:
    """Compare two models that were asked for the same places."""
    unit = "masks" if len(first.nll_by_mask) == 1 else "clips"
    one, two = (guess.nll_by_mask.mean(0 if unit == "masks" else 1) for guess in (first, second))
    return Comparison(score(one), score(two), difference(two, one), ratio(two - one, one), unit)


def stages(pipeline: TorchPipeline) -> dict[str, tuple[VampNet, int]]:
    """Both transformers, each with the frames it works on at once."""
    return {
        "coarse": (pipeline.coarse_model, pipeline.spec.coarse_chunk),
        "c2f": (pipeline.c2f_model, pipeline.spec.c2f_chunk),
    }
