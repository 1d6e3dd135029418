"""`evaluate`, `doubt` and `bench` of a small omni that knows nothing; and of one that knows everything."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from data.world.items import item
from data.world.sentences import WORDS
from helpers.omni import weights
from helpers.omni.doubt import NEVER, Bounds
from helpers.omni.pipeline import Question, Thought
from helpers.omni.spec import N_SPECIAL
from workshop.bench.worker import Measured
from workshop.omni import asked, doubt
from workshop.omni.asked import STRANGE, aloud, considered, items, strange, typed
from workshop.omni.bench import command as bench
from workshop.omni.bench.worker import FIRST, OPERATIONS, STREAM, Version, prepare
from workshop.omni.evaluation import command, understanding
from workshop.omni.evaluation.rows import AT_LEAST, AT_MOST, Row, alone, errors, shares
from workshop.omni.evaluation.speaking import said


class Knowing:
    """It answers as the world does, from the question's text, the picture's bytes or the sound's."""

    words = WORDS

    def __init__(self, some):
        self.known = {}
        for one in some:
            for ask in (typed(one), aloud(one)):
                self.known[self._key(ask.text, ask.picture, ask.speech)] = one.answer

    @staticmethod
    def _key(text, picture, speech):
        return text, picture.tobytes(), None if speech is None else speech.tobytes()

    def take_in(self, text, picture, speech, speech_rate):
        return Question(self.known.get(self._key(text, picture, speech), "no"), None, None, {"seen": -0.1})

    def think(self, answer, _):
        for word in answer.split():
            yield Thought(N_SPECIAL + self.words.index(word), None, -0.5)


def test_who_knows_everything_has_everything_right_and_looks():
    some = {split: items(split, 12) for split in ("test", "unseen")}
    looking = items("test", 12, understanding.FROM_THE_PICTURE)
    knowing = Knowing([*some["test"], *some["unseen"], *looking])
    rows = list(understanding.answer_rows(knowing, 12))
    met = {row.measure: [] for row in rows}
    for row in rows:
        met[row.measure].append(row.met)
        if row.measure == "answers right (%)" and row.score.clips:
            assert row.score.mean == 100
    assert met["aloud, against typed (points)"] == [True, True]
    assert met["still right with the wrong (%)"] == [True, True]
    assert considered(knowing, typed(some["test"][0])).sure == {"seen": -0.1, "answered": -0.5}


def test_the_wrong_input_is_another(monkeypatch):
    some = items("test", 8, understanding.FROM_THE_PICTURE)
    for one, other in zip(some, understanding.with_another_picture(some)):
        assert other.text == one.question and other.answer == one.answer
        assert not np.array_equal(other.picture, one.picture)
    told = []
    monkeypatch.setattr(asked, "spoken", lambda text, rng: told.append(text) or np.zeros(1600, np.float32))
    for one, other in zip(some, understanding.asked_another(some)):
        assert told[-1] != one.question and other.answer == one.answer and other.speech is not None
        assert np.array_equal(other.picture, one.picture)


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_question_is_the_same_each_time_and_another_for_choosing(kind):
    (one,), (again,), (other,) = (list(strange(kind, split, 1)) for split in ("test", "test", "valid"))
    assert one.kind == kind and one.answer is None
    for name, value in one.given.items():
        np.testing.assert_array_equal(value, again.given[name])
    differs = [not np.array_equal(value, other.given[name]) for name, value in one.given.items()]
    assert any(differs)


def test_questions_for_testing_are_nobodys_of_training():
    assert (
        items("test", 1)[0].key[2] >= asked.START and items("unseen", 1)[0].key[0] == item("unseen", 0).key[0]
    )
    assert all(one.scene is not None for one in items("test", 30))


# --- doubt


def test_a_bound_lies_between_what_is_good_and_what_is_not():
    good, bad = [-0.1, -0.2, -0.15], [-1.0, -2.0, -0.9]
    assert doubt.bound(good, bad) == pytest.approx(-0.55)
    assert doubt.bound(good, [-0.01]) is None and doubt.bound([-0.1], [-0.1]) is None
    many = list(-np.linspace(0, 1, 101))
    assert doubt.bound(many, [-0.5] * 10) is None, "half of what is good would be lost"
    assert -0.995 < doubt.bound(many, [-0.995] * 9 + [-0.5]) <= -0.98
    assert doubt.bound([-0.1], [NEVER]) == pytest.approx((-0.1 + NEVER) / 2)


def test_each_measure_finds_its_own():
    good = [{"heard": -0.1, "seen": -0.1, "answered": -0.1}, {"seen": -0.12, "answered": -0.1}]
    bad = {kind: [{"heard": -0.1, "seen": -0.1, "answered": -0.1}] for kind in STRANGE}
    bad["a photograph"] = [{"seen": -0.5, "answered": -0.1}]
    bounds = doubt.chosen(good, bad)
    assert bounds == Bounds(seen=pytest.approx(-0.31))
    assert doubt.refused(bounds, bad["a photograph"]) == [True]
    assert doubt.refused(bounds, good) == [False, False]


