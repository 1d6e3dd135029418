"""The exercises' checks of notebook 09, held to what `test_checks` asks of all of them."""

import numpy as np
import pytest

import helpers.lesson.checks.portable as checks
from helpers.lesson.checks.verdict import NOT_YET, RIGHT, WRONG
from helpers.runtime import counter


def top_only(model):
    return [node.input[0] for node in model.graph.node if node.op_type == "Loop"]


def names_of_loops(model):
    return [node.name for node in checks._loops(model.graph)]


def conditions(model):
    return [node.input[1] for node in checks._loops(model.graph)]


def outer(model):
    return [name for name in checks.our_loop_counts(model) if name != "minutes"]


def hop(cost, context, hops, sides=2, pick=min):
    return pick(one for one in hops if cost(one + sides * context) <= one)


EXERCISES = [
    (
        checks.mixed, lambda x: counter.mixed(x),
        [lambda x: counter.mixed(x).astype(np.int64), lambda x: counter.mixed(x)[:3], checks._shifted_only,
         checks._multiplied_first, checks._without_the_last, lambda x: x,
         lambda x: checks._stirred(x, 0x735A2D97, 0x21F0AAAD)],
    ),
    (
        checks.loop_counts, checks.our_loop_counts,
        [top_only, names_of_loops, conditions, outer, lambda model: [], lambda model: "hours"],
    ),
    (
        checks.smallest_hop, hop,
        [lambda *a: hop(*a, sides=0), lambda *a: hop(*a, sides=1), lambda *a: hop(*a, pick=max),
         lambda *a: 0.25, lambda *a: 3.0, lambda *a: hop(*a, pick=next)],
    ),
    (
        checks.share_that_flips, lambda step, nudge: nudge / step,
        [lambda step, nudge: step / nudge, lambda step, nudge: 2 * nudge / step,
         lambda step, nudge: nudge / step / 2, lambda step, nudge: 1 - nudge / step,
         lambda step, nudge: nudge, lambda step, nudge: 0.7],
    ),
]  # fmt: skip
each_exercise = pytest.mark.parametrize(
    ("check", "right", "wrong"), EXERCISES, ids=[check.__name__ for check, *_ in EXERCISES]
)


@each_exercise
def test_a_stub_is_not_an_attempt(check, right, wrong):
    assert {check(stub).state for stub in (..., None, lambda *_: ..., lambda *_: None)} == {NOT_YET}


@each_exercise
def test_the_right_answer_is_right(check, right, wrong):
    assert check(right).state == RIGHT, check(right)


@each_exercise
def test_each_mistake_is_explained_in_its_own_words(check, right, wrong):
    answers = [check(one) for one in wrong]
    assert {answer.state for answer in answers} == {WRONG}, answers
    assert len({answer.why for answer in answers}) == len(wrong), [answer.why for answer in answers]


def test_who_has_no_answer_goes_on_with_the_course_s():
    ours = checks.or_ours(checks.loop_counts, top_only)
    assert sorted(ours(checks.thermostat())) == ["hours", "minutes", "nights", "windows"]
    assert checks.or_ours(checks.share_that_flips, ...)(10, 1) == 0.1
