"""Short pieces and what is true of them: style, instruments, tempo, key, density.

Everything is written on a grid of eighths, and an eighth lasts a whole number of the codec's frames. So a
note that comes back brings the same tokens with it, and a model that counts columns has counted the beat.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.music.dice import Dice
from workshop.musicgen.music.instruments import SAMPLE_RATE, note

FRAME = 400  # samples: what the codec's hop is
FRAME_RATE = SAMPLE_RATE // FRAME
TEMPI = {"slow": (20, 18), "medium": (13, 12), "fast": (9, 8)}  # frames an eighth: 60 to 150 bpm
TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
KEYS = {"major": ("C", "D", "F", "G"), "minor": ("A", "B", "D", "E")}
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = {  # degrees, 0 the tonic; one a bar
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 6, 0), (0, 5, 3, 4), (0, 6, 5, 6)),
}
LEADS = {"piano": 67, "music box": 67, "guitar": 62, "flute": 72, "organ": 65}  # the middle of a melody
HARMONIES = ("piano", "guitar", "organ", "strings")
METRES = {"waltz": 6, "march": 8, "ballad": 8, "hymn": 8}  # eighths a bar
DENSITIES = ("sparse", "medium", "busy")
PHRASE = 4  # bars
LOUDEST = 0.9
SOFT, LOW = 0.5, 0.8  # of accompaniment and bass beside the melody
RHYTHMS = {  # onsets in eighths, by metre and density
    6: {
        "sparse": ((0,), (0, 4)),
        "medium": ((0, 2, 4), (0, 3, 4)),
        "busy": ((0, 1, 2, 3, 4, 5), (0, 2, 3, 4, 5)),
    },
    8: {
        "sparse": ((0, 4), (0, 6)),
        "medium": ((0, 2, 4, 6), (0, 2, 4, 5), (0, 3, 4, 6)),
        "busy": ((0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 4, 5, 6), (0, 2, 3, 4, 6, 7)),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """All that a description may say. eighth: its length in frames; harmony: None where the lead is alone."""

    style: str
    lead: str
    harmony: str | None
    has_bass: bool
    has_drums: bool
    tempo: str
    eighth: int
    tonic: str
    mode: str
    density: str

    @property
    def bpm(self) -> float:
        """Quarters a minute."""
        return 60 * FRAME_RATE / (2 * self.eighth)

    @property
    def key(self) -> str:
        return f"{self.tonic} {self.mode}"

    @property
    def instruments(self) -> list[str]:
        """The lead first."""
        others = [self.harmony, "bass" if self.has_bass else None, "drums" if self.has_drums else None]
        return [self.lead, *(one for one in others if one)]

    @property
    def bar(self) -> int:
        """The length of a bar in frames."""
        return METRES[self.style] * self.eighth


class Note(NamedTuple):
    """start and length in eighths, MIDI pitch, how loud."""

    instrument: str
    start: int
    length: int
    pitch: int
    gain: float


class Piece(NamedTuple):
    """(N,) float32 at SAMPLE_RATE, the notes it was made from, and what is true of it."""

    audio: np.ndarray
    notes: list[Note]
    facts: Facts


def compose(split: str, index: int, seconds: float = 16.0) -> Piece:
    """The piece of a split ("train", "valid", "test") with this number: another one each, always the same."""
    dice = Dice("musicgen", split, index)
    facts = draw_facts(dice)
    n_bars = int(np.ceil(seconds * FRAME_RATE / facts.bar))
    notes = list(_written(dice, facts, n_bars))
    return Piece(render(notes, facts, round(seconds * SAMPLE_RATE)), notes, facts)


def draw_facts(dice: Dice) -> Facts:
    """Every fact by itself: a word must not stand for another that happens to come with it."""
    lead = dice.choose(list(LEADS))
    mode = dice.choose(list(KEYS))
    tempo = dice.choose(list(TEMPI))
    return Facts(
        style=dice.choose(list(METRES)),
        lead=lead,
        harmony=dice.choose([None, None, *(one for one in HARMONIES if one != lead)]),
        has_bass=dice.chance(0.5),
        has_drums=dice.chance(0.35),
        tempo=tempo,
        eighth=dice.choose(TEMPI[tempo]),
        tonic=dice.choose(KEYS[mode]),
        mode=mode,
        density=dice.choose(DENSITIES),
    )


def render(notes: list[Note], facts: Facts, n_samples: int) -> np.ndarray:
    """The sum of all notes, (n_samples,) float32."""
    audio = np.zeros(n_samples + 8 * SAMPLE_RATE, np.float32)
    eighth = facts.eighth * FRAME
    for one in notes:
        start = one.start * eighth
        if start < n_samples:
            sound = note(one.instrument, one.pitch, one.length * eighth)
            audio[start : start + len(sound)] += np.float32(one.gain) * sound
    audio = audio[:n_samples]
    return audio * np.float32(min(1.0, LOUDEST / max(np.abs(audio).max(), 1e-9)))


def _written(dice: Dice, facts: Facts, n_bars: int) -> Iterator[Note]:
    metre, chords = METRES[facts.style], dice.choose(PROGRESSIONS[facts.mode])
    melody = _phrase(dice, facts, chords)
    for bar in range(n_bars):
        degree, start = chords[bar % PHRASE], bar * metre
        for onset, length, step in melody[bar % PHRASE]:
            gain = 1.0 if onset == 0 else 0.85
            yield Note(facts.lead, start + onset, length, _pitch(facts, step, LEADS[facts.lead]), gain)
        for one in _accompaniment(facts, degree):
            yield one._replace(start=start + one.start)
        if facts.has_drums:
            yield from _drums(metre, start)


def _phrase(dice: Dice, facts: Facts, chords: tuple[int, ...]) -> list[list[tuple[int, int, int]]]:
    """Four bars of (onset, length, scale step): chord notes on the beat's strong places, steps between.

    The rhythm of the first bar comes back in the second and the last.
    """
    metre = METRES[facts.style]
    first, other = (dice.choose(RHYTHMS[metre][facts.density]) for _ in range(2))
    bars, step = [], dice.between(-2, 2)
    for degree, rhythm in zip(chords, (first, first, other, first)):
        bar = []
        for onset, end in zip(rhythm, [*rhythm[1:], metre]):
            step = max(-5, min(6, step + dice.choose((-2, -1, -1, 1, 1, 2))))
            if onset % 4 == 0:
                in_chord = [s for s in range(-6, 8) if (s - degree) % 7 in (0, 2, 4)]
                step = min(in_chord, key=lambda s: abs(s - step))
            bar.append((onset, end - onset, step))
        bars.append(bar)
    return bars


def _pitch(facts: Facts, step: int, middle: int) -> int:
    """A step of the scale as MIDI pitch; step 0 is the tonic nearest below or at the `middle`."""
    octave, place = divmod(step, 7)
    base = middle - (middle - TONICS[facts.tonic]) % 12
    return base + 12 * octave + SCALES[facts.mode][place]


def _accompaniment(facts: Facts, degree: int) -> Iterator[Note]:
    """One bar of chords in the style's manner, and its bass."""
    metre, player = METRES[facts.style], facts.harmony or facts.lead
    soft = 0.35 if player in ("strings", "organ") else SOFT
    triad = [_pitch(facts, degree + third, 55) - 12 * (degree > 3) for third in (0, 2, 4)]
    low = triad[0] - 12
    if facts.has_bass:
        for start in (0,) if facts.style in ("waltz", "hymn") else (0, 4):
            length = metre if facts.style == "hymn" else 2
            yield Note("bass", start, length, low - 12 if low > 45 else low, LOW)
    elif facts.style in ("waltz", "march"):
        for start in range(0, metre, 6 if metre == 6 else 4):
            yield Note(player, start, 2, low, soft)
    if facts.style == "ballad":
        for start, place in enumerate((0, 1, 2, 1, 0, 1, 2, 1)):
            yield Note(player, start, 1, triad[place], soft)
        return
    times = {"waltz": ((2, 1), (4, 1)), "march": ((2, 1), (6, 1)), "hymn": ((0, 4), (4, 4))}[facts.style]
    for start, length in times:
        for pitch in triad:
            yield Note(player, start, length, pitch, soft)


def _drums(metre: int, start: int) -> Iterator[Note]:
    beats = {6: {0: 36, 2: 38, 4: 38}, 8: {0: 36, 2: 38, 4: 36, 6: 38}}[metre]
    for eighth in range(metre):
        yield Note("drums", start + eighth, 1, 42, 1.0)
    for eighth, pitch in beats.items():
        yield Note("drums", start + eighth, 1, pitch, 1.0)
