"""Melodies: short motifs that come back on other chords, chord tones on the beats, steps between them."""

from typing import NamedTuple

from data.music.accompaniment import Player
from data.music.dice import Dice
from data.music.notes import BEAT, PHRASE_BARS, Note, gaps
from data.music.theory import Harmony

# What may happen within one beat (ticks after it), for each density.
CELLS = {
    "sparse": {(): 5, (0,): 5, (240,): 1.5, (0, 240): 1},
    "medium": {(): 2, (0,): 4, (240,): 1.5, (0, 240): 4, (0, 360): 1, (0, 120, 240): 0.5},
    "busy": {
        (): 0.8,
        (0,): 1.5,
        (240,): 0.7,
        (0, 240): 3,
        (0, 360): 1,
        (0, 120, 240, 360): 2.5,
        (0, 240, 360): 2,
        (0, 120, 240): 1,
    },
    "swing": {(): 1.5, (0,): 2.5, (240,): 2, (0, 240): 5},
}
LEAPS = {0: 1, 1: 4, -1: 4.5, 2: 2, -2: 2, 3: 0.7, -3: 0.5, 4: 0.4, -4: 0.2}
PLANS = ("aaba", "abac", "aabc", "abab", "abca", "abbc")


class Tone(NamedTuple):
    """A note of a motif: ticks after the bar line, scale steps away from the bar's first tone."""

    start: int
    offset: int


def draw_motif(dice: Dice, density: str, beats: int) -> list[Tone]:
    """One bar. Its line wanders by small steps and is drawn back to where it began."""
    while True:
        starts = [b * BEAT + t for b in range(beats) for t in dice.weighted(CELLS[density])]
        if len(starts) >= (1 if density == "sparse" else 2):
            break
    offset, tones = 0, []
    for start in starts:
        tones.append(Tone(start, offset))
        offset += dice.weighted(LEAPS)
        offset -= (offset > 3) - (offset < -3)
    return tones


def draw_melody(dice: Dice, density: str, beats: int, legato: float, low: int, high: int) -> Player:
    """A four-bar tune out of two or three motifs; it closes on a long chord tone and takes a breath."""
    plan = dice.choose(PLANS)
    motifs = {letter: draw_motif(dice, density, beats) for letter in "abc"}
    anchors = {letter: dice.between(-2, 3) for letter in "abc"}
    close = dice.weighted({beats - 1: 2, beats - 2: 4, 0: 1})  # the beat of the last bar with the final note
    rest = dice.between(0, 1) * BEAT
    height = (low + high) / 2 + dice.between(-3, 3)

    def play(dice: Dice, harmony: Harmony) -> list[Note]:
        home = min(range(70), key=lambda d: (abs(harmony.at(0).pitch(d) - height), d))
        spots: list[tuple[int, int]] = []
        for n, letter in enumerate(plan):
            anchor = harmony.at(n * harmony.bar).nearest_tone(home + anchors[letter])
            tones = motifs[letter]
            if n == PHRASE_BARS - 1:
                tones = [t for t in tones if t.start < close * BEAT] + [Tone(close * BEAT, 0)]
            for tone in tones:
                weak = tone.start % BEAT != 0
                if weak and dice.chance(0.08):
                    continue  # a repeat leaves something out,
                step = dice.choose((-1, 1)) if weak and dice.chance(0.1) else 0  # or turns another way
                spots.append((n * harmony.bar + tone.start, anchor + tone.offset + step))
        starts = [start for start, _ in spots]
        notes: list[Note] = []
        for (start, degree), room in zip(spots, gaps(starts, harmony.length)):
            chord = harmony.at(start)
            if start % BEAT == 0 or room >= BEAT:
                degree = chord.nearest_tone(degree)
            pitch = chord.pitch(degree)
            before = notes[-1].pitch if notes else pitch
            while pitch > high or (pitch - before > 9 and pitch - 12 >= low):
                pitch -= 12
            while pitch < low or (before - pitch > 9 and pitch + 12 <= high):
                pitch += 12
            room = min(room, harmony.end(start) - start if room > 2 * BEAT else room)
            if start + room >= harmony.length:
                room = max(BEAT // 2, room - rest)
            velocity = (
                88 + 8 * (start % harmony.bar == 0) - 8 * (start % BEAT != 0) + max(-6, min(6, degree - home))
            )
            notes.append(Note(start, max(60, round(room * legato)), pitch, velocity))
        return notes

    return play