def test_the_bounds_are_written_beside_the_weights(checkpoint, tmp_path, monkeypatch, capsys):
    home = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    right = [{"heard": -0.1, "seen": -0.1, "answered": -0.1}]
    bad = {kind: [{"heard": -2.0, "seen": -2.0, "answered": -2.0}] for kind in STRANGE}
    monkeypatch.setattr(doubt, "sureness", lambda pipeline, count: (right, bad))
    assert doubt.main(["--checkpoints", str(home)]) == 0
    models = weights.load_models(home)
    bounds = models.config.bounds
    assert bounds == models.config.spec.bounds and bounds.seen == pytest.approx(-1.05) == bounds.heard
    assert "another language" in capsys.readouterr().out


def test_the_measures_of_a_model_are_taken(ours, monkeypatch):
    monkeypatch.setattr(doubt, "STRANGE", {"silence": None})
    good, bad = doubt.sureness(ours, 1)
    assert good == [] and set(bad["silence"][0]) == {"heard", "seen", "answered"}


# --- the tables


def test_a_row_says_whether_it_is_what_is_asked():
    assert Row("x", "y", shares([True, False]), (AT_LEAST, 50.0)).met is True
    assert Row("x", "y", shares([True, False]), (AT_MOST, 49.0)).met is False
    empty = Row("x", "y", shares([]), (AT_LEAST, 1.0))
    assert empty.met is None and empty.cells()[2] == "-" and empty.to_json()["mean"] is None
    assert errors([(1, 4), (0, 6)]).mean == pytest.approx(10)
    assert "interval" not in Row("x", "y", alone(3.0)).cells()[2]


def test_everything_is_scored(checkpoint, bundle, small_bundle, tmp_path, capsys):
    shutil.copytree(bundle, tmp_path / "bundles" / "fp32")
    shutil.copytree(small_bundle, tmp_path / "bundles" / "int8")
    out, numbers = tmp_path / "scores.md", tmp_path / "scores.json"
    options = ["--bundles", tmp_path / "bundles", "--markdown", out, "--json", numbers]
    assert command.main([str(one) for one in ("--checkpoints", checkpoint, "--items", 2, *options)]) == 0
    found = {(row["measure"], row["of"]): row for row in json.loads(numbers.read_text())}
    for what in ("words", "codes"):
        [same] = [row for (measure, _), row in found.items() if measure == f"the same {what} (%)"]
        assert same["mean"] == 100 and same["met"]
    assert 0 < found["8 bit: size (%)", "of float32's graphs"]["mean"] < 100
    assert found["word errors (%)", "the sound itself"]["mean"] < 20
    assert found["answers right (%)", "seen combinations, typed"]["mean"] < 100
    assert found["says that it does not know (%)", "silence"]["mean"] == 0, "it has no bounds"
    assert all(f"| {measure} | {of} |" in out.read_text() for measure, of in found)


def test_an_answer_is_said_from_its_own_words(onnx):
    one = items("unseen", 1)[0]
    audio, ended = said(onnx, one)
    assert len(audio) % onnx.spec.hop == 0 and len(audio) >= len(one.answer.split()) * onnx.spec.hop
    assert isinstance(ended, bool)
    never = replace(onnx.spec)
    pipeline = type(onnx)(never, {**onnx.graphs, "talker": _endless(onnx.graphs["talker"])})
    assert said(pipeline, one)[1] is False


def _endless(talker):
    def endless(*given):
        codes, over, *new = talker(*given)
        return codes, np.full_like(over, -1.0), *new

    return endless


# --- the bench


@pytest.mark.parametrize("is_torch", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_runs(operation, is_torch, checkpoint, bundle):
    run = prepare(Version("x", is_torch, checkpoint if is_torch else bundle), operation, 1)
    stages = run()
    assert set(stages) == ({FIRST} if operation == STREAM else set())
    assert all(math.isfinite(value) for value in stages.values())


def test_goals_are_told_from_medians():
    def runs(seconds, **stages):
        return [Measured(one, one, stages, None) for one in (seconds, 2 * seconds, 9.0)]

    found = bench.Benchmark(
        "x", 2,
        {STREAM: {bench.FLOAT: runs(0.05, **{FIRST: 0.03})}, bench.WHOLE: {bench.FLOAT: runs(0.1)},
         bench.THINKER: {bench.FLOAT: runs(0.01), bench.TORCH: runs(0.05)}},
        {"PyTorch, eye": "no memory"}, None,
    )  # fmt: skip
    verdicts = {name: verdict for name, _, _, verdict in bench.goals(found)}
    assert list(verdicts.values()) == ["met", "NOT MET", "met", "not measured"]
    text = bench.markdown(found)
    assert "its first sound" in text and "30.00" in text and "no memory" in text
    assert found.clock(bench.THINKER, bench.FLOAT) == pytest.approx(1.0)
