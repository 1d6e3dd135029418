"""Bass lines and chords: `draw_...` picks how a part is played and returns its player.

A player turns the harmony of a phrase into that phrase's notes. Called again with other dice it plays the
same thing with small changes, as a musician would on the way round.
"""

from collections.abc import Callable

from data.music.dice import Dice
from data.music.notes import BEAT, STEP, Note, draw_rhythm, gaps
from data.music.theory import Harmony, lead_voices

Player = Callable[[Dice, Harmony], list[Note]]


def near(pitch_class: int, target: float, low: int, high: int) -> int:
    """The pitch of a class between `low` and `high` that is closest to `target`."""
    return min((p for p in range(low, high + 1) if p % 12 == pitch_class), key=lambda p: (abs(p - target), p))


def repeated(rhythm: list[tuple[int, int]], span: int, length: int) -> list[tuple[int, int]]:
    """A rhythm of `span` ticks again and again until `length`."""
    return [(t + n, v) for n in range(0, length, span) for t, v in rhythm]


def with_changes(rhythm: list[tuple[int, int]], harmony: Harmony) -> list[tuple[int, int]]:
    """The rhythm with a stroke added wherever a chord would otherwise begin unheard for a beat."""
    times = [t for t, _ in rhythm]
    missing = [s for s, _ in harmony.changes if not any(s <= t < s + BEAT for t in times)]
    return sorted(rhythm + [(s, 84) for s in missing])


def draw_bass(
    dice: Dice, template: str, roles: dict[str, float], legato: float, low: int, high: int
) -> Player:
    """A bass that gives every chord its root and then follows `roles`: root, fifth, octave, third, walk.

    `template` is the rhythm of one or two bars; `legato` the share of each note's time that it sounds.
    """
    rhythm = draw_rhythm(dice, template)
    span = STEP * len(template)
    script = [dice.weighted(roles) for _ in rhythm]
    centre = low + 8 + dice.between(0, 4)

    def play(dice: Dice, harmony: Harmony) -> list[Note]:
        strokes = with_changes(repeated(rhythm, span, harmony.length), harmony)
        starts = [t for t, _ in strokes]
        notes: list[Note] = []
        sounding = None
        for i, ((start, velocity), room) in enumerate(zip(strokes, gaps(starts, harmony.length))):
            chord = harmony.at(start)
            root = near(chord.pitch_classes[0], centre, low, high)
            last_before_change = start + room >= harmony.end(start)
            role = script[i % len(script)]
            if harmony.index(start) != sounding:
                sounding, pitch = harmony.index(start), root
            elif last_before_change and room <= BEAT and dice.chance(0.6):
                goal = near(harmony.after(start).pitch_classes[0], centre, low, high)
                pitch = goal + dice.choose((-1, 1, -2, 2))
                if (pitch - harmony.key.tonic) % 12 not in chord.scale and dice.chance(0.5):
                    pitch = near(chord.pitch_classes[2], goal, low, high)
            elif role == "walk":
                step = [p for p in chord.pitch_classes if p != notes[-1].pitch % 12]
                pitch = near(dice.choose(step), notes[-1].pitch, low, high)
            elif role == "octave":
                pitch = root + 12 if root + 12 <= high else root - 12 if root - 12 >= low else root
            elif role in ("third", "fifth"):
                pitch = near(chord.pitch_classes[1 if role == "third" else 2], root + 3, low, high)
            else:
                pitch = root
            notes.append(Note(start, max(STEP // 2, round(room * legato)), pitch, velocity))
        return notes

    return play


def draw_chords(dice: Dice, manner: str, template: str, legato: float, low: int, high: int) -> Player:
    """Chords played as `block` (struck together), `arpeggio` (one voice after another) or `pad` (held).

    `template` is the rhythm of one or two bars; a pad is struck with each new chord and seldom in between.
    """
    rhythm = draw_rhythm(dice, template)
    span = STEP * len(template)
    centre = (low + high) / 2 + dice.between(-3, 3)
    order = dice.choose(
        (
            (0, 1, 2, 1),
            (0, 2, 1, 2),
            (0, 1, 2, 3),
            (3, 2, 1, 2),
            (0, 2, 3, 2),
            (0, 1, 2, 3, 2, 1),
            (0, 3, 1, 2),
            (2, 1, 0, 1),
            (0, 1, 3, 2, 1, 2),
            (0, 2, 1, 3),
        )
    )

    def play(dice: Dice, harmony: Harmony) -> list[Note]:
        voiced = lead_voices([chord for _, chord in harmony.changes], low, high, centre)
        if manner == "pad":
            again = {t for t, _ in repeated(rhythm, span, harmony.length) if dice.chance(0.25)}
            strokes = [(t, 74) for t in sorted(again | {start for start, _ in harmony.changes})]
        else:
            played = [s for s in repeated(rhythm, span, harmony.length) if s[1] > 45 or dice.chance(0.7)]
            strokes = with_changes(played, harmony)
        starts = [t for t, _ in strokes]
        notes, turn = [], 0
        for i, ((start, velocity), room) in enumerate(zip(strokes, gaps(starts, harmony.length))):
            new = i == 0 or harmony.index(start) != harmony.index(starts[i - 1])
            turn = 0 if new else turn + 1
            voicing = voiced[harmony.index(start)]
            if manner == "arpeggio":
                pitch = voicing[order[turn % len(order)] % len(voicing)]
                held = min(harmony.end(start) - start, 3 * BEAT)  # let ring, until the chord changes
                notes.append(Note(start, round(held * legato), pitch, velocity - 6 * (not new)))
                continue
            room = min(room, harmony.end(start) - start)
            length = max(STEP // 2, round(room * legato))
            notes += [Note(start, length, pitch, velocity - 2 * len(voicing)) for pitch in voicing]
        return notes

    return play
