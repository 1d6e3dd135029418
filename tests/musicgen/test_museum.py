"""Failures that can be switched on: each does what its name says, and none does when none is asked for."""

import numpy as np
import pytest

from helpers.musicgen.decoding import delayed
from helpers.musicgen.museum import FAILURES, WithoutCache
from helpers.support.errors import InputError

ASKED = {"text": "a slow tune", "seconds": 0.5, "greedy": True}


@pytest.fixture(scope="module")
def right(reference):
    return reference.generate(**ASKED)


@pytest.fixture(scope="module")
def columns(right, reference):
    return delayed(right.codes, reference.spec.delays, reference.special_token)


def logits_of(pipeline, columns, text="a slow tune"):
    return pipeline.logits(columns, pipeline.text(text))[0]


def test_without_a_cache_and_without_a_failure_the_tokens_are_the_same(musicgen, right):
    assert np.array_equal(WithoutCache(musicgen).generate(**ASKED).codes, right.codes)


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_changes_what_is_made(musicgen, right, failure):
    assert (WithoutCache(musicgen, failure).generate(**ASKED).codes != right.codes).mean() > 0.2


def test_only_looking_ahead_lets_a_change_travel_back(musicgen, columns):
    other = columns.copy()
    other[:, :, -1] = (other[:, :, -1] + 1) % 7
    for failure in (None, *FAILURES):
        a, b = (logits_of(WithoutCache(musicgen, failure), each) for each in (columns, other))
        assert (np.abs(a - b)[:, :, 3].max() > 1e-2) == (failure == "looks ahead"), failure


def test_a_first_pass_does_not_show_that_the_past_is_forgotten(musicgen, reference, columns):
    assert np.allclose(
        logits_of(WithoutCache(musicgen, "forgets the past"), columns),
        logits_of(reference, columns),
        atol=1e-4,
    )


def test_who_ignores_the_text_says_the_same_to_all_texts(musicgen, columns):
    deaf = WithoutCache(musicgen, "ignores the text")
    assert np.array_equal(logits_of(deaf, columns), logits_of(deaf, columns, "rock"))


def test_an_unknown_failure(musicgen):
    with pytest.raises(InputError, match="looks ahead"):
        WithoutCache(musicgen, "too loud")
