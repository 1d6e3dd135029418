"""An independent listener: a recogniser made by others, for other voices, hears the world's sentences.

It is PocketSphinx (Huggins-Daines et al. 2006) with its own model of English, and a grammar of what can be
said here. What it misses is counted as word errors.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from data.speech.phones import LEXICON
from data.speech.voice import RATE
from data.world.scenes import COLOURS, SHAPES, SIDE, place
from data.world.sentences import DIGITS
from helpers.support.libraries import library

PAUSE = 0.25  # seconds before and after, which it needs to settle
FLOOR = 1e-3  # of noise: it does not expect digital silence
GRAMMAR = """#JSGF V1.0;
grammar world;
<digit> = {digits};
<colour> = {colours};
<shape> = {shapes};
<place> = {places};
<thing> = ( a | an ) <colour> <shape>;
<more> = and ( <thing> | a sign );
<question> = ( what | which ) ( colour is the <shape> | shape is the <colour> thing )
  | where ( is | do you see ) the <colour> <shape> | how many <colour> things ( are there | do you see )
  | ( is there | do you see ) <thing> | what ( is | do you see ) in the <place>
  | what number is on the sign | read the sign | ( what | how much ) is <digit> plus <digit>
  | what do you see | what is there;
<answer> = the <shape> is <colour> | there is no <shape> | the <colour> thing is a <shape>
  | there is no <colour> thing | the <colour> <shape> is in the <place>
  | there are ( no | <digit> ) <colour> things | there is one <colour> thing | yes there is <thing>
  | no there is no <colour> <shape> | ( nothing | <thing> ) is in the <place> | there is no sign
  | the number is <digit> <digit> <digit> | <digit> plus <digit> is <digit>
  | i see <thing> [ <more> [ <more> [ <more> [ and a sign ] ] ] ] | i do not know;
public <sentence> = <question> | <answer>;
"""


class Listener:
    """Sound in, words out. Raises InputError where the recogniser is not installed."""

    def __init__(self):
        pocketsphinx = library("pocketsphinx")
        self.decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", samprate=RATE)
        for word, phones in LEXICON.items():
            if self.decoder.lookup_word(word) is None:
                self.decoder.add_word(word, " ".join(phones).replace("AX", "AH"), True)
        lists = {"digits": DIGITS, "colours": COLOURS, "shapes": SHAPES,
                 "places": [place(cell) for cell in range(SIDE * SIDE)]}  # fmt: skip
        rules = GRAMMAR.format(**{name: " | ".join(words) for name, words in lists.items()})
        self.decoder.add_jsgf_string("world", rules)
        self.decoder.activate_search("world")

    def __call__(self, audio: np.ndarray) -> list[str]:
        """The words of a sound (N,) float at 16 kHz."""
        quiet = np.pad(audio, round(PAUSE * RATE))
        quiet = quiet + FLOOR * np.random.default_rng(0).standard_normal(len(quiet))
        samples = (np.clip(quiet, -1, 1) * 32767).astype(np.int16)
        self.decoder.start_utt()
        self.decoder.process_raw(samples.tobytes(), full_utt=True)
        self.decoder.end_utt()
        heard = self.decoder.hyp()
        return heard.hypstr.split() if heard else []


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """How many words were put in, left out or taken for others, at least (Levenshtein 1966)."""
    costs = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, costs[0] = costs[0], i
        for j, other in enumerate(heard, 1):
            change = diagonal + (word != other)
            diagonal, costs[j] = costs[j], min(costs[j] + 1, costs[j - 1] + 1, change)
    return costs[-1]


def word_error_rate(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> float:
    """Errors over words said, of pairs of what was said and what was heard."""
    counts = [(word_errors(said, heard), len(said)) for said, heard in pairs]
    return sum(errors for errors, _ in counts) / max(1, sum(words for _, words in counts))
