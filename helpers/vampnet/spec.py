"""What the loop must know of the models: numbers that `bundle.json` has under the same names."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

from helpers.runtime.manifest import MANIFEST, read_counts
from helpers.support.errors import InputError


@dataclass(frozen=True)
class Spec:
    """What the loop must know of the models: it is stored in `bundle.json` under the same names.

    Rates in hertz, `hop` in samples, chunks and contexts in frames. A frame's tokens depend on
    `encoder_context` frames of audio on either side, its samples on `decoder_context` frames of tokens;
    the encoder refuses less than `shortest_input` hops.
    """

    sample_rate: int
    hop: int
    n_codebooks: int
    codebook_size: int
    n_coarse_codebooks: int
    n_conditioning_codebooks: int
    encoder_context: int
    decoder_context: int
    shortest_input: int
    coarse_chunk: int
    c2f_chunk: int

    @property
    def mask_token(self) -> int:
        """The token that stands for "to be generated": one past the last code."""
        return self.codebook_size


LONGEST = 1 << 26  # samples of context: 25 minutes
LONGEST_CHUNK = 120  # seconds; short ones are filled up to it, so a gigantic one would never come to an end
MAY_BE_ZERO = ("n_conditioning_codebooks", "encoder_context", "decoder_context")


def read_spec(bundle: str | os.PathLike) -> Spec:
    """What a bundle's manifest says of its models. Raises InputError for what says less."""
    least = {field.name: 0 if field.name in MAY_BE_ZERO else 1 for field in fields(Spec)}
    spec = Spec(**read_counts(bundle, least, "vampnet"))
    longest = spec.hop * max(spec.encoder_context, spec.decoder_context, spec.shortest_input)
    if (
        max(spec.n_coarse_codebooks, spec.n_conditioning_codebooks + 1) > spec.n_codebooks
        or longest > LONGEST
        or max(spec.coarse_chunk, spec.c2f_chunk) * spec.hop > LONGEST_CHUNK * spec.sample_rate
    ):
        raise InputError(f"{Path(bundle) / MANIFEST} describes no possible model; export it again.")
    return spec
