"""A piece as sound: FluidSynth plays its MIDI file, and the result gets an even loudness and a clean end."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

from data.music.compose import Piece
from data.music.dice import Dice
from data.music.performance import LEAD_IN, RING, write_midi
from helpers.audio.files import load
from helpers.audio.loudness import loudness, normalize_loudness
from helpers.audio.signal import mono
from helpers.support.errors import InputError
from helpers.support.files import written_whole

SAMPLE_RATE = 44100
LOUDEST, QUIETEST = -20.5, -23.5  # LUFS
PEAK, KNEE = 0.97, 0.8  # no sample is above PEAK; what is above KNEE is rounded off towards it
SOUND_FONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/usr/local/share/soundfonts/FluidR3_GM.sf2",
)
SETTINGS = {
    "synth.gain": 0.4,
    "synth.sample-rate": SAMPLE_RATE,
    "synth.reverb.active": "yes",
    "synth.reverb.room-size": 0.55,
    "synth.reverb.damp": 0.4,
    "synth.reverb.level": 0.7,
    "synth.chorus.active": "no",
    "synth.dynamic-sample-loading": "yes",  # read only the instruments that play
    "audio.file.type": "wav",
    "audio.file.format": "float",
}


def synthesizer() -> tuple[str, str]:
    """The FluidSynth executable and the FluidR3 sound font, or an InputError that says how to get them."""
    program = shutil.which("fluidsynth")
    fonts = [path for path in (os.environ.get("SOUND_FONT"), *SOUND_FONTS) if path and Path(path).is_file()]
    if program and fonts:
        return program, fonts[0]
    missing = "the program fluidsynth" if not program else "the sound font FluidR3_GM.sf2"
    raise InputError(
        f"{missing} is missing; on Debian and Ubuntu install both with `apt-get install fluidsynth "
        "fluid-soundfont-gm`, elsewhere install FluidSynth and name the file in SOUND_FONT."
    )


def synthesize(piece: Piece) -> np.ndarray:
    """What FluidSynth makes of a piece, (N,) float32 at SAMPLE_RATE, mono, as loud as it comes."""
    program, font = synthesizer()
    with tempfile.TemporaryDirectory() as folder:
        midi, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        write_midi(piece, midi)
        options = [part for name, value in SETTINGS.items() for part in ("-o", f"{name}={value}")]
        command = [program, "-n", "-i", "-q", *options, "-F", str(sound), font, str(midi)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not sound.is_file():
            raise InputError(
                f"fluidsynth could not render {piece.plan.name}: {done.stderr.strip() or 'no message'}"
            )
        audio, _ = load(sound)
    return mono(audio)[0, 0]


def faded(audio: np.ndarray, seconds: float) -> np.ndarray:
    """The end of (N,) audio drawn down to silence along half a cosine."""
    n = min(len(audio), round(seconds * SAMPLE_RATE))
    ramp = 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, n))
    return np.concatenate([audio[: len(audio) - n], audio[len(audio) - n :] * ramp]).astype(np.float32)


def without_rumble(audio: np.ndarray) -> np.ndarray:
    """(N,) audio without what lies below hearing: some sampled winds carry a constant offset."""
    return sosfilt(butter(2, 25, "highpass", fs=SAMPLE_RATE, output="sos"), audio).astype(np.float32)


def levelled(audio: np.ndarray, target: float) -> np.ndarray:
    """Audio at `target` LUFS; where peaks would pass PEAK, down to QUIETEST, and then rounded off."""
    audio = normalize_loudness(audio, SAMPLE_RATE, target)
    peak = float(np.abs(audio).max())
    audio /= np.clip(peak / PEAK, 1, 10 ** ((target - QUIETEST) / 20))
    over = np.maximum(np.abs(audio) - KNEE, 0) / (PEAK - KNEE)
    rounded = KNEE + (PEAK - KNEE) * np.tanh(over)
    return np.where(over > 0, np.sign(audio) * rounded, audio).astype(np.float32)


def loudness_target(piece: Piece) -> float:
    """How loud a piece is meant to be, in LUFS: not all records are equally loud."""
    return Dice(piece.plan.name, "loudness").uniform(QUIETEST, LOUDEST)


def render(piece: Piece) -> np.ndarray:
    """A piece as (N,) float32 at SAMPLE_RATE: mono, -24 to -20 LUFS, peak below 1, no click at either end."""
    audio = synthesize(piece)[: round((LEAD_IN + piece.seconds + RING) * SAMPLE_RATE)]
    return levelled(faded(without_rumble(audio), 1.0), loudness_target(piece))


def write_flac(path: Path, audio: np.ndarray) -> None:
    """Write (N,) audio as 16-bit FLAC, whole or not at all."""
    import soundfile

    with written_whole(path) as temporary:
        soundfile.write(temporary, audio, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)


def measured_loudness(audio: np.ndarray) -> float:
    """Integrated loudness of (N,) audio in LUFS."""
    return float(loudness(audio, SAMPLE_RATE)[0])
