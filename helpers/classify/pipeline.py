"""The pipeline over a bundle of a classifier: sound in, scores out. No PyTorch.

Audio is (N,), (channels, N) or (B, channels, N) float at any rate; channels are mixed, and a sound that is
shorter than `spec.shortest` is filled with silence at its end.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from helpers import audio as sound
from helpers.audio.signal import positive, resample_stream
from helpers.classify.spec import LONGEST_WINDOW, Spec, read_spec
from helpers.runtime.session import open_graphs
from helpers.support.config import real, shown
from helpers.support.errors import InputError

OVERLAP = 0.5  # of windows where nobody says otherwise


class Pipeline:
    """A classifier: a function from sound to scores, and what to do with it."""

    def __init__(self, spec: Spec, graphs: Mapping[str, Callable]):
        self.spec, self.graphs = spec, graphs
        self.labels, self.sample_rate, self.hop = spec.labels, spec.sample_rate, spec.hop

    @classmethod
    def open(
        cls, bundle: str | os.PathLike, providers: Sequence[str] | None = None, threads: int = 0
    ) -> "Pipeline":
        """Open a bundle. The session starts when first used.

        providers: ONNX Runtime's execution providers, the preferred first; None = CPU. threads: 0 = one a
        core. Raises InputError for what is not a complete bundle.
        """
        return cls(read_spec(bundle), open_graphs(bundle, {"classifier": threads}, providers))

    def scores(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """One score a label, float32 (B, labels)."""
        return self._heard(audio, sample_rate)["scores"]

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """What the last layer looks at, float32 (B, D). Raises InputError where the model has none."""
        return self._output("embedding", audio, sample_rate)

    def framewise(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Scores in time, float32 (B, T, labels), one each `hop` samples. Raises InputError as `embed`."""
        return self._output("framewise", audio, sample_rate)

    def stream(
        self,
        chunks: Iterable[np.ndarray],
        sample_rate: int | None = None,
        window: float | None = None,
        hop: float | None = None,
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Scores (labels,) of overlapping windows while sound arrives, each with the second it begins at.

        chunks: sound in pieces of any lengths, at `sample_rate` (None: the bundle's). window, hop: in
        seconds (None: as long as the clips it was trained on, and half of that). The last window ends with
        the sound; a sound shorter than one is one. No more than a window and a chunk are held.
        """
        rate = self.sample_rate if sample_rate is None else sample_rate
        size = self._samples("window", self.spec.window_seconds if window is None else window)
        step = self._samples("hop", size * OVERLAP / self.sample_rate if hop is None else hop)
        if step > size:
            raise InputError("hop is longer than window: what lies between two of them would not be heard.")
        mixed = (sound.mono(chunk)[0, 0] for chunk in chunks if np.size(chunk))
        for start, held in windows(resample_stream(mixed, rate, self.sample_rate), size, step):
            yield start / self.sample_rate, self.scores(held, self.sample_rate)[0]

    def _output(self, name: str, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        if name not in self.spec.outputs:
            raise InputError(
                f"this {self.spec.architecture} gives {' and '.join(self.spec.outputs)}, no {name}."
            )
        return self._heard(audio, sample_rate)[name]

    def _heard(self, audio: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
        """Every output of the graph by its name."""
        audio = sound.resample(sound.mono(audio)[:, 0], sample_rate, self.sample_rate)
        if audio.shape[-1] < self.spec.shortest:
            audio = sound.fit_length(audio, self.spec.shortest)
        made = self.graphs["classifier"](audio)
        found = dict(zip(self.spec.outputs, made if isinstance(made, tuple) else (made,)))
        shape = (len(audio), len(self.labels))
        usable = len(found) == len(self.spec.outputs) and all(
            isinstance(one, np.ndarray) and one.dtype == np.float32 for one in found.values()
        )
        if not usable or found["scores"].shape != shape or not np.isfinite(found["scores"]).all():
            raise InputError(
                f"classifier.onnx gives no scores of the shape {shape}; export the bundle again."
            )
        return found

    def _samples(self, name: str, seconds: float) -> int:
        if not 1 / self.sample_rate <= real(seconds) <= LONGEST_WINDOW:
            raise InputError(f"{name} is {shown(seconds)}, but should be seconds, up to {LONGEST_WINDOW}.")
        return positive(name, round(real(seconds) * self.sample_rate))


def windows(pieces: Iterable[np.ndarray], size: int, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Windows (size,) of what arrives in pieces (n,), every `step` samples, each with where it begins.

    The last one ends with the last sample; all of it, where there is less than one.
    """
    held, first, start = np.zeros(0, np.float32), 0, 0  # held begins at `first`; the next window at `start`
    waiting, n_waiting = [], 0  # pieces that complete no window yet: to join each would take ever longer
    for piece in pieces:
        waiting.append(piece)
        n_waiting += len(piece)
        if first + len(held) + n_waiting < start + size:
            continue
        held, waiting, n_waiting = np.concatenate([held, *waiting]), [], 0
        while first + len(held) >= start + size:
            yield start, held[start - first :][:size]
            start += step
        kept = max(first, start - step)  # the last window may reach back that far
        held, first = held[kept - first :], kept
    held = np.concatenate([held, *waiting])
    end = first + len(held)
    if start == 0 and end:
        yield 0, held
    elif start and end > start - step + size:
        yield end - size, held[end - size - first :]
