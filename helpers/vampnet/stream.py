"""A vamp of sound that does not end: windows that overlap, each vamped like a sound of its own, and joined.

A window sees some sound on either side of what is kept of it (`runtime.windows` cuts them so), and where two
meet, one is faded out while the other is faded in.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from helpers import audio as sound
from helpers.runtime.sampling import seeds_of
from helpers.runtime.windows import Layout, Window
from helpers.support.config import real, shown
from helpers.support.errors import InputError
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.vamp import Prompt, vamp_audio

LONGEST = 3600  # seconds of a hop, a context or a fade
VampWindow = Callable[[np.ndarray, int], np.ndarray]  # sound (1, n) and the window's number -> sound (1, n)


@dataclass(frozen=True)
class VampStream:
    """Sound float32 (n,), piece after piece, `hop` samples each but the last, which has what is left.

    A piece is made of a window that has `context` more samples on either side, as far as there is sound, and
    leaves when those behind it have come; `fade` samples at its beginning are shared with the piece before.
    To be gone through once, like what it is made from.
    """

    vamp_window: VampWindow
    blocks: Iterable[np.ndarray]
    sample_rate: int
    hop: int
    context: int
    fade: int

    @property
    def delay_seconds(self) -> float:
        """How long after a sound came in it comes out, at most; the time that a window takes comes on top.

        Whoever plays while recording starts so much later, and never waits if a window takes less than a hop.
        """
        return (self.hop + self.context) / self.sample_rate

    def __iter__(self) -> Iterator[np.ndarray]:
        rising = np.sin(np.pi / 2 * (np.arange(self.fade) + 0.5) / max(1, self.fade)) ** 2
        rising, before = rising.astype(np.float32), np.zeros(0, np.float32)
        for index, window in enumerate(self._windows()):
            vamped = self.vamp_window(window.x[0], index)[0]
            piece, stop = vamped[window.keep].copy(), window.keep.stop
            n = min(len(before), len(piece))
            piece[:n] = before[:n] * (1 - rising[:n]) + piece[:n] * rising[:n]
            before = np.zeros(0, np.float32) if stop is None else vamped[stop : stop + self.fade]
            yield piece

    def _windows(self) -> Iterator[Window]:
        for complete in Layout(1, 1, self.context, shortest=1).windows(self._arriving(), self.hop):
            yield from complete

    def _arriving(self) -> Iterator[np.ndarray]:
        """The blocks, checked, (1, 1, n), none longer than a hop: a long one is not held in many windows."""
        for block in self.blocks:
            if np.ndim(block) != 1:
                raise InputError(f"a block of sound is shaped (N,), not {np.shape(block)}.")
            if len(block):
                block = sound.as_batch(block)
                for start in range(0, block.shape[-1], self.hop):
                    yield block[..., start : start + self.hop]


def vamp_stream(
    pipeline: Pipeline,
    blocks: Iterable[np.ndarray],
    hop_seconds: float,
    context_seconds: float,
    fade_seconds: float,
    prompt: Prompt | None,
    seed: int,
    **settings: object,
) -> VampStream:
    """See `Pipeline.vamp_stream`."""
    prompt, [seed] = Prompt() if prompt is None else prompt, seeds_of(seed, 1)
    if not isinstance(prompt, Prompt):
        raise InputError("a stream takes a Prompt, no mask: its first and last windows have other lengths.")
    hop, context = (
        sound.seconds_to_frames(_seconds(name, value), pipeline.sample_rate, pipeline.hop) * pipeline.hop
        for name, value in (("hop_seconds", hop_seconds), ("context_seconds", context_seconds))
    )
    fade = int(_seconds("fade_seconds", fade_seconds) * pipeline.sample_rate)
    if hop < 1 or fade > min(hop, context):
        raise InputError("hop_seconds must be above 0, and fade_seconds no longer than hop and context.")

    def vamp_window(x: np.ndarray, index: int) -> np.ndarray:
        return vamp_audio(pipeline, x, pipeline.sample_rate, prompt, seed=seed + index, **settings).audio

    return VampStream(vamp_window, blocks, pipeline.sample_rate, hop, context, fade)


def _seconds(name: str, value: float) -> float:
    if not 0 <= real(value) <= LONGEST:
        raise InputError(f"{name} is {shown(value)}, but should be a number of seconds, from 0 to {LONGEST}.")
    return real(value)
