"""What a wrong setting of the ear costs a trained classifier: `python -m workshop mistakes classify`.

The model stays as it is; only what comes before it is otherwise than it was in training, as happens where
somebody writes the front end anew for a device. On `shifted`, which is there to be looked at often.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from helpers import audio as sound
from helpers.classify import own
from helpers.classify.configs import Front
from helpers.classify.files import MODELS
from helpers.classify.model import Classifier
from helpers.classify.weights import load_models
from helpers.layers.spectrogram import FLOOR, kaldi_bands
from helpers.support import commands
from helpers.support.commands import Parser
from helpers.support.errors import InputError
from helpers.support.files import check_outputs, write_text
from helpers.support.tables import markdown_table
from workshop.classify.features import Chorus, pictured
from workshop.classify.training import predicted

SPLIT = "shifted"
Hears = Callable[[Classifier, Tensor], Tensor]  # audio (n, N) -> pictures (n, 1, T, M)


def as_trained(classifier: Classifier, audio: Tensor) -> Tensor:
    return pictured(audio, classifier.front)


def resampled(audio: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Sounds (n, N) at another rate."""
    return torch.from_numpy(np.stack([sound.resample(one, from_rate, to_rate) for one in audio.numpy()]))


def fed_as(rate: int) -> Hears:
    """Recorded at a rate of its own, and taken for the model's: too slow and too low, or the other way."""

    def hears(classifier: Classifier, audio: Tensor) -> Tensor:
        front = classifier.config.front
        other = resampled(audio, front.sample_rate, rate)
        again = other.repeat(1, -(-audio.shape[1] // other.shape[1]))  # where it is over too soon
        return pictured(again[:, : audio.shape[1]], classifier.front)

    return hears


def through(rate: int) -> Hears:
    """A microphone that has no more than half of this rate, brought to the model's as it should be."""

    def hears(classifier: Classifier, audio: Tensor) -> Tensor:
        own_rate = classifier.config.front.sample_rate
        less = resampled(resampled(audio, own_rate, rate), rate, own_rate)
        return pictured(less[:, : audio.shape[1]], classifier.front)

    return hears


def with_front(**changed: float) -> Hears:
    """Another window, hop or range of frequencies than the model's."""

    def hears(classifier: Classifier, audio: Tensor) -> Tensor:
        return pictured(audio, own.ear(replace(classifier.config.front, **changed)))

    return hears


def htk_bands(classifier: Classifier, audio: Tensor) -> Tensor:
    """Bands on HTK's mel scale, all of one height, instead of Slaney's, all of one area."""
    front: Front = classifier.config.front
    ear = own.ear(front)
    bands = kaldi_bands(front.sample_rate, front.n_fft, front.n_mels, front.f_min, front.f_max)
    ear.mel.data = torch.from_numpy(bands)
    return pictured(audio, ear)


def magnitude(classifier: Classifier, audio: Tensor) -> Tensor:
    """The logarithm of magnitudes where that of powers is due: half the decibels."""
    return as_trained(classifier, audio) / 2


def natural(classifier: Classifier, audio: Tensor) -> Tensor:
    """The natural logarithm, without the factor of 10."""
    return as_trained(classifier, audio) * np.log(10) / 10


def from_zero_to_one(classifier: Classifier, audio: Tensor) -> Tensor:
    """(dB + 80) / 80, which many recipes for pictures have."""
    return (as_trained(classifier, audio) + 80) / 80


def rectangular(classifier: Classifier, audio: Tensor) -> Tensor:
    """No window: each frame cut out with sharp edges."""
    ear = own.ear(classifier.config.front)
    n = ear.real.shape[-1]
    hann = 0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(n) / n)
    kept = hann > 1e-6
    for kernel in (ear.real, ear.imag):
        kernel.data = torch.where(kept, kernel.data / hann.clamp(min=1e-6), 0.0)
    return pictured(audio, ear)


def loud(classifier: Classifier, audio: Tensor) -> Tensor:
    """Whole numbers of 16 bits, not divided by 32768."""
    return pictured((audio * 32768).round(), classifier.front)


def floored(classifier: Classifier, audio: Tensor) -> Tensor:
    """Everything more than 30 dB below the loudest place cut off ("top_db")."""
    x = as_trained(classifier, audio)
    return torch.maximum(x, x.amax((2, 3), keepdim=True) - 30).clamp(min=10 * np.log10(FLOOR))


MISTAKES: dict[str, Hears] = {
    "as trained": as_trained,
    "22.05 kHz fed as 16 kHz": fed_as(22050),
    "8 kHz fed as 16 kHz": fed_as(8000),
    "a microphone of 8 kHz": through(8000),
    "HTK's mel bands": htk_bands,
    "magnitude for power": magnitude,
    "natural logarithm for decibels": natural,
    "(dB + 80) / 80": from_zero_to_one,
    "16-bit numbers not divided": loud,
    "30 dB kept below the loudest": floored,
    "a window twice as long": with_front(n_fft=1024),
    "a hop of 16 ms for 20 ms": with_front(hop=256),
    "no window": rectangular,
}


@torch.no_grad()
def costs(classifier: Classifier, audio: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The share of clips (n, N) that is right, by mistake."""
    heard, found = torch.from_numpy(audio), {}
    for name, hears in MISTAKES.items():
        said = predicted(classifier.network, hears(classifier, heard)).argmax(1).numpy()
        found[name] = float((said == labels).mean())
    return found


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop mistakes classify", description=__doc__)
    command.add_argument(
        "--checkpoints", type=Path, nargs="+", default=[MODELS / "student"], metavar="DIR", help="classifiers"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    command.set_defaults(run=run)
    return command


def run(arguments: argparse.Namespace) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown])
    found = {}
    for path in arguments.checkpoints:
        models, task = load_models(path), Chorus()
        if models.labels != task.labels or models.config.front.sample_rate != 16000:
            raise InputError(f"{path} is no classifier of the night chorus at 16 kHz.")
        pairs = list(task.sounds(SPLIT, 16000, models.config.window_seconds))
        audio, labels = np.stack([one for one, _ in pairs]), np.array([label for _, label in pairs])
        found[path.name] = costs(models.classifier, audio, labels)
    rows = [[name, *(f"{100 * one[name]:.1f}" for one in found.values())] for name in MISTAKES]
    text = (
        f"# What a wrong setting costs\n\nMeasured on {date.today()}: per cent right of `{SPLIT}`, the night "
        f"chorus from far off.\n\n{markdown_table(('what is wrong', *found), rows)}\n"
    )
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
