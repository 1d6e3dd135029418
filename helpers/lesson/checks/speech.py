"""Checks of notebook 32, A voice from formulas."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number, whole_number

SOUND = 34_300  # centimetres a second
RATE = 16_000
SENTENCES = (  # said, heard, errors
    ("the red ring", "the red ring", 0),
    ("the red ring is here", "the red is here", 1),
    ("one two three four", "two three four", 1),
    ("is the ring red", "is the thing red", 1),
    ("yes", "", 1),
    ("a b c d", "b c d e", 2),
    ("the star", "there is the star now", 3),
    ("a b a b", "b a", 2),
)
VOWELS = (  # pitch, resonances: of no speaker that the course has
    (97.0, (310.0, 2150.0, 2800.0, 3500.0)),
    (143.0, (690.0, 1240.0, 2550.0, 3450.0)),
    (121.0, (480.0, 900.0, 2350.0, 3300.0)),
    (168.0, (560.0, 1820.0, 2500.0, 3600.0)),
)
NEAR = 0.12  # how far from right a resonance may be


@exercise
def tube(function: Callable[[float, int], Sequence[float]]) -> str:
    """A tube's length in centimetres, how many -> its lowest resonances in hertz."""
    for length, n in ((17.15, 3), (12.0, 4)):
        right = SOUND * (2 * np.arange(n) + 1) / (4 * length)
        answer = np.asarray(called(function, length, n), float)
        if answer.shape != (n,):
            raise Wrong(f"{n} resonances were asked for; the answer's shape is {answer.shape}.")
        if np.allclose(answer, right, rtol=0.01):
            continue
        explain(
            answer,
            {
                "those are a tube's that is open at both ends; the glottis is nearly closed.": (
                    SOUND * (np.arange(n) + 1) / (2 * length)
                ),
                "the first is right; then come the odd multiples of it, not all.": right[0]
                * (np.arange(n) + 1),
                "the length is in centimetres, the speed of sound in metres.": right / 100,
            },
            lambda one, other: np.allclose(one, other, rtol=0.01),
        )
        raise Wrong(f"of {length} cm the lowest is not at {answer[0]:.0f} Hz: how long is its wave?")
    return "a neutral mouth: 500, 1500, 2500. Every vowel bends these."


@exercise
def word_errors(function: Callable[[list[str], list[str]], int]) -> str:
    """Words said, words heard -> how many were put in, left out or taken for others, at least."""
    for said, heard, right in SENTENCES:
        answer = whole_number(called(function, said.split(), heard.split()))
        if answer == right:
            continue
        where = f"said '{said}', heard '{heard}':"
        by_place = sum(a != b for a, b in zip(said.split(), heard.split()))
        missing = len(set(said.split()) - set(heard.split()))
        if answer == by_place + abs(len(said.split()) - len(heard.split())):
            raise Wrong(
                f"{where} one word that is left out moves all others; compare them where they belong."
            )
        if answer == by_place:
            raise Wrong(f"{where} what is too much at the end counts too.")
        if answer == missing:
            raise Wrong(f"{where} words that were put in are errors, and so is another order.")
        raise Wrong(f"{where} {right} changes are enough, not {answer}.")
    return "divided by the words that were said, this is the word error rate, WER."


def vowel(pitch: float, resonances: Sequence[float], seconds: float = 0.4) -> np.ndarray:
    """A steady vowel (N,) at RATE: pulses through two-pole filters, one behind the other."""
    from scipy.signal import lfilter

    n = round(seconds * RATE)
    phase = np.cumsum(np.full(n, pitch / RATE)) % 1
    sound = lfilter([1.0], [1.0, -0.9], np.diff(phase, prepend=1.0) < 0)
    for k, centre in enumerate(resonances):
        radius, turn = np.exp(-np.pi * (60 + 30 * k) / RATE), 2 * np.pi * centre / RATE
        sound = lfilter([1.0], [1.0, -2 * radius * np.cos(turn), radius**2], sound)
    return (0.4 * sound / abs(sound).max()).astype(np.float32)


unknown = {f"vowel {i}": vowel(*one) for i, one in enumerate(VOWELS, 1)}


@exercise
def formants(function: Callable[[np.ndarray, int], Sequence[float]]) -> str:
    """A vowel (N,) and its rate -> its two lowest resonances in hertz."""
    for i, ((pitch, right), sound) in enumerate(zip(VOWELS, unknown.values()), 1):
        answer = called(function, sound.copy(), RATE)
        try:
            first, second = (number(one) for one in answer)
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is two numbers, in hertz.") from error
        if first >= second:
            raise Wrong(f"vowel {i}: the lower one comes first.")
        if close(first, pitch) or abs(first - pitch) < 0.05 * pitch:
            raise Wrong(f"vowel {i}: {first:.0f} Hz is how often the glottis opens, not what the mouth does.")
        for k, found in enumerate((first, second)):
            if abs(found / right[k] - 1) > NEAR:
                near = "a multiple of the pitch; look at the whole hill" if _multiple(found, pitch) else "off"
                raise Wrong(f"vowel {i}: resonance {k + 1} is not near {found:.0f} Hz, which is {near}.")
    return "read off from sound alone, whatever the pitch: this is how vowels are told apart."


def _multiple(found: float, pitch: float) -> bool:
    return abs(found / pitch - round(found / pitch)) < 0.03
