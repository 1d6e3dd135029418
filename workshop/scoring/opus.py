"""Opus on the same clips, by the same measure: what a conventional codec makes of so few bits.

`--music` in variable bit rate is Opus at its best here, and nearest to the figures 0.80, 0.145, 0.12 (8, 12,
16 kbit/s) that a first trial found on such music: on the course's fourteen clips it gives 0.731, 0.154, 0.129
in mel magnitudes; without --music 0.731, 0.198, 0.129; in constant bit rate 0.732, 0.166, 0.141; in mel power
instead of magnitude 0.737, 0.251, 0.204. The decoder removes the encoder's delay, to 4 samples or better.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from helpers import audio as sound
from helpers.audio.clips import COURSE_CLIPS, Clip
from helpers.audio.distance import RATE, at_44100, log_mel
from helpers.support import files
from helpers.support.errors import InputError

RATES = (6, 8, 12, 16)  # kbit/s asked for
OPTIONS = ("--music", "--vbr")
PROGRAMS = ("opusenc", "opusdec")
RECORDED = COURSE_CLIPS / "opus.json"


@dataclass(frozen=True)
class OpusFigures:
    """Log-mel distance and real kbit/s (the file's size) by clip and by the rate asked for.

    recorded: read from a file, not measured now. encoder, date: what made the figures, and when.
    """

    encoder: str
    date: str
    recorded: bool
    log_mel: dict[str, dict[int, float]]
    kbps: dict[str, dict[int, float]]

    def source(self) -> str:
        """One line: where the figures come from."""
        how = f"{self.encoder}, options {' '.join(OPTIONS)}"
        return f"recorded on {self.date} with {how}" if self.recorded else f"measured now with {how}"


def opus_figures(
    clips: Sequence[Clip],
    recorded: str | os.PathLike = RECORDED,
    on_clip: Callable[[], object] = lambda: None,
) -> OpusFigures | None:
    """Measured where the programs are installed; else what is recorded of these very files; else None."""
    if is_installed():
        return measure(clips, on_clip)
    return read(recorded, clips) if Path(recorded).is_file() else None


def is_installed() -> bool:
    """Whether the programs of opus-tools can be found."""
    return all(shutil.which(program) for program in PROGRAMS)


def measure(clips: Sequence[Clip], on_clip: Callable[[], object] = lambda: None) -> OpusFigures:
    """Encode and decode every clip at every rate."""
    distances, sizes = {}, {}
    for clip in clips:
        pairs = {rate: through_opus(clip, rate) for rate in RATES}
        distances[clip.name] = {rate: pair[0] for rate, pair in pairs.items()}
        sizes[clip.name] = {rate: pair[1] for rate, pair in pairs.items()}
        on_clip()
    version = _run("opusenc", "--version").splitlines()[0].strip()
    return OpusFigures(version, date.today().isoformat(), False, distances, sizes)


def through_opus(clip: Clip, kbps: int) -> tuple[float, float]:
    """(log-mel distance, kbit/s of the file) of one clip at one rate."""
    reference = clip.conditioned(RATE)
    audio, n_bits = decoded(reference, kbps)
    return log_mel(audio, reference), n_bits / clip.seconds / 1000


def decoded(reference: np.ndarray, kbps: int) -> tuple[np.ndarray, int]:
    """What Opus makes of (1, 1, N) at 44.1 kHz, no longer or shorter, and its bits. Raises InputError."""
    with tempfile.TemporaryDirectory() as folder:
        given, packed, heard = (str(Path(folder, name)) for name in ("in.wav", "packed.opus", "out.wav"))
        sound.save(given, reference, RATE)
        _run("opusenc", "--quiet", *OPTIONS, "--bitrate", str(kbps), given, packed)
        _run("opusdec", "--quiet", "--float", "--rate", str(RATE), packed, heard)
        audio, sample_rate = sound.load(heard)
        n_bits = 8 * Path(packed).stat().st_size
    return at_44100(sound.mono(audio), sample_rate, reference.shape[-1]), n_bits


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise InputError(f"{command[0]} failed: {said[-1] if said else 'without a word'}.") from error


def record(
    path: str | os.PathLike, clips: Sequence[Clip], on_clip: Callable[[], object] = lambda: None
) -> None:
    """Measure and write the figures, so that machines without the programs have them. Raises InputError."""
    if not is_installed():
        raise InputError("opusenc and opusdec are not installed; they are in the package opus-tools.")
    figures = measure(clips, on_clip)
    names = {clip.name: clip.sha256 for clip in clips}
    content = {
        "date": figures.date,
        "encoder": figures.encoder,
        "options": list(OPTIONS),
        "measure": "log-mel distance as in helpers/audio/distance.py; kbps is the size of the file",
        "clips": {
            name: {
                "sha256": digest,
                "log_mel": {str(rate): round(value, 4) for rate, value in figures.log_mel[name].items()},
                "kbps": {str(rate): round(value, 2) for rate, value in figures.kbps[name].items()},
            }
            for name, digest in names.items()
        },
    }
    files.write_json(path, content)


def read(path: str | os.PathLike, clips: Sequence[Clip]) -> OpusFigures | None:
    """The recorded figures of those clips whose files have not changed since; None if there are none."""
    try:
        content = files.read_json(path)
        known = {
            clip.name: content["clips"][clip.name]
            for clip in clips
            if content["clips"].get(clip.name, {}).get("sha256") == clip.sha256
        }
        tables = [
            {name: {rate: float(row[key][str(rate)]) for rate in RATES} for name, row in known.items()}
            for key in ("log_mel", "kbps")
        ]
        figures = OpusFigures(str(content["encoder"]), str(content["date"]), True, *tables)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a record of Opus figures; make it anew with --record-opus."
        ) from error
    return figures if known else None
