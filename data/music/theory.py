"""Keys, chords, progressions, and voicings in which every voice moves as little as it can."""

from typing import NamedTuple

from data.music.dice import Dice
from data.music.notes import BEAT, PHRASE_BARS

TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MODES = {  # semitones of the seven degrees above the tonic
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
# From each degree (0 is the tonic) those that may follow, and how readily; no diminished triads.
MOVES = {
    "major": {
        0: {3: 3, 4: 3, 5: 3, 1: 2, 2: 1},
        1: {4: 5, 3: 1, 0: 1},
        2: {5: 3, 3: 3, 1: 1},
        3: {0: 3, 4: 4, 1: 2, 5: 1},
        4: {0: 3, 5: 2, 3: 2},
        5: {3: 4, 1: 3, 4: 2, 2: 1},
    },
    "minor": {
        0: {3: 3, 5: 3, 6: 3, 4: 2, 2: 1},
        2: {5: 3, 6: 2, 3: 2},
        3: {0: 2, 4: 3, 6: 3, 5: 1},
        4: {0: 4, 5: 2, 3: 1},
        5: {2: 2, 6: 4, 3: 2, 4: 2},
        6: {0: 3, 2: 3, 5: 2, 3: 1},
    },
    "dorian": {
        0: {3: 5, 6: 3, 1: 3, 4: 1, 2: 1},
        1: {0: 2, 3: 2, 4: 2},
        2: {3: 3, 6: 2},
        3: {0: 5, 6: 2, 1: 1},
        4: {0: 3, 3: 3},
        6: {0: 3, 3: 4, 2: 1},
    },
    "mixolydian": {
        0: {6: 5, 3: 4, 4: 2, 1: 1, 5: 1},
        1: {4: 2, 3: 2, 6: 2},
        3: {0: 4, 6: 2, 1: 1},
        4: {3: 3, 0: 2, 6: 2},
        5: {3: 2, 6: 2, 1: 2},
        6: {3: 4, 0: 4},
    },
}
LEADS_HOME = {"major": (4, 3, 1), "minor": (4, 6, 3), "dorian": (3, 6, 4), "mixolydian": (6, 3, 4)}


class Key(NamedTuple):
    """A tonic (pitch class, 0 is C) and a mode."""

    tonic: int
    mode: str

    @property
    def name(self) -> str:
        return f"{TONICS[self.tonic]} {self.mode}"


class Chord(NamedTuple):
    """Thirds stacked on a degree: `size` 3 is a triad, 4 a seventh chord, 5 a ninth chord."""

    key: Key
    degree: int
    size: int

    @property
    def scale(self) -> tuple[int, ...]:
        """The scale this chord is heard in; in minor the fifth degree raises the leading tone."""
        scale = MODES[self.key.mode]
        return (*scale[:6], 11) if self.key.mode == "minor" and self.degree == 4 else scale

    def pitch(self, degree: int) -> int:
        """The MIDI pitch of a scale degree counted from the lowest tonic there is; 35 lies above middle C."""
        return self.key.tonic + 12 * (degree // 7) + self.scale[degree % 7]

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """From the root upwards. A ninth that would grate (a semitone above the root) is left out."""
        classes = [self.pitch(self.degree + 2 * i) % 12 for i in range(self.size)]
        if self.size == 5 and (classes[4] - classes[0]) % 12 == 1:
            classes.pop()
        return tuple(classes)

    def nearest_tone(self, degree: int) -> int:
        """The degree of the triad tone closest to `degree`, the lower of two."""
        near = (degree, degree - 1, degree + 1)
        return next(d for d in near if (d - self.degree) % 7 in (0, 2, 4))


class Harmony:
    """The chords under one four-bar phrase."""

    def __init__(self, key: Key, bar: int, changes: list[tuple[int, Chord]]):
        self.key, self.bar, self.changes = key, bar, changes  # bar in ticks, changes as (start, chord)
        self.length = PHRASE_BARS * bar

    def index(self, tick: int) -> int:
        """Which change is in force at a tick."""
        return max(i for i, (start, _) in enumerate(self.changes) if start <= tick)

    def at(self, tick: int) -> Chord:
        return self.changes[self.index(tick)][1]

    def end(self, tick: int) -> int:
        """When the chord in force at `tick` gives way to the next."""
        later = [start for start, _ in self.changes if start > tick]
        return later[0] if later else self.length

    def after(self, tick: int) -> Chord:
        """The chord that follows the one in force at `tick`; after the last comes the first again."""
        return self.changes[(self.index(tick) + 1) % len(self.changes)][1]


def draw_harmony(dice: Dice, key: Key, beats: int, size: int, from_tonic: bool, quick: float) -> Harmony:
    """A progression for one phrase that leads back to its beginning.

    `size` is that of the chords, `quick` how often a bar (of four beats) holds two of them.
    """
    bar = beats * BEAT
    changes = []
    for n in range(PHRASE_BARS):
        changes.append(n * bar)
        if beats == 4 and n % 2 and dice.chance(quick):
            changes.append(n * bar + 2 * BEAT)
    moves = MOVES[key.mode]
    while True:
        degrees = [0 if from_tonic else dice.choose([d for d in moves if d != 0])]
        while len(degrees) < len(changes):
            degrees.append(dice.weighted(moves[degrees[-1]]))
        if degrees[-1] in LEADS_HOME[key.mode]:
            return Harmony(key, bar, [(t, Chord(key, d, size)) for t, d in zip(changes, degrees)])


def voicings(chord: Chord, low: int, high: int) -> list[tuple[int, ...]]:
    """Every close and every drop-two position of a chord between two pitches, at most four voices.

    Of a ninth chord the root is left to the bass.
    """
    classes = chord.pitch_classes[-4:]
    found = []
    for bottom in range(low, high + 1):
        if bottom % 12 not in classes:
            continue
        close = sorted(bottom + (c - bottom) % 12 for c in classes)
        opened = sorted([*close[:-2], close[-2] - 12, close[-1]])
        found += [tuple(v) for v in (close, opened) if v[0] >= low and v[-1] <= high]
    return found


def lead_voices(chords: list[Chord], low: int, high: int, centre: float) -> list[tuple[int, ...]]:
    """One voicing a chord: each moves as little as possible from the one before, and stays near `centre`."""
    chosen: list[tuple[int, ...]] = []
    for chord in chords:

        def cost(voicing: tuple[int, ...]) -> float:
            drift = abs(sum(voicing) / len(voicing) - centre)
            if not chosen:
                return drift
            before = chosen[-1]
            movement = sum(min(abs(p - q) for q in before) for p in voicing)
            return movement + abs(voicing[-1] - before[-1]) + 0.5 * drift

        chosen.append(min(voicings(chord, low, high), key=lambda v: (cost(v), v)))
    return chosen
