"""A generation that can be made again: what it was made from, as JSON that a page writes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from helpers.audio.signal import fingerprint_of
from helpers.musicgen.decoding import Settings
from helpers.musicgen.generation import OnStep
from helpers.musicgen.pipeline import Made, Pipeline
from helpers.runtime.takes import read_take
from helpers.support.arrays import fingerprint
from helpers.support.errors import InputError

KNOWN = {field.name for field in fields(Settings)} | {"seconds", "seed", "window_seconds", "stride_seconds"}


@dataclass(frozen=True)
class Take:
    """What a generation was made from: its text, or None, and the settings of `Pipeline.generate`.

    input: the fingerprint of the sound that went on, or None. tokens: that of the codes that came out.
    """

    text: str | None
    settings: Mapping[str, object]
    input: str | None
    tokens: str

    def again(
        self,
        pipeline: Pipeline,
        audio: np.ndarray | None = None,
        sample_rate: int | None = None,
        on_step: OnStep | None = None,
    ) -> Made:
        """The generation once more, from the same sound (channels, N). Raises InputError for another."""
        given = None if audio is None else fingerprint_of(audio, sample_rate)
        if given != self.input:
            raise InputError(
                "this is not the sound that the settings were saved with; give that one, or none where there "
                "was none, or the text and the settings to generate."
            )
        return pipeline.generate(self.text, audio, sample_rate, on_step=on_step, **self.settings)

    def gave(self, made: Made) -> bool:
        """Whether these are the tokens of the generation that was saved, every one."""
        return fingerprint(made.codes) == self.tokens


def load_take(path: str | os.PathLike) -> Take:
    """Read the JSON file that a page saves as settings. Raises InputError for any other."""
    return read_take(path, _take, KNOWN, "a generation", "a page saved as settings")


def _take(content: dict, settings: dict[str, object]) -> Take:
    text, given = content["text"], content["input"]
    if not all(one is None or isinstance(one, str) for one in (text, given)):
        raise TypeError("neither a string nor null")
    return Take(text, settings, given, str(content["tokens"]))
