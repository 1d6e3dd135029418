"""Sentences to sound, with the times of their words: a source and a filter (Fant 1960), frame by frame.

Every 5 ms there is a row of numbers: pitch, levels of three sources, the mouth's resonances. Rows are made
for each sound, joined and smoothed, because no mouth jumps. The sources are pulses of the glottis, breath
through the mouth, and hiss at a narrow place; pulses and breath pass five resonances in a row, hiss a few
bumps of its own. All filtering is multiplication of short spectra, added up with overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.speech.phones import LEXICON, PHONES, SILENCE, Phone

RATE = 16000  # Hz
HOP = 80  # samples in a frame
WINDOW, TRANSFORM = 320, 640
HERTZ = np.fft.rfftfreq(TRANSFORM, 1 / RATE)
UPPER = ((3500.0, 200.0), (4500.0, 250.0))  # the resonances that are the same in all sounds: hertz, width
NOSE = (270.0, 450.0)  # where an open nose adds a resonance and takes one
CLOSED = 0.6  # share of a stop during which nothing is released
SMOOTH = 5  # frames over which the mouth moves
PITCHES, TRACTS, RATES = (90, 230), (0.88, 1.2), (0.85, 1.25)
DYING = 12  # frames in which the voice dies away at the end
LAST_LONGER = 1.35  # the last word of a sentence is drawn out


@dataclass(frozen=True)
class Speaker:
    """A voice: pitch in hertz, how short its mouth is, how fast, how breathy and how lively it is."""

    pitch: float = 118.0
    tract: float = 1.0
    rate: float = 1.0
    breathy: float = 0.02
    lively: float = 0.15

    @classmethod
    def born(cls, rng: np.random.Generator) -> "Speaker":
        """A voice at random; high voices mostly have short mouths."""
        pitch = np.exp(rng.uniform(*np.log(PITCHES)))
        place = (np.log(pitch) - np.log(PITCHES[0])) / np.log(PITCHES[1] / PITCHES[0])
        tract = np.clip(TRACTS[0] + (TRACTS[1] - TRACTS[0]) * place + rng.normal(0, 0.05), *TRACTS)
        return cls(pitch, tract, rng.uniform(*RATES), rng.uniform(0.01, 0.05), rng.uniform(0.08, 0.22))


@dataclass(frozen=True)
class Word:
    """A word and when it is said, in samples."""

    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Utterance:
    """Sound float32 (N,) at RATE, peak 0.5, and the times of its words, one behind the other."""

    audio: np.ndarray
    words: tuple[Word, ...]


@dataclass
class Track:
    """Rows of numbers for T frames: formants and widths (T, 3), levels (T,), and what hisses (T, bins)."""

    formants: np.ndarray
    widths: np.ndarray
    voice: np.ndarray
    breath: np.ndarray
    nose: np.ndarray
    hiss: np.ndarray

    @classmethod
    def joined(cls, tracks: list["Track"]) -> "Track":
        return cls(*(np.concatenate(parts) for parts in zip(*(vars(one).values() for one in tracks))))


def say(
    text: str,
    speaker: Speaker,
    rng: np.random.Generator,
    lexicon: Mapping[str, Sequence[str]] = LEXICON,
) -> Utterance:
    """Words of a lexicon, one after the other without a pause; no two times the same.

    lexicon: of each word its sounds, names of PHONES.
    """
    words, tracks, spans, n = text.split(), [], [], 0
    tracks.append(silence(lexicon[words[0]][0], "formants", speaker, 0.06 * rng.uniform(0.7, 1.6)))
    n += len(tracks[0].voice)
    for i, word in enumerate(words):
        start, is_last = n, i == len(words) - 1
        for name, following in zip(lexicon[word], (*lexicon[word][1:], None)):
            phone = PHONES[name]
            if name == "HH":  # breath through the mouth of the vowel to come
                phone = replace(phone, formants=PHONES[following].formants)
            seconds = phone.seconds / speaker.rate * rng.uniform(0.9, 1.1)
            seconds *= LAST_LONGER if is_last and phone.voice > 0 and not phone.stop else 1
            tracks.append(track_of(phone, speaker, seconds))
            n += len(tracks[-1].voice)
        spans.append((word, start, n))
    tracks.append(silence(lexicon[words[-1]][-1], "end", speaker, 0.09 * rng.uniform(0.7, 1.6)))
    track = smoothed(Track.joined(tracks))
    dying = np.clip((n - np.arange(len(track.voice))) / DYING, 0, 1)
    track.voice *= np.sqrt(dying)
    longer = [(start, end) for word, start, end in spans if len(lexicon[word]) > 2]
    audio = sounded(track, pitches(longer, len(track.voice), speaker, rng), speaker, rng)
    times = tuple(Word(word, start * HOP, end * HOP) for word, start, end in spans)
    return Utterance((0.5 * audio / np.abs(audio).max()).astype(np.float32), times)


def silence(name: str, side: str, speaker: Speaker, seconds: float) -> Track:
    """The mouth held as the sound beside it has it: else one would hear it move while the voice dies away."""
    phone = PHONES[name]
    held = replace(SILENCE, formants=getattr(phone, side) or phone.formants)
    return track_of(held, speaker, seconds)


def track_of(phone: Phone, speaker: Speaker, seconds: float) -> Track:
    """One sound's rows."""
    n = max(3, round(seconds * RATE / HOP))
    place = np.linspace(0, 1, n)[:, None]
    move = 3 * place**2 - 2 * place**3
    first, last = np.array(phone.formants), np.array(phone.end or phone.formants)
    formants = (first + move * (last - first)) * speaker.tract
    opened = np.ones(n)
    if phone.stop:
        opened = (np.arange(n) >= round(CLOSED * n)).astype(float)
    voice = np.full(n, phone.voice)
    breath = np.full(n, phone.breath)
    if phone.stop and phone.voice == 0:  # what follows begins with breath before the voice sets in
        breath[-max(1, n // 5) :] = 0.25
    if phone.stop and phone.voice > 0:
        voice = voice * (0.4 + 0.6 * opened)
    fall = np.ones(n)
    if phone.stop and phone.seconds < 0.1:  # a burst is short
        released = round(CLOSED * n)
        fall[released:] = np.exp(-np.arange(n - released) / 2.0)
    hiss = (phone.hiss * opened * fall)[:, None] * bumps(phone, speaker)
    widths = np.tile(np.array(phone.widths, float), (n, 1))
    return Track(formants, widths, voice, breath, np.full(n, float(phone.nasal)), hiss)


def bumps(phone: Phone, speaker: Speaker) -> np.ndarray:
    """The spectrum of a sound's hiss (bins,): a larger mouth has lower bumps."""
    tract = speaker.tract**0.5
    made = np.zeros(len(HERTZ))
    for centre, width, height in phone.bumps:
        made += height / (1 + ((HERTZ - centre * tract) / width) ** 2) ** 1.5
    return made


def smoothed(track: Track) -> Track:
    """Every row a mean of those around it: resonances over SMOOTH frames to either side, levels over one."""

    def mean(x: np.ndarray, reach: int) -> np.ndarray:
        kernel = np.hanning(2 * reach + 3)[1:-1]
        kernel /= kernel.sum()
        padded = np.pad(x, [(reach, reach)] + [(0, 0)] * (x.ndim - 1), mode="edge")
        return sum(one * padded[i : i + len(x)] for i, one in enumerate(kernel))

    reaches = (SMOOTH, SMOOTH, 2, 1, 2, 1)
    return Track(*(mean(x, reach) for x, reach in zip(vars(track).values(), reaches)))


def pitches(longer: list[tuple[int, int]], n: int, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """A pitch for each frame (n,): it falls over a sentence, and every longer word rises a little.

    longer: where these words begin and end, in frames.
    """
    melody = np.linspace(0.6, -0.7, n)
    for start, end in longer:
        place = np.clip((np.arange(n) - start) / max(1, end - start), 0, 1)
        melody += rng.uniform(0.3, 1) * np.sin(np.pi * place)
    wander = np.interp(np.arange(n), np.arange(0, n + 20, 20), rng.normal(0, 0.12, len(range(0, n + 20, 20))))
    return speaker.pitch * np.exp(speaker.lively * (melody + wander))


def sounded(track: Track, pitch: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """Rows of numbers to sound (n * HOP,)."""
    n = len(pitch)
    samples = n * HOP
    each = np.arange(samples) / HOP - 0.5
    glottis = pulses(np.interp(each, np.arange(n), pitch), rng)
    noise = rng.standard_normal((2, samples)).astype(np.float32)
    voice, breath = (np.interp(each, np.arange(n), level) for level in (track.voice, track.breath))
    breathing = breath + speaker.breathy * voice
    mouth = spectra(voice * glottis + 0.08 * breathing * noise[0]) * resonances(track, speaker)
    narrow = spectra(0.12 * noise[1]) * track.hiss.astype(np.float32)
    return overlapped(mouth + narrow)


def pulses(pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The flow of the glottis, differentiated as lips do it; pitch: of each sample (Rosenberg 1971)."""
    jitter = 1 + 0.004 * rng.standard_normal(len(pitch) // HOP + 2)
    jitter = np.interp(np.arange(len(pitch)) / HOP, np.arange(len(jitter)), jitter)
    phase = np.cumsum(pitch * jitter / RATE) % 1.0
    opening, closing = 0.4, 0.16
    rise = np.sin(np.pi * phase / opening) * (phase < opening)
    since = (phase - opening) / closing
    fall = -np.sin(np.pi / 2 * np.clip(since, 0, 1)) * (since >= 0) * (since < 1) * (opening / closing)
    return (rise + fall).astype(np.float32)


def resonances(track: Track, speaker: Speaker) -> np.ndarray:
    """What five resonances in a row, and the nose, do to each frame's spectrum: complex64 (T, bins).

    An open nose adds one resonance and takes another away.
    """
    made = np.ones((len(track.voice), len(HERTZ)), np.complex64)
    upper = np.array(UPPER) * speaker.tract
    for k in range(3):
        made *= resonance(track.formants[:, k], track.widths[:, k])
    for centre, width in upper:
        made *= resonance(np.full(1, centre), np.full(1, width))
    pole = resonance(np.full(1, NOSE[0] * speaker.tract), np.full(1, 100.0))
    zero = 1 / resonance(np.full(1, NOSE[1] * speaker.tract), np.full(1, 100.0))
    return made * (1 + track.nose[:, None].astype(np.float32) * (pole * zero - 1))


def resonance(centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """One resonance, 1 at 0 hertz: its centre and width in hertz, (T,) each -> complex64 (T, bins)."""
    centre, width = centre.astype(np.float32)[:, None], width.astype(np.float32)[:, None]
    squared = centre**2 + width**2 / 4
    below = squared - HERTZ.astype(np.float32) ** 2 + 1j * width * HERTZ.astype(np.float32)
    return (squared / below).astype(np.complex64)


def spectra(x: np.ndarray) -> np.ndarray:
    """A sound (T * HOP,) as short spectra, complex64 (T, bins), each in the middle of its frame."""
    n = len(x) // HOP
    padded = np.pad(x.astype(np.float32), (WINDOW // 2 - HOP // 2, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: n * HOP : HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    return np.fft.rfft(frames * window.astype(np.float32), TRANSFORM).astype(np.complex64)


def overlapped(lines: np.ndarray) -> np.ndarray:
    """Short spectra (T, bins) back to sound (T * HOP,)."""
    frames = np.fft.irfft(lines, TRANSFORM).astype(np.float32)
    n, per_frame = len(frames), TRANSFORM // HOP
    made = np.zeros((n + per_frame, HOP), np.float32)
    for k in range(per_frame):
        made[k : k + n] += frames[:, k * HOP : (k + 1) * HOP]
    before = WINDOW // 2 - HOP // 2
    return made.reshape(-1)[before : before + n * HOP] * (2 * HOP / WINDOW)
