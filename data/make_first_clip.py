"""Compose and render first_clip.flac: four bars for electric piano, bass, vibraphone and drums.

    python -m data.make_first_clip          (in the repository root; writes the file beside this script)

Everything is numpy: a note is a sum of decaying sines, a drum is a falling sine or filtered noise, the room
is noise that dies away. The noise is seeded, so the same piece comes out every time.
"""

from pathlib import Path

import numpy as np

from helpers.audio.loudness import normalize_loudness
from helpers.support.files import written_whole

CLIP = Path(__file__).with_name("first_clip.flac")
SAMPLE_RATE = 44100  # hertz
BEAT = 60 / 126  # seconds
BEATS = 16 + 2.5  # four bars, and the last chord dies away
LOUDNESS = -20.0  # LUFS
SWING = 0.10  # of a beat: how late every second eighth note comes

# Notes are MIDI numbers (60 is middle C), times and lengths are in beats.
CHORDS = [  # (time, length, notes): F major 9, E minor 7, D minor 9, G 13, C major 9
    (0, 1.5, (57, 60, 64, 67)), (2.5, 1.2, (57, 60, 64, 67)),
    (4, 1.5, (55, 59, 62, 67)), (6.5, 1.2, (55, 59, 62, 66)),
    (8, 1.5, (53, 57, 60, 64)), (10.5, 1.2, (53, 57, 60, 64)),
    (12, 1.5, (53, 57, 59, 64)), (14.5, 1.2, (53, 56, 59, 64)),
    (16, 2.5, (55, 59, 62, 64)),
]  # fmt: skip
BASS = [  # (time, length, note)
    (0, 1.4, 41), (1.5, 0.4, 41), (2.5, 0.9, 48), (3.5, 0.4, 43),
    (4, 1.4, 40), (5.5, 0.4, 40), (6.5, 0.9, 47), (7.5, 0.4, 40),
    (8, 1.4, 38), (9.5, 0.4, 38), (10.5, 0.9, 45), (11.5, 0.4, 41),
    (12, 1.4, 43), (13.5, 0.4, 43), (14.5, 0.9, 38), (15.5, 0.4, 35),
    (16, 2.3, 36),
]  # fmt: skip
MELODY = [  # (time, note); each rings until it has died away
    (0.5, 76), (1, 79), (1.5, 81), (2.5, 79), (3, 76), (3.5, 74),
    (4.5, 76), (5.5, 71), (6, 74), (7, 79), (7.5, 78),
    (8, 77), (8.5, 76), (9, 72), (10, 69), (10.5, 72), (11, 76), (11.5, 77),
    (12.5, 76), (13, 74), (13.5, 71), (14, 69), (14.5, 68), (15, 71), (15.5, 74),
    (16, 76), (16.5, 79), (17, 83),
]  # fmt: skip
KICK = [bar + beat for bar in (0, 4, 8, 12) for beat in (0, 1.5, 2.5)] + [16]
SNARE = [bar + beat for bar in (0, 4, 8, 12) for beat in (1, 3)] + [15.5]
HAT = [i / 2 for i in range(32)]


def hertz(note: float) -> float:
    """The frequency of a MIDI note: 69 is 440 Hz, twelve more is twice as high."""
    return 440 * 2 ** ((note - 69) / 12)


def clock(seconds: float) -> np.ndarray:
    """The time of each sample, in seconds."""
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def release(sound: np.ndarray, held: float, fade: float = 0.06) -> np.ndarray:
    """Let go of a note after `held` seconds: what is left of it fades exponentially."""
    after = np.maximum(0, clock(len(sound) / SAMPLE_RATE) - held)
    return sound * np.exp(-after / fade)


def electric_piano(note: float, held: float) -> np.ndarray:
    """Two-operator frequency modulation: bright when struck, nearly a sine soon after."""
    t, f = clock(held + 0.4), hertz(note)
    bark = 1.4 * np.exp(-t / 0.25) * np.sin(2 * np.pi * f * t)
    tine = 0.12 * np.exp(-t / 0.06) * np.sin(2 * np.pi * 7 * f * t)
    tone = np.sin(2 * np.pi * f * t + bark) + tine
    return release(tone * np.exp(-t / 1.1) * np.minimum(1, t / 0.003), held)


def bass(note: float, held: float) -> np.ndarray:
    """A plucked string: the higher a harmonic, the sooner it is gone."""
    t, f = clock(held + 0.3), hertz(note)
    tone = sum(np.sin(2 * np.pi * k * f * t) * np.exp(-t * (0.8 + 1.6 * k)) / k for k in range(1, 9))
    return release(tone * np.minimum(1, t / 0.004), held)


