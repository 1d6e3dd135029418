"""A vamp that can be made again: the sound, and beside it, as JSON, what it was made from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from helpers import audio as sound
from helpers.audio.signal import fingerprint_of
from helpers.runtime.takes import check_settings, read_take
from helpers.support import files
from helpers.support.arrays import fingerprint
from helpers.support.errors import InputError
from helpers.vampnet.decoding import Settings
from helpers.vampnet.pipeline import OnStep, Pipeline
from helpers.vampnet.vamp import Vamp, vamp_audio

KNOWN = {field.name for field in fields(Settings)} | {"seed", "fine_steps", "chunk", "fine_chunk"}


@dataclass(frozen=True)
class Take:
    """What a vamp was made from: mask int64 (1, C, T), 1 = generate, and the settings of `vamp_audio`.

    input, tokens: the fingerprints of the sound that went in and of the tokens that came out.
    """

    mask: np.ndarray
    settings: Mapping[str, object]
    input: str
    tokens: str

    def again(
        self, pipeline: Pipeline, audio: np.ndarray, sample_rate: int, on_step: OnStep | None = None
    ) -> Vamp:
        """The vamp once more, from the same sound (channels, N). Raises InputError for another sound."""
        if fingerprint_of(audio, sample_rate) != self.input:
            raise InputError(
                "this is not the sound that the settings were saved with; open that one, "
                "or give the mask and the settings to vamp_audio."
            )
        return vamp_audio(pipeline, audio, sample_rate, self.mask, on_step=on_step, **self.settings)

    def gave(self, vamp: Vamp) -> bool:
        """Whether the vamp has the tokens of the one that was saved, every one."""
        return fingerprint(vamp.codes_out) == self.tokens


def save_take(
    stem: str | os.PathLike,
    vamp: Vamp,
    audio: np.ndarray,
    sample_rate: int,
    settings: Mapping[str, object],
) -> tuple[Path, Path]:
    """Write STEM.wav, what `vamp_audio` made of audio (channels, N), and STEM.json; both or none.

    `settings` are those it was given, the seed among them. Raises InputError for a name that is none of them.
    """
    check_settings(settings, KNOWN, "a vamp")
    wav, path = Path(f"{stem}.wav"), Path(f"{stem}.json")
    content = {
        "input": fingerprint_of(audio, sample_rate),
        "tokens": fingerprint(vamp.codes_out),
        "settings": dict(settings),
        "mask": ["".join(map(str, book)) for book in vamp.mask[0]],  # a line a codebook, to be read by eye
    }
    with files.written_whole(path) as temporary:
        files.write_json(temporary, content)
        sound.save(wav, vamp.audio, sample_rate)
    return wav, path


def load_take(path: str | os.PathLike) -> Take:
    """Read the JSON file of `save_take`. Raises InputError for any other."""
    return read_take(path, _take, KNOWN, "a vamp", "save_take wrote")


def _take(content: dict, settings: dict[str, object]) -> Take:
    mask = np.array([[int(place) for place in book] for book in content["mask"]], np.int64)[None]
    return Take(mask, settings, str(content["input"]), str(content["tokens"]))
