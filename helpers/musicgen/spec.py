"""What the loop must know of the models: numbers that `bundle.json` has under the same names."""

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path

from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support.config import LARGEST, is_whole
from helpers.support.errors import InputError

PADDINGS = ("attend", "mask")
LEAST = {"encoder_context": 0, "encoder_context_after": 0, "decoder_context": 0, "decoder_context_after": 0}


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


def read_spec(bundle: str | os.PathLike) -> Spec:
    """What a bundle's manifest says of its models. Raises InputError for what says less."""
    manifest, values = load_manifest(bundle), {}
    for field in fields(Spec):
        value = manifest.get(field.name)
        if field.name == "text_padding":
            good = value in PADDINGS
        elif field.name == "max_seconds":
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        elif field.name == "delays":
            good = isinstance(value, list) and all(is_whole(one) and 0 <= one <= LARGEST for one in value)
            value = tuple(value) if good else ()
        else:
            good = is_whole(value) and LEAST.get(field.name, 1) <= value <= LARGEST
        if not good:
            raise InputError(f"{Path(bundle) / MANIFEST} has no usable '{field.name}'; export it again.")
        values[field.name] = value
    spec = Spec(**values)
    if len(spec.delays) != spec.n_codebooks or spec.n_codebooks % spec.channels:
        raise InputError(f"{Path(bundle) / MANIFEST} has no usable 'delays'; export it again.")
    return spec
