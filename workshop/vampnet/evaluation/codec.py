"""The codec: how close it comes at several bit rates, and how much of its codebooks it uses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.audio.distance import RATE, at_44100, log_mel, si_sdr_db
from helpers.vampnet.codec import CodecConfig
from helpers.vampnet.reference import TorchPipeline
from workshop.scoring.statistics import Score, score
from workshop.vampnet.evaluation.baselines import count
from workshop.vampnet.evaluation.encoded import Encoded, decode_books

LEAST_USED = 0.1  # a codebook with a smaller share of its codes in use counts as dead


@dataclass(frozen=True)
class Quality:
    """What the first `n_codebooks` give: kbit/s, log-mel distance (lower is better), SI-SDR in dB."""

    n_codebooks: int
    kbps: float
    log_mel: Score
    si_sdr: Score


@dataclass(frozen=True)
class Usage:
    """How much of one codebook occurs in all clips together.

    perplexity: the number of equally frequent codes that would be as hard to guess.
    """

    codebook: int
    size: int
    in_use: int
    perplexity: float

    @property
    def is_dead(self) -> bool:
        """Whether the codebook says next to nothing."""
        return self.in_use < LEAST_USED * self.size


def depths(pipeline: TorchPipeline) -> list[int]:
    """The numbers of codebooks to score: one, the coarse ones, all."""
    return sorted({1, pipeline.n_coarse_codebooks, pipeline.n_codebooks})


def kbps(config: CodecConfig, n_codebooks: int) -> float:
    """Bit rate of the tokens in kbit/s, each codebook's tokens at log2 of its size."""
    return n_codebooks * math.log2(config.codebook_size) * config.sample_rate / config.hop / 1000


def codec_scores(
    pipeline: TorchPipeline, encoded: Sequence[Encoded], on_clip: Callable[[], object] = lambda: None
) -> list[Quality]:
    """Scores of the first 1, n_coarse and all codebooks, against the clips as the codec was given them.

    Nothing is shifted in time: an output sample of this codec belongs to the input sample of its number.
    """
    found = {n: [] for n in depths(pipeline)}
    for item in encoded:
        reference = item.clip.conditioned(RATE)
        for n, pairs in found.items():
            whole = n == pipeline.n_codebooks
            output = item.rebuilt if whole else decode_books(pipeline.codec, item.codes, n)
            output = at_44100(output, pipeline.sample_rate, reference.shape[-1])
            pairs.append((log_mel(output, reference), si_sdr_db(output, reference)))
        on_clip()
    return [
        Quality(n, kbps(pipeline.codec.config, n), *(score(values) for values in zip(*pairs)))
        for n, pairs in found.items()
    ]


def codebook_usage(codes: Sequence[np.ndarray], size: int) -> list[Usage]:
    """How much of each codebook the tokens (1, C, T) of all clips use."""
    return [_usage(i, counts) for i, counts in enumerate(count(codes, codes[0].shape[1], size))]


def _usage(codebook: int, counts: np.ndarray) -> Usage:
    shares = counts[counts > 0] / counts.sum()
    return Usage(codebook, len(counts), len(shares), float(np.exp(-(shares * np.log(shares)).sum())))
