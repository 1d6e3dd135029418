"""What a MusicGen has of its own on the page that plays it."""

import os
from pathlib import Path

from helpers.musicgen.pipeline import GRAPHS, tokenizer_of
from helpers.musicgen.spec import read_spec
from helpers.page import Page, check_rate
from helpers.runtime.pieces import tables
from helpers.support.errors import InputError


def page_of(bundle: str | os.PathLike) -> Page:
    """The page of a bundle. Raises InputError."""
    spec = read_spec(bundle)
    check_rate(spec.sample_rate)
    if spec.channels != 1:
        raise InputError(f"a page plays one channel, and these models have {spec.channels}; use generate.")
    tokenizer: Path | None = tokenizer_of(bundle)
    numbers = vars(spec) | {"frame_rate": spec.frame_rate, "special_token": spec.special_token}
    return Page(
        home="musicgen",
        title="Continue",
        says="Say what it should sound like, or give a sound that is to go on.",
        how="How to write it",
        verb="generate",
        graphs=GRAPHS,
        own_first=True,
        content={"spec": numbers, "tokenizer": tokenizer and tables(tokenizer, spec.vocab_size)},
    )
