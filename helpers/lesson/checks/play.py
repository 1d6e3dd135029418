"""Checks of notebook 07, Play."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.lesson.checks.tensors import expect
from helpers.lesson.checks.verdict import Wrong, called, exercise
from helpers.runtime.sampling import gumbel
from helpers.vampnet import masks
from helpers.vampnet.decoding import least_confident, n_remasked

SHAPE, PERIOD, KEPT_BOOKS = (1, 6, 23), 5, 2
PLACES, STEPS = 1001, 12  # an odd number: no step's share falls on the edge between two whole numbers
STRENGTH, AGAIN = 2.0, 12


@exercise
def prompt(build: Callable[[tuple[int, int, int], int, int], np.ndarray]) -> str:
    """A function of a shape (1, C, T), a period and a number of codebooks that gives the mask."""
    answer = _places(called(build, SHAPE, PERIOD, KEPT_BOOKS), SHAPE)
    periodic, everything = masks.periodic(SHAPE, PERIOD), masks.full(SHAPE)
    swapped_books = periodic.copy()
    swapped_books[:, :KEPT_BOOKS] = 1
    mistakes = {
        "0 and 1 are swapped: 1 is generate, 0 is keep.": 1 - masks.codebook_mask(periodic, KEPT_BOOKS),
        "those frames are kept in every codebook; from the given number on, all is generated.": periodic,
        "that keeps the fine codebooks and generates the coarse ones; it is the other way round.": (
            swapped_books
        ),
        "one codebook too many is kept; they are counted from 0.": (
            masks.codebook_mask(periodic, KEPT_BOOKS + 1)
        ),
        "the low codebooks are kept in every frame; keep them in every period-th only.": (
            masks.codebook_mask(1 - everything, KEPT_BOOKS)
        ),
        "every period-th frame is generated and the others kept; it is the other way round.": (
            masks.codebook_mask(1 - periodic, KEPT_BOOKS)
        ),
        "nothing is kept: find the zeros that there should be.": everything,
    }
    right = masks.codebook_mask(periodic, KEPT_BOOKS)
    if expect(answer, right, mistakes, np.array_equal):
        return f"{right.mean():.0%} of this small grid is generated, and the rest is the prompt."
    kept = np.flatnonzero(answer[0, 0] == 0).tolist()
    raise Wrong(f"codebook 0 keeps the frames {kept[:6]}; with period {PERIOD} the first are 0 and {PERIOD}.")


@exercise
def schedule(stay_masked: Callable[[int, int], list[int]]) -> str:
    """A function of a number of places and of steps that gives how many stay masked after each step."""
    result = called(stay_masked, PLACES, STEPS)
    try:
        answer = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise Wrong(f"the function should give a plain list, {STEPS} numbers for {STEPS} steps.") from error
    if answer.shape != (STEPS,):
        raise Wrong(f"for {STEPS} steps there should be {STEPS} numbers; the function gave {answer.shape}.")
    share = np.arange(1, STEPS + 1) / STEPS
    right = np.array([int(n_remasked(i, STEPS, np.array(PLACES), np.array(PLACES))) for i in range(STEPS)])
    curve = PLACES * np.cos(np.pi / 2 * share)
    mistakes = {
        "that is how many there were before each step: step i of S has (i + 1) / S behind it.": (
            np.floor(PLACES * np.cos(np.pi / 2 * (share - 1 / STEPS)))
        ),
        "that is a straight line; the cosine falls slowly first and fast at the end.": (
            np.floor(PLACES * (1 - share))
        ),
        "that is how many are settled, not how many stay masked: a sine instead of a cosine.": (
            np.floor(PLACES * np.sin(np.pi / 2 * share))
        ),
        "that is how many are settled; take them from the whole.": PLACES - right,
        "that is half a turn of the cosine, down to -1; a quarter is wanted.": (
            np.floor(PLACES * np.cos(np.pi * share))
        ),
        "that counts the steps from 0 to the last but one as the whole way; there are as many as steps.": (
            np.floor(PLACES * np.cos(np.pi / 2 * np.arange(STEPS) / (STEPS - 1)))
        ),
        "a cosine takes radians: a quarter of a turn is pi / 2, not 90.": (
            np.floor(PLACES * np.cos(90 * share))
        ),
        "the cosine is a share; of how many places?": np.floor(curve / PLACES),
        "the cosine is a share; multiply it by the number of places, then round down.": curve / PLACES,
        "these are fractions; round down to a whole number of places.": curve,
        "round down, not to the nearest: a place is masked or it is not.": np.round(curve),
        "rounded up, the last step would leave one masked; round down.": np.ceil(curve),
    }
    if expect(answer, right, mistakes, lambda one, other: np.allclose(one, other, rtol=0, atol=1e-6)):
        return f"half of the {STEPS} steps leave {right[STEPS // 2 - 1] / PLACES:.0%} masked."
    raise Wrong(f"the first number should be {PLACES} * cos(pi/2 * 1/{STEPS}), rounded down.")


@exercise
def remasked(choose: Callable[[np.ndarray, np.ndarray, float, int], np.ndarray]) -> str:
    """A function of log-probabilities (N,), noise (N,), its strength and a count: True where masked again."""
    rng = np.random.default_rng(0)
    log_p, noise = -rng.exponential(3.0, 40), gumbel(rng.random(40))
    log_p[::5] = np.inf  # given
    answer = _places(called(choose, log_p.copy(), noise.copy(), STRENGTH, AGAIN), log_p.shape)

    def lowest(confidence: np.ndarray) -> np.ndarray:
        return least_confident(confidence[None], np.array([AGAIN]))[0].astype(np.int64)

    confidence = log_p + STRENGTH * noise
    mistakes = {
        "those are the most certain, given ones among them; the least certain are masked again.": (
            lowest(-confidence)
        ),
        "of the generated places those are the most certain; the least certain are masked again.": (
            lowest(np.where(np.isfinite(confidence), -confidence, np.inf))
        ),
        "the noise has no part in it.": lowest(log_p),
        "the noise has its full size only if it is multiplied by its strength.": lowest(log_p + noise),
        "the noise is subtracted; add it.": lowest(log_p - STRENGTH * noise),
        "that compares probabilities; the noise is added to their logarithms.": (
            lowest(np.exp(log_p) + STRENGTH * noise)
        ),
        "the places are inverted: True is to be masked again.": 1 - lowest(confidence),
    }
    if expect(answer, lowest(confidence), mistakes, np.array_equal):
        return f"{AGAIN} places are masked again, none of them given."
    if answer.sum() != AGAIN:
        raise Wrong(f"{answer.sum()} places are masked again, and it should be {AGAIN}.")
    if answer[np.isinf(log_p)].any():
        raise Wrong("a token that was given is masked; its confidence is infinite.")
    raise Wrong("confidence is the log-probability plus strength times noise; take the smallest ones.")


def _still_masked(
    n_frames: int, n_prompt: int, steps: Sequence[int], late: int = 0, above: int = 1, of: Callable = np.floor
) -> list[float]:
    """Tokens masked before each step of SoundStorm's; `late`, `above` and `of` make mistakes."""
    n = n_frames - n_prompt
    return [
        float(of(n * np.cos(np.pi / 2 * (i + late) / count)) + above * n * (len(steps) - 1 - book))
        for book, count in enumerate(steps)
        for i in range(count)
    ]


