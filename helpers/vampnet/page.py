"""What a VampNet has of its own on the page that plays it."""

import os

from helpers.page import Page, check_rate
from helpers.vampnet.pipeline import GRAPHS
from helpers.vampnet.spec import read_spec
from helpers.vampnet.vamp import PRESETS


def page_of(bundle: str | os.PathLike) -> Page:
    """The page of a bundle. Raises InputError."""
    spec = read_spec(bundle)
    check_rate(spec.sample_rate)
    presets = {name: vars(prompt) for name, prompt in PRESETS.items() if not prompt.onsets}
    return Page(
        home="vampnet",
        title="Vamp",
        says="Keep some of a sound, and let the model write the rest.",
        how="How to write the rest",
        verb="vamp",
        graphs=GRAPHS,
        content={"spec": vars(spec), "presets": presets},
    )
