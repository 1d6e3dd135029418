"""Windows into events, and which of them are true."""

import numpy as np

from helpers.classify.events import Heard, events, matched

LIMITS = np.array([0.5, 0.9])


def test_windows_that_touch_are_one_event():
    scored = [
        (0.0, [0.6, 0.1]),
        (1.0, [0.7, 0.95]),
        (2.0, [0.1, 0.92]),
        (3.0, [0.1, 0.1]),
        (4.0, [0.9, 0.89]),
    ]
    found = events(((at, np.array(scores)) for at, scores in scored), 2.0, LIMITS)
    assert found == [Heard(0.5, 2.5, 0, 0.7), Heard(1.5, 3.5, 1, 0.95), Heard(4.5, 5.5, 0, 0.9)]


def test_a_gap_may_be_bridged():
    scored = [(float(i), np.array([0.9 * (i % 2 == 0), 0.0])) for i in range(5)]
    assert len(events(scored, 2.0, LIMITS)) == 3
    assert [(one.start, one.end) for one in events(scored, 2.0, LIMITS, gap=1.0)] == [(0.5, 5.5)]
    assert events([], 2.0, LIMITS) == []


def test_an_event_is_true_where_it_overlaps_one_of_its_label():
    true = [Heard(1, 2, 0, 1), Heard(5, 6, 0, 1), Heard(1, 2, 1, 1)]
    found = [Heard(1.5, 3, 0, 1), Heard(2, 3, 0, 1), Heard(5, 5.5, 1, 1)]
    hits, heard = matched(found, true)
    assert hits.tolist() == [True, False, False] and heard.tolist() == [True, False, False]
    assert [len(one) for one in matched([], true)] == [0, 3]


def test_who_says_that_somebody_sang_all_night_has_found_one_song():
    true = [Heard(10.0 * i, 10.0 * i + 1, 0, 1) for i in range(5)]
    hits, heard = matched([Heard(0, 100, 0, 1)], true)
    assert hits.tolist() == [True] and heard.sum() == 1