@exercise
def book_by_book(masked: Callable[[int, int, Sequence[int]], Sequence[int]]) -> str:
    """SoundStorm's loop, from frames, the prompt's and steps a codebook: what each step finds masked."""
    frames, n_prompt, steps = 503, 60, (8, 3, 1, 2)
    result = called(masked, frames, n_prompt, list(steps))
    try:
        answer = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise Wrong("the function should give a plain list of numbers.") from error
    if answer.shape != (sum(steps),):
        total = f"{' + '.join(map(str, steps))} steps"
        raise Wrong(f"{total} are {sum(steps)} numbers; the function gave {answer.shape}.")
    given = (frames, n_prompt, steps)
    right, n = _still_masked(*given), frames - n_prompt
    mistakes = {
        "that is what is masked after each step; the first of a codebook finds all of it masked.": (
            _still_masked(*given, late=1)
        ),
        "the codebooks above are still masked, and count too.": _still_masked(*given, above=0),
        "the prompt is known in every codebook; its frames are never masked.": _still_masked(
            frames, 0, steps
        ),
        "that is how many are known; how many are masked?": [n * len(steps) - one for one in right],
        "these are fractions; as in exercise 2, round down.": _still_masked(*given, of=lambda one: one),
        "rounded to the nearest; as in exercise 2, round down.": _still_masked(*given, of=np.round),
        "the codebooks are filled from the lowest, and `steps` begins with its.": (
            _still_masked(frames, n_prompt, steps[::-1])
        ),
        "that is one cosine over everything; each codebook has its own, which begins anew.": np.floor(
            n * len(steps) * np.cos(np.pi / 2 * np.arange(sum(steps)) / sum(steps))
        ),
    }
    if expect(answer, np.array(right), {why: np.array(one) for why, one in mistakes.items()}, np.array_equal):
        return f"from {right[0]:.0f} down to {right[-1]:.0f}, which the last step fills at once."
    at = int(np.flatnonzero(answer != right)[0])
    book = int(np.repeat(range(len(steps)), steps)[at])
    raise Wrong(
        f"step {at + 1} of all fills codebook {book}, and {answer[at]:g} is not what it finds masked."
    )


def _places(answer: object, shape: tuple[int, ...]) -> np.ndarray:
    """The answer as zeros and ones of that shape, int64. Raises `Wrong`."""
    array = np.asarray(answer)
    if array.shape != shape:
        raise Wrong(f"the result should have the shape {shape}; the function gave {array.shape}.")
    if array.dtype.kind not in "biu" or not np.isin(array, (0, 1)).all():
        raise Wrong(f"the result should hold only 0 and 1, or False and True; it holds {array.dtype} values.")
    return array.astype(np.int64)
