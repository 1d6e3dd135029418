"""A piece: a style, a key and a tempo, two sections of four bars, and an order in which they return."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count

from data.music.accompaniment import Player, draw_bass, draw_chords, near
from data.music.dice import Dice
from data.music.drums import draw_groove, drummer, hit
from data.music.instruments import INSTRUMENTS
from data.music.melody import draw_melody
from data.music.notes import BEAT, PHRASE_BARS, Note
from data.music.phrases import DRUMS, bars_of, fingerprint, may_follow, together, unit_marks
from data.music.styles import ALL_STYLES, STYLES, Style
from data.music.theory import MODES, Chord, Harmony, Key, draw_harmony, lead_voices

FORMS = ("AABA", "ABAB", "AABB", "ABBA", "AABAB", "ABABB", "AABBA")
TAKES = 400  # drawings of one part before the whole section is drawn anew
VARIATIONS = 60  # of a part that comes again, before it comes as it was
LAST_HITS = {
    "kit": (("kick", "crash"), ("kick", "snare", "crash"), ("crash",)),
    "soft": (("kick", "crash"), ("kick", "ride"), ("kick", "triangle")),
    "hand": (("kick", "low_conga"), ("low_conga", "open_conga"), ("kick", "high_bongo")),
}
Phrase = dict[str, list[Note]]  # part -> its notes, in ticks from the beginning of the phrase


@dataclass(frozen=True)
class Plan:
    """A piece before it has notes."""

    name: str
    split: str
    style_name: str
    key: Key
    tempo: int  # beats a minute
    swing: float  # how late the second of two short notes comes, as a share of its length
    players: dict[str, str]  # part -> instrument, or kit for the drums
    form: str
    chord_size: int

    @property
    def style(self) -> Style:
        return ALL_STYLES[self.style_name]

    @property
    def bar(self) -> int:
        """Ticks."""
        return self.style.beats * BEAT


@dataclass(frozen=True)
class Piece:
    """A composition as written, before anybody plays it."""

    plan: Plan
    phrases: list[Phrase]
    levels: list[int]  # added to the velocities of each phrase
    ending: Phrase  # one more bar: the tonic, left to ring

    @property
    def seconds(self) -> float:
        """Up to the end of the last bar."""
        return (PHRASE_BARS * len(self.phrases) + 1) * self.plan.style.beats * 60 / self.plan.tempo

    @property
    def fingerprints(self) -> dict[str, list[str]]:
        """Part -> the fingerprint of each four-bar phrase in which it plays; and of everything together."""
        prints = {"all": [together(phrase) for phrase in self.phrases]}
        for phrase in self.phrases:
            for part, notes in phrase.items():
                prints.setdefault(part, []).append(fingerprint(notes, part))
        return prints

    @property
    def digest(self) -> str:
        """Changes when any note does: sixteen hexadecimal digits."""
        notes = [
            (part, *note)
            for phrase in [*self.phrases, self.ending]
            for part in phrase
            for note in phrase[part]
        ]
        what = (
            self.plan.style_name,
            self.plan.key,
            self.plan.tempo,
            f"{self.plan.swing:.6f}",
            self.plan.players,
            self.levels,
            notes,
        )
        return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Section:
    """Four bars, and how to play them again a little differently."""

    first: Phrase
    again: dict[str, Callable[[Dice], list[Note]]]


def draw_player(dice: Dice, part: str, style: Style, instrument: str, letter: str) -> Player:
    """How a pitched part is going to be played in a section."""
    low, high = INSTRUMENTS[instrument].low, INSTRUMENTS[instrument].high
    if part == "bass":
        return draw_bass(
            dice,
            dice.choose(style.bass_rhythms),
            dict(style.bass_roles),
            style.bass_legato,
            low,
            min(high, low + 24),
        )
    if part == "chords":
        manner = dice.choose(style.chord_manner)
        if manner == "pad" and not INSTRUMENTS[instrument].holds:
            manner = "arpeggio"
        return draw_chords(
            dice,
            manner,
            dice.choose(style.chord_rhythms),
            style.chord_legato,
            max(low, style.chord_range[0]),
            min(high, style.chord_range[1]),
        )
    if style.chords:  # the tune stays above the chords
        low = min(max(low, sum(style.chord_range) // 2), high - 15)
    if letter == "B":
        low = min(low + 4, high - 14)
    return draw_melody(dice, dice.choose(style.density), style.beats, style.lead_legato, low, high)


def draw_take(
    dice: Dice, part: str, style: Style, instrument: str, letter: str, harmony: Harmony
) -> tuple[list[Note], Callable[[Dice], list[Note]]]:
    """One proposal for a part: what it plays first, and how it plays that again."""
    if part == DRUMS:
        loop = draw_groove(dice, dice.choose(style.grooves), harmony.bar)
        play = drummer(loop, harmony.bar, style.hands, style.fills)
        return play(dice, letter == "B"), lambda again: play(again, False)
    player = draw_player(dice, part, style, instrument, letter)
    return player(dice, harmony), lambda again: player(again, harmony)


def draw_section(name: str, letter: str, plan: Plan, before: Phrase) -> Section:
    """A section whose parts may all follow the bar `before` on the plan's side of the split."""
    style = plan.style
    for attempt in count():
        dice = Dice(name, letter, attempt)
        tonic_first = letter == "A" or dice.chance(0.25)
        harmony = draw_harmony(dice, plan.key, style.beats, plan.chord_size, tonic_first, style.quick)
        first, again = {}, {}
        for part, instrument in plan.players.items():
            for take in range(TAKES):
                dice = Dice(name, letter, attempt, part, take)
                notes, repeat = draw_take(dice, part, style, instrument, letter, harmony)
                if may_follow(before.get(part, []), notes, plan.bar, part, plan.split):
                    first[part], again[part] = notes, repeat
                    break
            else:
                break  # this harmony leaves the part nothing to say
        if len(first) == len(plan.players):
            return Section(first, again)


