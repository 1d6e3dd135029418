"""One number for how good a sound is beside its reference, from a kept library: Zimtohrli.

A model of the ear (Alakuijala et al. 2025, "Zimtohrli: An efficient psychoacoustic audio similarity metric")
whose distance is given as a mean opinion score, 1 bad to 5 no difference heard. The package is optional:
`pip install -e ".[scoring]"`.
"""

import numpy as np

from helpers import audio as sound

RATE = 48_000  # Hz, the only rate that it knows


def opinion(heard: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Score of mono sounds (N,) of one length and level; NaN where the package is not installed."""
    try:
        from zimtohrli import mos_from_signals
    except ImportError:
        return float("nan")
    pair = (sound.resample(audio[None], sample_rate, RATE)[0] for audio in (reference, heard))
    return float(mos_from_signals(*(np.ascontiguousarray(audio, np.float32) for audio in pair)))
