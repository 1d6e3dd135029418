"""Checks of notebook 00, Start here."""

from collections.abc import Callable
from itertools import starmap

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
