"""A piece in words, made from what is true of it: several ways to say it, never all of it."""

from data.music.dice import Dice
from workshop.musicgen.music.compose import Facts

TEMPO = {
    "slow": ("slow", "slow", "very slow"),
    "medium": ("medium tempo", "moderate", "walking pace"),
    "fast": ("fast", "fast", "quick"),
}
MOOD = {"major": ("happy", "bright", "cheerful"), "minor": ("sad", "dark", "wistful")}
DENSITY = {"sparse": ("sparse", "few notes"), "medium": (), "busy": ("busy", "many notes")}
SAID = 0.75  # how often a fact is mentioned


def describe(facts: Facts, dice: Dice) -> str:
    """One text about a piece, in one of three manners."""
    return dice.choose((_sentence, _sentence, _tags, _played))(facts, dice)


def every_word() -> list[str]:
    """All single words that texts are made of."""
    phrases = [*TEMPO.values(), *MOOD.values(), *DENSITY.values()]
    return sorted({word for group in phrases for phrase in group for word in phrase.split()})


def _sentence(facts: Facts, dice: Dice) -> str:
    """a slow sad waltz in A minor for flute with strings and bass, sparse"""
    said = _Said(facts, dice)
    what = said.style or ["piece"]
    words = ["a", *said.tempo, *said.mood, *what, *said.key, *said.players("for")]
    return ", ".join([" ".join(words), *said.rest])


def _played(facts: Facts, dice: Dice) -> str:
    """flute with strings playing a slow waltz in A minor"""
    said = _Said(facts, dice)
    music = " ".join(["a", *said.tempo, *said.mood, *(said.style or ["tune"]), *said.key])
    return ", ".join([f"{_listed(facts.instruments)} playing {music}", *said.rest])


def _tags(facts: Facts, dice: Dice) -> str:
    """sad, flute, A minor, slow, bass, strings"""
    said = _Said(facts, dice)
    key = [facts.key] if said.key else []
    rest = [*said.tempo, *said.mood, *said.style, *key, *said.rest, *facts.instruments]
    return ", ".join(sorted(rest, key=lambda _: dice.uniform(0, 1)))


class _Said:
    """What of the facts this text mentions, each a list of one phrase or none."""

    def __init__(self, facts: Facts, dice: Dice):
        self.facts, self.dice = facts, dice
        self.tempo = self._maybe(TEMPO[facts.tempo])
        self.mood = self._maybe(MOOD[facts.mode])
        self.style = self._maybe((facts.style,))
        self.key = self._maybe((f"in {facts.key}",))
        self.rest = self._maybe(DENSITY[facts.density])
        if dice.chance(0.2):
            self.rest.append(f"{round(facts.bpm)} bpm")
        if not facts.has_drums and dice.chance(0.2):
            self.rest.append("no drums")

    def _maybe(self, phrases: tuple[str, ...]) -> list[str]:
        return [self.dice.choose(phrases)] if phrases and self.dice.chance(SAID) else []

    def players(self, word: str) -> list[str]:
        return [word, _listed(self.facts.instruments)] if self.dice.chance(0.9) else []


def _listed(instruments: list[str]) -> str:
    """flute with strings, bass and drums"""
    lead, *others = instruments
    if not others:
        return f"{lead} alone"
    *first, last = others
    return f"{lead} with " + (f"{', '.join(first)} and {last}" if first else last)
