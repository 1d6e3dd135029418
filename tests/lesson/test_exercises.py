"""Every exercise of Parts II to IV: a stub, the right answer, and mistakes that people make."""

import pytest

from helpers.lesson.checks.verdict import NOT_YET, RIGHT, WRONG
from tests.lesson import exercises_classify, exercises_musicgen, exercises_omni

EXERCISES = exercises_musicgen.EXERCISES + exercises_classify.EXERCISES + exercises_omni.EXERCISES
each_exercise = pytest.mark.parametrize(
    ("check", "right", "wrong"), EXERCISES, ids=[check.__name__ for check, *_ in EXERCISES]
)


@each_exercise
def test_a_stub_is_not_an_attempt(check, right, wrong):
    stubs = [..., None, *([lambda *_: ..., lambda *_: None] if callable(right) else [])]
    if isinstance(right, dict):
        stubs.append(dict.fromkeys(right, ...))
    if isinstance(right, tuple):
        stubs.append((...,) * len(right))
    assert {check(stub).state for stub in stubs} == {NOT_YET}


@each_exercise
def test_the_right_answer_is_right(check, right, wrong):
    answer = check(right)
    assert answer.state == RIGHT, answer


@each_exercise
def test_each_mistake_is_explained_in_its_own_words(check, right, wrong):
    answers = [check(one) for one in wrong]
    assert {answer.state for answer in answers} == {WRONG}, answers
    assert len({answer.why for answer in answers}) == len(wrong) >= 3, [answer.why for answer in answers]
