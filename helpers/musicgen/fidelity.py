"""What a smaller graph lost, measured on the course's clips against the float32 model.

The language model is asked for every token of the clips, after what came before it; the decoder decodes them.
"""

from collections.abc import Iterator

import numpy as np

from helpers.audio.clips import load_clips
from helpers.musicgen.decoding import delayed
from helpers.musicgen.limits import AGREEMENT, AT_LEAST, KL, NLL, SNR, limits
from helpers.musicgen.pipeline import Pipeline
from helpers.runtime.sampling import log_sum_exp
from helpers.verify import Finding

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
        return language_loss(in_float, small, codes)
    spec, rng = in_float.spec, np.random.default_rng(0)
    if name == "encodec_decoder":
        inputs = [(one,) for one in codes]
    elif name == "text_encoder":
        ids = rng.integers(0, spec.vocab_size, TEXT_SHAPE)
        inputs = [(ids, np.ones_like(ids))]
    else:
        ids = rng.integers(0, spec.vocab_size, TEXT_SHAPE)
        inputs = [(in_float.text(ids=ids).states,)]
    return {SNR: min(_snr(in_float.graphs[name](*one), small.graphs[name](*one)) for one in inputs)}


def language_loss(in_float: Pipeline, small: Pipeline, codes: list[np.ndarray]) -> dict[str, float]:
    """Change of the NLL as a share of float32's, KL from float32 in nats, and how often both choose the same.

    Means over clips of the means over tokens.
    """
    spec, rows = in_float.spec, []
    for clip in codes:
        columns = delayed(clip, spec.delays, spec.special_token)
        true = columns[:, :, 1:]
        is_token = true != spec.special_token
        whole, other = (
            _log_softmax(one.logits(columns[:, :, :-1], one.no_text(1))[0][is_token])
            for one in (in_float, small)
        )
        picked = true[is_token][:, None]
        nll, nll_float = (-np.take_along_axis(log_p, picked, 1).mean() for log_p in (other, whole))
        kl = (np.exp(whole) * (whole - other)).sum(-1).mean()
        rows.append((nll, nll_float, kl, (whole.argmax(-1) == other.argmax(-1)).mean()))
    nll, nll_float, kl, agreement = (float(value) for value in np.mean(rows, axis=0))
    return {NLL: nll / nll_float - 1, KL: kl, AGREEMENT: agreement}


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """In float64: differences of a thousandth are what is measured."""
    logits = logits.astype(np.float64)
    return logits - log_sum_exp(logits)


def _snr(whole: np.ndarray | tuple, other: np.ndarray | tuple) -> float:
    """The ratio, in dB, of a first output to what the smaller graph does otherwise; of a tuple, the least."""
    pairs = zip(whole, other) if isinstance(whole, tuple) else [(whole, other)]
    errors = ((np.square(a).sum(), np.square(a - b).sum()) for a, b in pairs)
    return float(min(10 * np.log10(power / max(error, 1e-30)) for power, error in errors))
