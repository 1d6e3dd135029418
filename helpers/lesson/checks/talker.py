"""Checks of notebook 37, The talker."""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, pairwise

import numpy as np

from helpers.lesson.checks.verdict import NotYet, Wrong, called, exercise, explain

HOP = 640  # samples of a frame
SAID = (  # where words end, in samples; frames
    ((1600, 3200, 5760), 10),
    ((900, 4000), 8),
    ((2240,), 5),
    ((1900, 3900, 6500, 7100), 12),
)
SHAPES = ((1, 4), (3, 3), (3, 7), (4, 9))  # words, frames


def our_pointer(ends: tuple[int, ...], n: int, at: float = 0.5) -> tuple[list[int], list[int]]:
    """Words of frames, and where they are over; at: the place in a frame that decides."""
    words = [sum(end <= HOP * (i + at) for end in ends[:-1]) for i in range(n)]
    return words, [int(a != b) for a, b in pairwise([*words, None])]


@exercise
def pointer(function: Callable[[list[int], int], tuple[list[int], list[int]]]) -> str:
    """Ends of words in samples, frames -> the word of each frame, and where a word is over."""
    for ends, n in SAID:
        right, answer = our_pointer(ends, n), called(function, list(ends), n)
        try:
            words, over = ([int(one) for one in part] for part in answer)
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is two lists of whole numbers.") from error
        if (words, over) == right:
            continue
        if len(words) != n or len(over) != n:
            raise Wrong(f"{n} frames were asked for; there are {len(words)} and {len(over)}.")
        if words != right[0]:
            if words in (our_pointer(ends, n, 0)[0], our_pointer(ends, n, 1)[0]):
                raise Wrong(f"ends {ends}: a frame's middle decides, not its edge.")
            if max(words) >= len(ends):
                raise Wrong(f"ends {ends}: behind the last end it is still the last word.")
            raise Wrong(f"ends {ends}: the frames' words are {right[0]}, not {words}.")
        explain(
            over,
            {
                "the last word is never over, and such a talker never stops.": [*right[1][:-1], 0],
                "that is where the next word begins; over is one frame earlier.": [0, *right[1][:-1]],
            },
            lambda one, other: one == other,
        )
        raise Wrong(f"words {words}: over is {right[1]}, not {over}.")
    return "with these two lists a talker can be trained; nothing else is needed of time."


@exercise
def pairs(function: Callable[[Iterable[str], str], Iterator[tuple[str, str]]]) -> str:
    """A stream of words, what stands behind the last -> each word with the next one."""
    for words in (["the", "star", "is", "blue"], ["yes"], []):
        taken = []

        def stream(words: list[str] = words, taken: list[str] = taken) -> Iterator[str]:
            for word in words:
                taken.append(word)
                yield word

        right = list(pairwise([*words, "END"]))
        made = called(function, stream(), "END")
        try:
            made, found = iter(made), []
            for one in made:
                found.append(tuple(one))
                if len(taken) > len(found) + 1:
                    raise Wrong(f"pair {len(found)} came after {len(taken)} words: {len(found) + 1} do.")
        except TypeError as error:
            raise Wrong("the answer is a generator of pairs.") from error
        except (RuntimeError, StopIteration, UnboundLocalError) as error:
            raise Wrong(f"of {len(words)} words: {type(error).__name__}. What if there are none?") from error
        if found == right:
            continue
        if not found and words and words[1:]:
            raise NotYet if list(made) == [] and not taken else Wrong("no pair came out.")
        if found == right[:-1]:
            raise Wrong(f"{words}: the last word is missing; it goes with the end.")
        raise Wrong(f"{words} give {right}, not {found}.")
    return "a voice can begin with the second word, however long the answer."


def best_paths(scores: np.ndarray) -> tuple[float, list[int]]:
    """All ways to divide the frames among the words, listed: the largest sum, and its words."""
    n_words, n_frames = scores.shape
    ways = []
    for cuts in combinations(range(1, n_frames), n_words - 1):
        words = [sum(t >= cut for cut in cuts) for t in range(n_frames)]
        ways.append((float(sum(scores[w, t] for t, w in enumerate(words))), words))
    return max(ways)


@exercise
def align(function: Callable[[np.ndarray], list[int]]) -> str:
    """Scores (W, T) -> a word for each frame, in order, none left out, with the largest sum."""
    rng = np.random.default_rng(11)
    for n_words, n_frames in SHAPES * 3:
        scores = np.log(rng.dirichlet(np.ones(n_words) * 0.4, size=n_frames).T + 1e-6)
        best, words = best_paths(scores)
        answer = called(function, scores.copy())
        try:
            found = [int(one) for one in answer]
        except (TypeError, ValueError) as error:
            raise Wrong("the answer is a list of words' numbers, one a frame.") from error
        if len(found) != n_frames:
            raise Wrong(f"of {n_frames} frames {len(found)} got a word.")
        steps = [b - a for a, b in pairwise(found)]
        if any(step < 0 for step in steps):
            raise Wrong("a word came back: order is the order of the text.")
        if found[0] != 0 or found[-1] != n_words - 1 or any(step > 1 for step in steps):
            raise Wrong(f"of {n_words} words some are left out: {found}.")
        total = float(sum(scores[w, t] for t, w in enumerate(found)))
        if total < best - 1e-9:
            raise Wrong(f"{found} adds up to {total:.2f}; {best:.2f} can be reached.")
    return "and with it plain recordings become times, without anybody's pencil."
