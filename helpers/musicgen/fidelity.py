"""What a smaller graph lost, measured on the course's clips against the float32 model.

The language model is asked for every token of the clips, after what came before it; the decoder decodes them.
"""

from collections.abc import Iterator

import numpy as np

from helpers.audio.clips import load_clips
from helpers.musicgen.decoding import delayed
from helpers.musicgen.limits import limits
from helpers.musicgen.past import Condition
from helpers.musicgen.pipeline import Pipeline
from helpers.verify import AT_LEAST, SNR, Finding, loss_of, snr_db

SECONDS = 3.0  # of each clip
TEXT_SHAPE = (3, 17)  # texts, word pieces


def findings(precisions: dict[str, str], in_float: Pipeline, small: Pipeline) -> Iterator[Finding]:
    """Each graph below float32 beside its limits. The clips are encoded by the float32 pipeline."""
    reduced = {name: precision for name, precision in precisions.items() if precision != "fp32"}
    clips = load_clips(longest=SECONDS) if reduced else []
    codes = [in_float.encode(clip.audio, clip.sample_rate) for clip in clips]
    for name, precision in reduced.items():
        measures = measured(name, in_float, small, codes)
        for measure, limit in limits(name, precision).items():
            yield Finding(name, precision, measure, measures[measure], limit, measure in AT_LEAST)


def measured(name: str, in_float: Pipeline, small: Pipeline, codes: list[np.ndarray]) -> dict[str, float]:
    """What one graph lost, by the names that `limits` has."""
    if name == "lm":
        return loss_of(asked(in_float, small, clip) for clip in codes).measures
    ids = np.random.default_rng(0).integers(0, in_float.spec.vocab_size, TEXT_SHAPE)
    if name == "encodec_decoder":
        return {SNR: snr_db(small.decode, in_float.decode, codes)}
    if name == "lm_text":
        return {SNR: snr_db(small.graphs[name], in_float.graphs[name], [in_float.text(ids=ids).states])}
    reads = [lambda ids, one=one: one.text(ids=ids).states for one in (small, in_float)]
    return {SNR: snr_db(*reads, [ids])}


def asked(in_float: Pipeline, small: Pipeline, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (N, V) of both for every token of a clip, after what came before it, and the tokens (N,)."""
    (whole, true), (other, _) = (guesses(one, clip, one.no_text(1)) for one in (in_float, small))
    return whole, other, true


def guesses(pipeline: Pipeline, codes: np.ndarray, condition: Condition) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, V) for every token of codes (1, K, T), after what came before it, and the tokens (N,)."""
    columns = delayed(codes, pipeline.spec.delays, pipeline.special_token)
    true = columns[:, :, 1:]
    is_token = true != pipeline.special_token
    return pipeline.logits(columns[:, :, :-1], condition)[0][is_token], true[is_token]
