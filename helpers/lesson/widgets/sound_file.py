"""A sound to work on: a file that the notebook names, or one of the reader's own."""

import os
import tempfile
from pathlib import Path

import ipywidgets

from helpers import audio
from helpers.lesson import plots
from helpers.lesson.widgets import still
from helpers.support.errors import InputError


class SoundFile(ipywidgets.VBox):
    """A button to bring a sound of one's own; until then the sound is that of `path`.

    `audio` (channels, N) float32, `sample_rate` in hertz and `name` are those of the last good choice, cut
    to the first `seconds`. A file that can't be read is named under the button, and the sound stays. What
    is uploaded travels through the notebook's connection, which often ends at 10 MB: name longer files.

    Raises InputError if `path` can't be read.
    """

    def __init__(self, path: str | os.PathLike, seconds: float):
        self._seconds = seconds
        self.upload = ipywidgets.FileUpload(
            accept="audio/*", description="your own sound", layout={"width": "max-content"}
        )
        self.caption = ipywidgets.Label()
        self._open(Path(path), Path(path).name)
        self.upload.observe(self._uploaded, "value")
        super().__init__([self.upload, self.caption])

    def _open(self, path: Path, name: str) -> None:
        whole, sample_rate = audio.load(path)
        self.audio, self.sample_rate, self.name = (
            whole[:, : round(self._seconds * sample_rate)],
            sample_rate,
            name,
        )
        n_channels, length = self.audio.shape
        of = f" of {whole.shape[1] / sample_rate:.1f}" if whole.shape[1] > length else ""
        channels = f"{n_channels} channel{'s' if n_channels > 1 else ''}"
        self.caption.value = f"{name}: {length / sample_rate:.1f}{of} s, {channels}, {sample_rate} Hz"

    def _uploaded(self, _: object) -> None:
        for file in self.upload.value:  # none or one
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "upload"
                path.write_bytes(file["content"])
                try:
                    self._open(path, file["name"])
                except InputError as error:  # in a callback nobody else shows it to the reader
                    self.caption.value = str(error).replace(str(path), file["name"])

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        picture, _ = still.png(lambda ax: plots.waveform(self.audio, self.sample_rate, ax=ax), 1.5)
        return still.beside(super()._repr_mimebundle_(**kwargs), picture)
