"""What the runtime must know of an omni, and the numbers that its words have. No PyTorch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from helpers.omni.doubt import Bounds
from helpers.runtime.manifest import load_manifest, read_counts, unusable
from helpers.support.errors import InputError

SOFT, PICTURE, QUESTION, ANSWER, END = range(5)  # a place that is no word, what begins, what ends
N_SPECIAL = 5  # words are numbered from here on
LETTERS = " abcdefghijklmnopqrstuvwxyz"  # 1 + the place in it; 0 is the blank of CTC
MOST_WORDS, LONGEST_WORD = 10_000, 40
COUNTS = {
    "sample_rate": 1000, "hop": 1, "picture_size": 8, "width": 1, "places_of_picture": 1, "n_codebooks": 1,
    "codebook_size": 2, "thinker_layers": 1, "thinker_shared": 1, "thinker_size": 1, "talker_layers": 1,
    "talker_shared": 1, "talker_size": 1, "voice_context": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """Numbers of an omni.

    hop: samples a code frame. width: of a place of the thinker. shared, size: heads of keys and values, and
    how long theirs are. voice_context: code frames on either side that a frame of sound needs. bounds: how
    sure it must be to answer.
    """

    sample_rate: int
    hop: int
    picture_size: int
    width: int
    places_of_picture: int
    n_codebooks: int
    codebook_size: int
    thinker_layers: int
    thinker_shared: int
    thinker_size: int
    talker_layers: int
    talker_shared: int
    talker_size: int
    voice_context: int
    words: tuple[str, ...]
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def vocabulary(self) -> int:
        """Words, and what is no word."""
        return N_SPECIAL + len(self.words)


def read_spec(bundle: str | os.PathLike) -> Spec:
    """From a bundle's manifest. Raises InputError."""
    counts = read_counts(bundle, COUNTS, "omni")
    manifest = load_manifest(bundle)
    words = manifest.get("words")
    if not are_words(words):
        raise unusable(bundle, "words")
    try:
        bounds = Bounds.read(manifest.get("bounds"), words)
    except InputError as error:
        raise unusable(bundle, "bounds") from error
    return Spec(**counts, words=tuple(words), bounds=bounds)


def are_words(words: object) -> bool:
    """Whether a stranger's value is a list of different words of small letters."""
    return (
        isinstance(words, list)
        and 0 < len(words) <= MOST_WORDS
        and all(isinstance(word, str) and 0 < len(word) <= LONGEST_WORD for word in words)
        and all(set(word) <= set(LETTERS[1:]) for word in words)
        and len(set(words)) == len(words)
    )


def collapsed(best: Sequence[int]) -> str:
    """Letters of each frame's most probable class: repeats are one, blanks none (Graves et al. 2006)."""
    kept = [one for one, before in zip(best, (0, *best)) if one and one != before]
    return " ".join("".join(LETTERS[one - 1] for one in kept).split())
