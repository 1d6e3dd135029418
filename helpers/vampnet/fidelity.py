"""What a smaller graph lost, measured on the course's clips against the float32 model.

Transformers: half of the places that they predict are masked, and they are asked for them. The decoder: how
far below the sound its error lies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.audio.clips import load_clips
from helpers.runtime.session import Graph
from helpers.vampnet.limits import limits
from helpers.vampnet.pipeline import STAGES, Pipeline
from helpers.verify import AT_LEAST, SNR, Finding, Loss, loss_of, snr_db

SECONDS = 3.0  # of each clip
SHARE = 0.5  # of the predicted places masked


@dataclass(frozen=True)
class Example:
    """What a transformer is asked: tokens with MASK (1, C, T), where (P, T) bool, what was there (P, T)."""

    codes: np.ndarray
    masked: np.ndarray
    true: np.ndarray


def clip_tokens(pipeline: Pipeline, n_clips: int | None = None) -> list[np.ndarray]:
    """The beginnings of the course's clips, or of the first few, as tokens int64 (1, C, T)."""
    clips = load_clips(longest=SECONDS)[:n_clips]
    return [pipeline.encode(clip.audio, clip.sample_rate) for clip in clips]


def examples(pipeline: Pipeline, name: str, codes: Sequence[np.ndarray], seed: int = 0) -> list[Example]:
    """Questions for one of STAGES: clips cut to its chunks, the same places masked for the same seed."""
    coarse = name == "coarse"
    n_books = pipeline.n_coarse_codebooks if coarse else pipeline.n_codebooks
    n_given = 0 if coarse else pipeline.n_conditioning_codebooks
    chunk = pipeline.spec.coarse_chunk if coarse else pipeline.spec.c2f_chunk
    found = []
    for i, clip in enumerate(codes):
        for piece in cut(clip[0, :n_books], chunk)[:, None]:
            masked = random_mask(piece[:, n_given:].shape, SHARE, np.random.default_rng((seed, i)))[0]
            true, asked = piece[0, n_given:].copy(), piece.copy()
            asked[0, n_given:][masked] = pipeline.mask_token
            found.append(Example(asked, masked, true))
    return found


def loss(graph: Graph, in_float: Graph, asked: Sequence[Example]) -> Loss:
    """Ask both for the same places."""
    return loss_of(
        (in_float(one.codes)[0][one.masked], graph(one.codes)[0][one.masked], one.true[one.masked])
        for one in asked
    )


def findings(precisions: dict[str, str], in_float: Pipeline, small: Pipeline) -> Iterator[Finding]:
    """Each graph below float32 beside its limits. The clips are encoded by the float32 pipeline."""
    reduced = {name: precision for name, precision in precisions.items() if precision != "fp32"}
    codes = clip_tokens(in_float) if reduced else []
    for name, precision in reduced.items():
        pair = small.graphs[name], in_float.graphs[name]
        if name in STAGES:
            measures = loss(*pair, examples(in_float, name, codes)).measures
        else:
            measures = {SNR: snr_db(*pair, codes)}
        for measure, limit in limits(name, precision).items():
            yield Finding(name, precision, measure, measures[measure], limit, measure in AT_LEAST)


def cut(codes: np.ndarray, chunk: int) -> np.ndarray:
    """(C, T) into (n, C, chunk); a clip that is shorter than a chunk is one piece."""
    length = min(chunk, codes.shape[-1])
    n = codes.shape[-1] // length
    return np.ascontiguousarray(codes[:, : n * length].reshape(len(codes), n, length).swapaxes(0, 1))


def random_mask(shape: tuple[int, int, int], share: float, rng: np.random.Generator) -> np.ndarray:
    """bool (n, P, T), True at exactly the share of the places of each chunk."""
    n_chunks, n_books, n_frames = shape
    order = rng.permuted(np.tile(np.arange(n_books * n_frames), (n_chunks, 1)), axis=1)
    return (order < round(share * n_books * n_frames)).reshape(shape)
