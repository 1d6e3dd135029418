"""Drum parts: a two-bar groove that repeats with small changes, and fills that lead into the next phrase."""

from collections.abc import Callable

from data.music.dice import Dice
from data.music.notes import BEAT, PHRASE_BARS, STEP, Note, draw_rhythm

# General MIDI's keys of the percussion channel.
KEYS = {
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "floor_tom": 43, "hat": 42, "pedal_hat": 44,
    "low_tom": 45, "open_hat": 46, "mid_tom": 47, "crash": 49, "high_tom": 50, "ride": 51,
    "tambourine": 54, "cowbell": 56,
    "high_bongo": 60, "low_bongo": 61, "mute_conga": 62, "open_conga": 63, "low_conga": 64,
    "high_timbale": 65, "low_timbale": 66, "agogo": 67, "low_agogo": 68, "cabasa": 69,
    "shaker": 70, "claves": 75, "triangle": 81,
}  # fmt: skip
SOFTER = {"hat": 0.72, "open_hat": 0.62, "ride": 0.75, "shaker": 0.7, "cabasa": 0.7, "pedal_hat": 0.6,
          "tambourine": 0.65, "claves": 0.75, "cowbell": 0.6, "triangle": 0.6, "agogo": 0.65,
          "low_agogo": 0.65}  # fmt: skip
# Where on their way through a fill the hands are: one drum or another, a sixteenth note each, or a rest.
FILL_DRUMS = {
    "kit": ({"snare": 5, "high_tom": 3, "": 3}, {"snare": 2, "mid_tom": 4, "": 2},
            {"floor_tom": 4, "snare": 2, "": 1}),
    "hand": ({"high_bongo": 4, "low_bongo": 2, "": 2}, {"open_conga": 4, "mute_conga": 3, "": 2},
             {"low_conga": 4, "open_conga": 2, "": 1}),
    "soft": ({"rim": 2, "snare": 2, "": 4}, {"snare": 2, "mid_tom": 2, "": 3}, {"floor_tom": 2, "": 3}),
}  # fmt: skip

Groove = dict[str, str]  # drum -> template of one bar


def hit(start: int, drum: str, velocity: float) -> Note:
    """A stroke; how long a drum rings is up to the drum."""
    return Note(start, STEP, KEYS[drum], round(velocity * SOFTER.get(drum, 1)))


def draw_bar(dice: Dice, groove: Groove) -> list[Note]:
    """One bar of a groove, each optional stroke decided by chance."""
    return [hit(t, drum, v) for drum, template in groove.items() for t, v in draw_rhythm(dice, template)]


def draw_groove(dice: Dice, groove: Groove, bar: int) -> list[Note]:
    """Two bars: the second answers the first with other kicks and ghost notes."""
    first, second = draw_bar(dice, groove), draw_bar(dice, groove)
    steady = {KEYS[drum] for drum in groove} - {KEYS[d] for d in ("kick", "snare", "open_conga", "low_conga")}
    answer = [n for n in first if n.pitch in steady] + [n for n in second if n.pitch not in steady]
    return sorted(first + [n._replace(start=n.start + bar) for n in answer])


def draw_fill(dice: Dice, hands: str, beats: int) -> list[Note]:
    """The last one or two beats of a phrase, growing louder, from high drums to low ones."""
    steps = 4 * beats
    notes = []
    for i in range(steps):
        drum = dice.weighted(FILL_DRUMS[hands][3 * i // steps])
        if drum:
            notes.append(hit(i * STEP, drum, 66 + 36 * i / steps))
    return notes


def drummer(loop: list[Note], bar: int, hands: str, fills: float) -> Callable[[Dice, bool], list[Note]]:
    """How a two-bar loop is played for a whole phrase: `play(dice, opens_section) -> notes`.

    `fills` is how often the phrase ends in a fill. Some ghost notes come and go.
    """

    def play(dice: Dice, opens_section: bool) -> list[Note]:
        notes = []
        for n in range(0, PHRASE_BARS, 2):
            for note in loop:
                if note.velocity > 45 or dice.chance(0.75):
                    notes.append(note._replace(start=note.start + n * bar))
        end = PHRASE_BARS * bar
        if dice.chance(fills):
            beats = dice.weighted({1: 3, 2: 2})
            start = end - beats * BEAT
            kept = [n for n in notes if n.start < start or n.pitch in (KEYS["kick"], KEYS["shaker"])]
            notes = kept + [n._replace(start=start + n.start) for n in draw_fill(dice, hands, beats)]
        if opens_section and hands == "kit":
            notes.append(hit(0, "crash", 78))
        return sorted(notes)

    return play
