"""Which side of the split a phrase belongs to, decided by the phrase itself.

What is compared is what one part (melody, chords, bass or drums) plays. A fingerprint knows when notes begin
and how far apart in pitch they are: transposed, louder, longer, faster, with swing or by another instrument,
music is the same music. For drums, which have no key, it knows which drum is hit when.

The unit that is divided is two neighbouring bars. An eighth of all fingerprints is marked "test", another
eighth "valid". Music for training holds no marked unit. In a held-out piece both halves of every four-bar
phrase carry the mark of its split, and no unit carries the other's. Four bars in a row, wherever they begin,
hold at least one half of a phrase, so no four bars of a part are ever on two sides: however many pieces are
made, with whatever seeds, one after the other or on different days.
"""

import hashlib
from collections.abc import Iterable, Mapping

from data.music.notes import PHRASE_BARS, Note

SPLITS = ("train", "valid", "test")
DRUMS = "drums"


def fingerprint(notes: Iterable[Note], part: str) -> str:
    """Sixteen hexadecimal digits that transposition, dynamics and note lengths leave alone."""
    spots = sorted({(n.start, n.pitch) for n in notes})
    base = spots[0][1] if spots and part != DRUMS else 0
    kind = DRUMS if part == DRUMS else "pitched"
    text = " ".join([kind, *(f"{start}:{pitch - base}" for start, pitch in spots)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def together(phrase: Mapping[str, list[Note]]) -> str:
    """The fingerprint of everything that plays in a phrase: its pitched parts as one, then its drums."""
    pitched = [note for part, notes in phrase.items() if part != DRUMS for note in notes]
    return fingerprint(pitched, "pitched") + fingerprint(phrase.get(DRUMS, []), DRUMS)


def mark(fingerprint: str) -> str:
    """The split that a unit is marked for; "train" is no mark."""
    return {0: "test", 1: "valid"}.get(int(fingerprint, 16) % 8, "train")


def bars_of(notes: list[Note], bar: int, n: int = PHRASE_BARS) -> list[list[Note]]:
    """The notes that begin in each of `n` bars of `bar` ticks, counted from their own bar line."""
    return [
        [note._replace(start=note.start - i * bar) for note in notes if note.start // bar == i]
        for i in range(n)
    ]


def unit_marks(bars: list[list[Note]], bar: int, part: str) -> list[str]:
    """The mark of each pair of neighbouring bars; none where one of them is silent."""
    marks = []
    for first, second in zip(bars, bars[1:]):
        unit = first + [note._replace(start=note.start + bar) for note in second]
        marks.append(mark(fingerprint(unit, part)) if first and second else "train")
    return marks


def may_follow(before: list[Note], phrase: list[Note], bar: int, part: str, split: str) -> bool:
    """Whether a phrase of a part may stand in a piece of `split`, after a bar with the notes `before`."""
    marks = unit_marks([before, *bars_of(phrase, bar)], bar, part)
    if split == "train":
        return set(marks) == {"train"}
    return set(marks) <= {"train", split} and marks[1] == marks[3] == split
