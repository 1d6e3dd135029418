"""What the loop must know of the models: numbers that `bundle.json` has under the same names."""

import os
from dataclasses import dataclass, fields

from helpers.runtime.manifest import load_manifest, read_counts, unusable
from helpers.support.config import is_whole

PADDINGS = ("attend", "mask")
LONGEST_DELAY = 1000  # columns; real ones are a few
LONGEST_SECONDS = 86_400
OTHERS = ("text_padding", "max_seconds", "delays")  # which are no counts
MAY_BE_ZERO = ("encoder_context", "encoder_context_after", "decoder_context", "decoder_context_after")


@dataclass(frozen=True)
class Spec:
    """What the loop must know of the models.

    sample_rate in hertz, hop in samples, delays in columns, one a codebook. text_padding: whether a column
    may look at the padding of a shorter text ("attend") or not ("mask"). Contexts are in frames: what counts
    on either side before the codec's recurrent layer, and after it.
    """

    sample_rate: int
    hop: int
    channels: int
    n_codebooks: int
    codebook_size: int
    delays: tuple[int, ...]
    width: int
    n_layers: int
    n_heads: int
    vocab_size: int
    text_padding: str
    max_seconds: float
    n_lstm: int
    codec_width: int
    encoder_context: int
    encoder_context_after: int
    decoder_context: int
    decoder_context_after: int

    @property
    def special_token(self) -> int:
        """What a column holds where no token belongs: one past the last code."""
        return self.codebook_size

    @property
    def frame_rate(self) -> int:
        """Whole frames a second, as the models count them."""
        return max(1, self.sample_rate // self.hop)


def is_a_window(max_seconds: float, sample_rate: int, hop: int) -> bool:
    """Whether what a model was trained on is as long as a window can be: the next one goes on from it."""
    return 2 <= max_seconds * max(1, sample_rate // hop) and max_seconds <= LONGEST_SECONDS


def read_spec(bundle: str | os.PathLike) -> Spec:
    """What a bundle's manifest says of its models. Raises InputError for what says less."""
    manifest = load_manifest(bundle, "musicgen")
    padding, seconds, delays = (manifest.get(name) for name in OTHERS)
    counts = {field.name: 1 for field in fields(Spec) if field.name not in OTHERS}
    counts = read_counts(bundle, counts | dict.fromkeys(MAY_BE_ZERO, 0))
    if padding not in PADDINGS:
        raise unusable(bundle, "text_padding")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise unusable(bundle, "max_seconds")
    whole = isinstance(delays, list) and all(is_whole(one) and 0 <= one <= LONGEST_DELAY for one in delays)
    if not whole or len(delays) != counts["n_codebooks"] or len(delays) % counts["channels"]:
        raise unusable(bundle, "delays")
    spec = Spec(**counts, text_padding=padding, max_seconds=seconds, delays=tuple(delays))
    if not is_a_window(spec.max_seconds, spec.sample_rate, spec.hop):
        raise unusable(bundle, "max_seconds")
    return spec
