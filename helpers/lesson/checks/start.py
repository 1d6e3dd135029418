"""Checks of notebook 00, Start here."""

from collections.abc import Callable
from itertools import starmap

import numpy as np

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number
from helpers.vampnet import masks
from helpers.vampnet.pipeline import Pipeline

MINUTE = 60  # seconds


@exercise
def tokens_a_minute(answer: float, pipeline: Pipeline) -> str:
    """How many tokens a minute of sound becomes."""
    answer, samples, books = number(answer), MINUTE * pipeline.sample_rate, pipeline.n_codebooks
    frames = samples / pipeline.hop
    if abs(answer - frames * books) <= 0.01 * frames * books:  # 57 frames a second is near enough
        return f"{frames:,.0f} frames of {books} tokens, in place of {samples:,} samples."
    mistakes = {
        "those are the frames; each of them has a token from every codebook.": frames,
        "that is a second of sound; a minute has sixty.": frames * books / MINUTE,
        "those are the samples; the codec makes one frame of many.": samples,
        "that takes one frame for every sample; how many frames are there in a second?": samples * books,
        "that is one codebook, and one second.": frames / MINUTE,
    }
    explain(answer, mistakes)
    raise Wrong("multiply seconds, frames a second and tokens a frame; the product is another number.")


@exercise
def generated_share(share: Callable[[int, int, int], float]) -> str:
    """A function of a periodic prompt's period, of the codebooks kept in it and of all: what is generated."""
    questions = [(7, 3, 14), (2, 3, 14), (5, 4, 4), (3, 1, 8)]  # 840 frames are whole periods of each
    answers = [number(called(share, *question)) for question in questions]
    right = [
        masks.codebook_mask(masks.periodic((1, books, 840), period), kept).mean()
        for period, kept, books in questions
    ]

    if all(map(close, answers, right)):
        return "a token is kept only where both its frame and its codebook are."
    mistakes = {
        "that is the share that is kept; all the rest is generated.": (
            lambda period, kept, books: kept / (period * books)
        ),
        "that is in per cent; a share goes from 0 to 1.": (
            lambda period, kept, books: 100 - 100 * kept / (period * books)
        ),
        "a frame that is kept keeps only some of its codebooks; the others are generated there too.": (
            lambda period, kept, books: 1 - 1 / period
        ),
        "that is the share within a frame that is kept; the other frames keep nothing.": (
            lambda period, kept, books: 1 - kept / books
        ),
        "multiply the shares of what is kept; those of what is not kept overlap.": (
            lambda period, kept, books: (1 - 1 / period) * (1 - kept / books)
        ),
    }
    explain(answers, mistakes, lambda answers, mistake: all(map(close, answers, starmap(mistake, questions))))
    period, kept, books = questions[1]
    raise Wrong(
        f"with period {period} and {kept} of {books} codebooks the function says {answers[1]:.3f}; "
        "make such a mask, take its mean, and compare."
    )


@exercise
def two_prompts(count: Callable[[int, int, int, int, int], int]) -> str:
    """A function of frames, books, a start kept whole, a period, the books kept there: tokens to generate."""
    questions = [
        (841, 14, 10, 7, 3),
        (30, 14, 7, 7, 4),
        (23, 6, 0, 5, 2),
        (50, 8, 50, 4, 3),
        (98, 4, 13, 9, 1),
    ]
    answers = [number(called(count, *question)) for question in questions]

    def generated(frames: int, books: int, start: int, period: int, kept: int) -> int:
        shape = (1, books, frames)
        periodic = masks.codebook_mask(masks.periodic(shape, period), kept)
        return int(np.minimum(periodic, masks.prefix(shape, start)).sum())

    if answers == list(starmap(generated, questions)):
        return "each token counts once, however many reasons there are to keep it."

    def pegs(first: int, last: int, period: int) -> int:
        """Multiples of the period from `first` up to `last`, the last not among them."""
        return -(-last // period) + (-first // period)

    mistakes = {
        "that is how many are kept; the others are generated.": (
            lambda n, books, *rest: n * books - generated(n, books, *rest)
        ),
        "that is a share; how many tokens is it?": lambda n, *rest: generated(n, *rest) / (n * rest[0]),
        "the start is kept in every codebook, not only in the lowest.": (
            lambda n, books, start, period, kept: n * books - kept * (start + pegs(start, n, period))
        ),
        "a kept frame that lies in the start is taken away twice.": (
            lambda n, books, start, period, kept: n * books - start * books - kept * pegs(0, n, period)
        ),
        "frames are counted from the clip's beginning, not from where the start ends.": (
            lambda n, books, start, period, kept: (n - start) * books - kept * pegs(0, n - start, period)
        ),
        "the last period may be cut short, and its first frame is kept all the same.": (
            lambda n, books, start, period, kept: (
                (n - start) * books - kept * max(0, n // period - pegs(0, start, period))
            )
        ),
        "the frames after the start keep something too.": lambda n, books, start, *_: (n - start) * books,
        "that is the first prompt alone; the start is kept as well.": (
            lambda n, books, start, period, kept: n * books - kept * pegs(0, n, period)
        ),
    }
    explain(answers, mistakes, lambda answers, how: np.allclose(answers, list(starmap(how, questions)), 1e-6))
    wrong = next(i for i, question in enumerate(questions) if answers[i] != generated(*question))
    raise Wrong(f"{questions[wrong]} gives {answers[wrong]:g}; make both masks for it, and count.")
