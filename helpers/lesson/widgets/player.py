"""The player: versions of one clip behind one transport, switched at the same position.

Sound and pictures travel as messages when a browser asks for them. They are never part of the widget's
state, so they are not saved with the notebook.
"""

from collections.abc import Mapping
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from helpers.audio.signal import mono
from helpers.lesson import plots
from helpers.lesson.widgets import still
from helpers.support.errors import InputError

HERE = Path(__file__).parent
PICTURES = {"spectrogram": (plots.spectrogram, 2.2), "waveform": (plots.waveform, 1.5)}  # height in inches
LOUDEST = 32767  # 16-bit samples


class Player(anywidget.AnyWidget):
    """Compare versions of a clip: one transport, gapless switching, a loop, the keyboard, honest levels.

    versions: name -> audio of one item, (N,), (channels, N) or (1, channels, N) float; channels are averaged.
    The longest version sets the length. If any version exceeds full scale, all get one common gain, which
    the player shows. `view` is the picture under the sound: "spectrogram" or "waveform".

    With `blind`, a question such as "Which one is the original?", the names are hidden and the order is
    drawn from `seed`; after the reader's pick the names appear and `picked` holds the name that was picked.

    Raises InputError if there is nothing to play.
    """

    _esm = HERE / "player.js"
    _css = HERE / "player.css"
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sample_rate = traitlets.Int().tag(sync=True)
    gain_db = traitlets.Float().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    asks = traitlets.Bool(False).tag(sync=True)
    picked = traitlets.Unicode(None, allow_none=True)

    def __init__(
        self,
        versions: Mapping[str, np.ndarray],
        sample_rate: int,
        view: str = "spectrogram",
        blind: str | None = None,
        seed: int | None = None,
    ):
        if view not in PICTURES:
            raise InputError(f"view is {view!r}; it is one of {', '.join(PICTURES)}.")
        self._sounds, gain = _levelled({name: _signal(name, audio) for name, audio in versions.items()})
        self._view, self._names = view, list(self._sounds)
        if blind is not None:
            self._names = [self._names[i] for i in np.random.default_rng(seed).permutation(len(self._names))]
        self._question = blind
        super().__init__(
            labels=self._names if blind is None else _letters(len(self._names)),
            sample_rate=int(sample_rate),
            gain_db=20 * float(np.log10(gain)),
            message=blind or "",
            asks=blind is not None,
        )
        self.on_msg(self._answer)

    @property
    def names(self) -> list[str]:
        """The versions' names in the order of the buttons; in a blind test that tells which is which."""
        return list(self._names)

    @property
    def sounds(self) -> dict[str, np.ndarray]:
        """Each version's samples (N,) by name, as they are played: of one length, within full scale."""
        return dict(self._sounds)

    def _answer(self, _: "Player", request: dict, __: list) -> None:
        """What the front end asks for, or tells."""
        if request.get("want") == "audio":
            self.send({"have": "audio"}, [_integers(self._sounds[name]) for name in self._names])
        elif request.get("want") == "picture" and not self.asks:  # a picture would give the answer away
            self._send_picture(int(request["index"]))
        elif "picked" in request and self.asks:
            self._reveal(int(request["picked"]))

    def _send_picture(self, index: int) -> None:
        png, left, right = self.picture(index)
        text = f"{self._view} of {self._names[index]}"
        self.send({"have": "picture", "index": index, "left": left, "right": right, "text": text}, [png])

    def picture(self, index: int) -> tuple[bytes, float, float]:
        """The plot of a version as PNG, and where in its width time begins and ends (0 to 1)."""
        draw, height = PICTURES[self._view]
        sound = self._sounds[self._names[index]]
        png, ax = still.png(lambda ax: draw(sound, self.sample_rate, ax=ax), height)
        return png, ax.get_position().x0, ax.get_position().x1

    def _reveal(self, index: int) -> None:
        self.asks = False
        letters = self.labels
        self.labels = [f"{letter}: {name}" for letter, name in zip(letters, self._names)]
        self.message = f"{self._question} You picked {letters[index]}: {self._names[index]}."
        self.picked = self._names[index]
        self.send({"have": "reveal"})

    def _repr_mimebundle_(self, **kwargs) -> still.Bundle:
        """The widget, and a still picture for places where widgets don't run."""
        shown = super()._repr_mimebundle_(**kwargs)
        return shown if self.asks else still.beside(shown, self.picture(0)[0])


def _signal(name: str, audio: np.ndarray) -> np.ndarray:
    """One item of audio as (N,)."""
    try:
        batch = mono(audio)
    except InputError as error:
        raise InputError(f"{name!r}: {error}") from error
    if len(batch) != 1:
        raise InputError(f"{name!r} is a batch of {len(batch)}; play one item at a time.")
    return batch[0, 0]


def _levelled(sounds: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """All at one length and within full scale by one common gain, and that gain."""
    if not sounds:
        raise InputError("there is no version to play; give at least one.")
    length = max(len(sound) for sound in sounds.values())
    loudest = max(float(np.abs(sound).max()) for sound in sounds.values())
    gain = min(1.0, 1.0 / max(loudest, 1e-9))
    return {name: gain * np.pad(sound, (0, length - len(sound))) for name, sound in sounds.items()}, gain


def _integers(sound: np.ndarray) -> bytes:
    return np.round(sound * LOUDEST).astype("<i2").tobytes()


def _letters(count: int) -> list[str]:
    return [chr(ord("A") + i) for i in range(count)]