def vibraphone(note: float) -> np.ndarray:
    """A struck bar: its overtones lie at 4 and 10 times the pitch; a fan makes it tremble."""
    t, f = clock(1.6), hertz(note)
    bar = [(1, 1.0, 0.55), (4, 0.25, 0.12), (10, 0.08, 0.03)]  # times the pitch, strength, decay in seconds
    tone = sum(strength * np.sin(2 * np.pi * k * f * t) * np.exp(-t / decay) for k, strength, decay in bar)
    return tone * (1 - 0.25 * np.sin(2 * np.pi * 5.5 * t) ** 2) * np.minimum(1, t / 0.002)


def kick() -> np.ndarray:
    """A sine that falls from 160 to 48 Hz while it dies away."""
    t = clock(0.35)
    phase = 48 * t + (160 - 48) * 0.03 * (1 - np.exp(-t / 0.03))  # the integral of the falling frequency
    return np.sin(2 * np.pi * phase) * np.exp(-t / 0.11)


def filtered_noise(rng: np.random.Generator, seconds: float, low: float, high: float) -> np.ndarray:
    """White noise with only the frequencies between `low` and `high` hertz, at the level of one."""
    noise = rng.standard_normal(round(seconds * SAMPLE_RATE))
    f = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    band = 1 / (1 + (low / np.maximum(f, 1)) ** 4) / (1 + (f / high) ** 4)
    noise = np.fft.irfft(np.fft.rfft(noise) * band, len(noise))
    return noise / noise.std()


def snare(rng: np.random.Generator) -> np.ndarray:
    """The wires under the drum are noise; its skin is a short tone."""
    t = clock(0.25)
    wires = 0.35 * filtered_noise(rng, 0.25, 900, 9000) * np.exp(-t / 0.06)
    return wires + 0.6 * np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.05)


def hat(rng: np.random.Generator) -> np.ndarray:
    """A closed hi-hat: very short noise, high up."""
    return 0.3 * filtered_noise(rng, 0.12, 6500, 15000) * np.exp(-clock(0.12) / 0.025)


def seconds(beat: float) -> float:
    """When a beat falls: the eighth notes between the beats come a little late."""
    return (beat + SWING * (beat % 1 == 0.5)) * BEAT


def add(track: np.ndarray, beat: float, level: float, sound: np.ndarray) -> None:
    """Mix a sound into the track at a beat; what would sound after the end is cut off."""
    start = round(seconds(beat) * SAMPLE_RATE)
    room = track[start : start + len(sound)]
    room += level * sound[: len(room)]


def reverberate(rng: np.random.Generator, track: np.ndarray, share: float) -> np.ndarray:
    """A small room: the track convolved with noise that dies away, added to the track."""
    t = clock(0.9)
    echo = filtered_noise(rng, 0.9, 200, 5000) * np.exp(-t / 0.16)
    n = len(track) + len(echo)
    wet = np.fft.irfft(np.fft.rfft(track, n) * np.fft.rfft(echo, n), n)[: len(track)]
    return track + share * wet * track.std() / wet.std()


def render(seed: int = 0) -> np.ndarray:
    """The whole piece, (N,) float32 at SAMPLE_RATE, at LOUDNESS."""
    rng = np.random.default_rng(seed)
    tuned, drums = np.zeros((2, round(BEATS * BEAT * SAMPLE_RATE)))
    for beat, length, notes in CHORDS:
        for i, note in enumerate(notes):
            add(tuned, beat + 0.02 * i, 0.16, electric_piano(note, length * BEAT))
    for beat, length, note in BASS:
        add(tuned, beat, 0.34, bass(note, length * BEAT))
    for beat, note in MELODY:
        add(tuned, beat, 0.26 + 0.06 * (beat % 1 == 0), vibraphone(note))
    for beat in KICK:
        add(drums, beat, 0.75, kick())
    for beat in SNARE:
        add(drums, beat, 0.50, snare(rng))
    for beat in HAT:
        add(drums, beat, 0.36 if beat % 1 else 0.26, hat(rng))
    track = reverberate(rng, tuned, 0.22) + reverberate(rng, drums, 0.10)
    track *= np.minimum(1, clock(BEATS * BEAT)[::-1] / 0.6)  # no click at the end
    return normalize_loudness(track, SAMPLE_RATE, LOUDNESS)


def main() -> None:
    """Write the clip as 16-bit FLAC."""
    import soundfile

    with written_whole(CLIP) as temporary:
        soundfile.write(temporary, render(), SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
