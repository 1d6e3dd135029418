"""Sound as numpy arrays: reading and writing it, its level, its rate, and when something happens in it."""

from helpers.audio.events import beat_frames, onset_frames
from helpers.audio.files import check_suffix, load, save, save_stream
from helpers.audio.loudness import (
    LOUDNESS_FLOOR,
    condition,
    limit_peak,
    loudness,
    match_level,
    normalize_loudness,
)
from helpers.audio.signal import as_batch, fit_length, mono, pad_to_multiple, resample, seconds_to_frames

__all__ = [
    "LOUDNESS_FLOOR",
    "as_batch",
    "beat_frames",
    "check_suffix",
    "condition",
    "fit_length",
    "limit_peak",
    "load",
    "loudness",
    "match_level",
    "mono",
    "normalize_loudness",
    "onset_frames",
    "pad_to_multiple",
    "resample",
    "save",
    "save_stream",
    "seconds_to_frames",
]