def play_again(name: str, section: Section, plan: Plan, before: Phrase) -> Phrase | None:
    """The section once more: varied, or as it was if no variation may follow `before`, or None."""
    phrase = {}
    for part, notes in section.first.items():
        variations = (section.again[part](Dice(name, part, take)) for take in range(VARIATIONS))
        fitting = (
            v
            for v in chain(variations, [notes])
            if may_follow(before.get(part, []), v, plan.bar, part, plan.split)
        )
        chosen = next(fitting, None)
        if chosen is None:
            return None
        phrase[part] = chosen
    return phrase


def draw_rests(dice: Dice, parts: list[str], n: int) -> list[set[str]]:
    """Which parts are silent in each of `n` phrases; never in the last, and never the one that carries it."""
    silent: list[set[str]] = [set() for _ in range(n)]
    if len(parts) >= 3:
        if dice.chance(0.45):  # the band comes in one after the other
            silent[0] = dice.choose([{"melody"}, {"drums"}, {"melody", "drums"}, {"bass", "drums"}])
        if dice.chance(0.35):  # somewhere in the middle somebody listens
            silent[dice.between(1, n - 2)] = {dice.choose(("melody", "drums", "chords", "bass"))}
    return silent


def draw_ending(dice: Dice, plan: Plan, last: Phrase) -> Phrase:
    """One bar: everybody on the tonic chord, and a cymbal."""
    chord = Chord(plan.key, 0, min(plan.chord_size, 4))
    ending: Phrase = {}
    for part in plan.players:
        if part == DRUMS:
            ending[part] = [hit(0, drum, 92) for drum in dice.choose(LAST_HITS[plan.style.hands])]
            continue
        pitches = [n.pitch for n in last[part]]
        low, high = min(pitches), max(pitches)
        if part == "chords":
            centre = sum(pitches) / len(pitches) + dice.between(-4, 4)
            chosen = lead_voices([chord], low - 7, max(high, low + 12) + 7, centre)[0]
        else:
            classes = chord.pitch_classes[:1] if part == "bass" else chord.pitch_classes[:3]
            target = pitches[-1] + dice.between(-7, 7)
            chosen = (near(dice.choose(classes), target, low - 6, high + 6),)
        ending[part] = [Note(0, plan.bar, pitch, 88 - 3 * len(chosen)) for pitch in chosen]
    return ending


def may_end(before: Phrase, ending: Phrase, plan: Plan) -> bool:
    """Whether the last bar makes no unit, with the bar before it, that is marked for another side."""
    marks = {unit_marks([before.get(part, []), ending[part]], plan.bar, part)[0] for part in ending}
    return marks <= {"train", plan.split}


def draw_plan(name: str, split: str, style_name: str) -> Plan:
    """Everything about a piece that is settled before the first note."""
    style, dice = ALL_STYLES[style_name], Dice(name)
    key = Key(dice.between(0, 11), dice.weighted({mode: style.modes.get(mode, 0) for mode in MODES}))
    pools = {"chords": style.chords, "bass": style.bass, "melody": style.lead}
    seats = {pool: dice.choose(pool) for pool in pools.values() if pool}  # a pool in common, one player
    players = {part: seats[pool] for part, pool in pools.items() if pool}
    if style.grooves:
        players[DRUMS] = dice.choose(style.kits)
    return Plan(
        name,
        split,
        style_name,
        key,
        dice.between(*style.tempo),
        dice.uniform(*style.swing),
        players,
        dice.choose(FORMS),
        dice.choose(style.chord_size),
    )


def write_phrases(plan: Plan, attempt: int) -> Piece | None:
    """The notes of a plan, or None if this attempt runs into a place where nothing may follow."""
    name, sections = f"{plan.name}/{attempt}", {}
    dice = Dice(name, "arrangement")
    silent = draw_rests(dice, list(plan.players), len(plan.form))
    phrases, levels, before = [], [], {}
    for n, letter in enumerate(plan.form):
        if letter not in sections:
            sections[letter] = draw_section(name, letter, plan, before)
            phrase = sections[letter].first
        else:
            phrase = play_again(f"{name}/{n}", sections[letter], plan, before)
        if phrase is None:
            return None
        phrases.append({part: notes for part, notes in phrase.items() if part not in silent[n]})
        levels.append((8 if letter == "B" else 0) + dice.between(-5, 3) - 6 * (n == 0))
        before = {part: bars_of(notes, plan.bar)[-1] for part, notes in phrases[-1].items()}
    endings = (draw_ending(Dice(name, "ending", take), plan, phrases[-1]) for take in range(VARIATIONS))
    ending = next((e for e in endings if may_end(before, e, plan)), None)
    return ending and Piece(plan, phrases, levels, ending)


def compose(seed: int, split: str, index: int, style_name: str | None = None) -> Piece:
    """Piece `index` of a seed and a split; without a style the styles of the mixture take turns.

    The same arguments give the same notes everywhere. `data.music.phrases` says what a split promises.
    """
    name = f"{split}-{style_name or 'mix'}-{seed}-{index:04d}"
    plan = draw_plan(name, split, style_name or list(STYLES)[index % len(STYLES)])
    return next(piece for attempt in count() if (piece := write_phrases(plan, attempt)))
