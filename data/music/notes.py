"""Notes and rhythms on the grid they are written on.

Times and lengths are in ticks, 480 a beat. A rhythm is drawn from a template: a string with one character a
sixteenth note, `X` (always, accented), `x` (always), `o` (half of the time), `g` (now and then, and as a
ghost note: hardly audible, more felt than heard), `-` (never).
"""

from typing import NamedTuple

from data.music.dice import Dice

BEAT = 480
STEP = BEAT // 4
PHRASE_BARS = 4
LOUDNESS = {"X": 108, "x": 84, "o": 76, "g": 42}  # MIDI velocity
LIKELIHOOD = {"X": 1.0, "x": 1.0, "o": 0.5, "g": 0.3}


class Note(NamedTuple):
    """One note as written: start and length in ticks, MIDI pitch, MIDI velocity."""

    start: int
    length: int
    pitch: int
    velocity: int


def draw_rhythm(dice: Dice, template: str) -> list[tuple[int, int]]:
    """(start, velocity) of the hits that chance picks from a template, in ticks from its beginning."""
    return [
        (STEP * i, LOUDNESS[mark])
        for i, mark in enumerate(template)
        if mark != "-" and dice.chance(LIKELIHOOD[mark])
    ]


def gaps(starts: list[int], end: int) -> list[int]:
    """The time from each start to the next, and from the last to `end`."""
    return [after - before for before, after in zip(starts, [*starts[1:], end])]
