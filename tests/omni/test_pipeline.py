"""A bundle and the checkpoint it was made from, asked the same: word for word, code for code."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from fabricate_omni import SMALL

from helpers.omni.doubt import NEVER, REFUSAL, Bounds, sure_of_answer, sure_of_picture, sure_of_sound
from helpers.omni.pipeline import MOST_FRAMES, MOST_WORDS, Pipeline, Thought, with_next
from helpers.omni.spec import ANSWER, END, N_SPECIAL, PICTURE, QUESTION, SOFT
from helpers.runtime.cache import Cache
from helpers.support.errors import InputError

TEXT, SPEC = "What is there?", SMALL.spec


def asked(pipeline, how, picture, speech):
    given = {"text": {"text": TEXT}, "speech": {"speech": speech, "speech_rate": 16000}}[how]
    return pipeline.ask(picture=picture, **given)


@pytest.mark.parametrize("how", ["text", "speech"])
@pytest.mark.parametrize("with_picture", [True, False])
def test_both_runtimes_answer_the_same(ours, onnx, how, with_picture, picture, speech):
    one, other = (asked(p, how, picture if with_picture else None, speech) for p in (ours, onnx))
    assert one.text == other.text and one.heard == other.heard and one.text
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_allclose(one.audio, other.audio, atol=1e-4 * np.abs(one.audio).max())
    assert len(one.audio) == one.codes.shape[2] * onnx.spec.hop
    assert (one.heard is None) == (how == "text")


def test_what_is_seen_and_heard_matters(onnx, picture, speech):
    places = onnx.see(picture)["places"]
    question = onnx.read(TEXT)
    said = [onnx.step(*onnx.prompt(question, seen))[0][0, -1] for seen in (places, places * 0, None)]
    assert not np.allclose(said[0], said[1]) and not np.allclose(said[1], said[2])


@pytest.mark.parametrize("cut", [1, 4, 11])
def test_steps_after_a_cut_give_the_same(ours, onnx, picture, cut):
    """Prefill and steps in one graph: PyTorch sees all at once, ONNX Runtime in two parts, or one by one."""
    ids, soft = onnx.prompt(onnx.read(TEXT), onnx.see(picture)["places"])
    whole, states, _ = ours.step(ids, soft)
    parts = [onnx.step(ids[:, :cut], soft[:, :cut])]
    parts.append(onnx.step(ids[:, cut:], soft[:, cut:], parts[0][2]))
    for i, expected in enumerate((whole, states)):
        found = np.concatenate([part[i] for part in parts], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    cache = None
    for i in range(ids.shape[1]):
        logits, _, cache = onnx.step(ids[:, i : i + 1], soft[:, i : i + 1], cache)
    np.testing.assert_allclose(logits[0, -1], whole[0, -1], atol=1e-4 * np.abs(whole).max())


def test_a_cache_can_be_gone_on_from_twice(onnx):
    ids, soft = onnx.prompt(onnx.read(TEXT), None)
    _, _, cache = onnx.step(ids, soft)
    one, _, _ = onnx.step(np.array([[N_SPECIAL]]), cache=cache)
    onnx.step(np.array([[N_SPECIAL + 1]]), cache=cache)
    again, _, _ = onnx.step(np.array([[N_SPECIAL]]), cache=cache)
    np.testing.assert_array_equal(one, again)


def test_batches_are_as_their_items(onnx):
    """The graphs take several items at once, though the pipeline asks one question at a time."""
    rng = np.random.default_rng(0)
    spec = onnx.spec
    audio = rng.standard_normal((3, 9000)).astype(np.float32) * 0.1
    pictures = rng.random((3, 3, 64, 64)).astype(np.float32)
    codes = rng.integers(0, spec.codebook_size, (3, 2, 9))
    for name, given in (("ear", audio), ("eye", pictures), ("voice", codes)):
        whole = onnx.graphs[name](given)
        for i in range(3):
            part = onnx.graphs[name](given[i : i + 1])
            for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (whole, part))):
                np.testing.assert_allclose(one[i], other[0], atol=1e-4 * np.abs(one).max())


def test_streaming_gives_the_same_sound(onnx, picture):
    answer = onnx.ask(TEXT, picture)
    pieces = list(onnx.stream(TEXT, picture))
    assert len(pieces) > 1
    difference = np.abs(np.concatenate(pieces) - answer.audio).max()
    assert difference <= 1e-5 * np.abs(answer.audio).max()


def test_sound_begins_before_the_answer_is_complete(onnx):
    words = []
    stream = onnx.stream(TEXT, on_word=words.append)
    next(stream)
    early = len(words)
    list(stream)
    assert 0 < early < len(words)


def test_the_prompt(onnx, picture, speech):
    seen, (heard, _) = onnx.see(picture)["places"], onnx.hear(speech, 16000)
    typed = [N_SPECIAL + onnx.words.index(word) for word in ("what", "is", "there")]
    ids, soft = onnx.prompt(onnx.read(TEXT), seen)
    assert ids[0].tolist() == [PICTURE, *[SOFT] * 16, QUESTION, *typed, ANSWER]
    np.testing.assert_array_equal(soft[0, 1:17], seen[0])
    ids, soft = onnx.prompt(heard, None)
    assert ids[0].tolist() == [QUESTION, *[SOFT] * heard.shape[1], ANSWER]
    np.testing.assert_array_equal(soft[0, 1:-1], heard[0])


# --- the pointer


def scripted(spec, lengths):
    """A talker of which word k takes lengths[k] frames; it writes down what it was given."""
    calls, left = [], list(lengths)

    def talker(words, states, before, n_past, *held):
        calls.append((words[0, 0].tolist(), before[0, 0].tolist(), int(n_past)))
        left[0] -= 1
        over = left[0] == 0
        if over and len(left) > 1:
            left.pop(0)
        new = np.zeros((1, spec.talker_shared, 1, spec.talker_size), np.float32)
        code = np.full((1, 1, spec.n_codebooks), len(calls) % spec.codebook_size)
        return code, np.array([[1.0 if over else -1.0]]), *[new] * (2 * spec.talker_layers)

    return talker, calls


def thoughts(spec, *words):
    return [Thought(word, np.full((1, 1, spec.width), float(word), np.float32)) for word in words]


def test_every_word_is_said_once_and_in_order():
    talker, calls = scripted(SPEC, (2, 1, 3))
    pipeline = Pipeline(SPEC, {"talker": talker})
    frames = list(pipeline.talk(thoughts(SPEC, 7, 8, 9)))
    assert [words for words, _, _ in calls] == [[7, 8]] * 2 + [[8, 9]] + [[9, END]] * 3
    assert [n_past for *_, n_past in calls] == list(range(6))
    start = [SPEC.codebook_size] * SPEC.n_codebooks
    assert calls[0][1] == start and calls[1][1] == [1] * SPEC.n_codebooks
    assert np.concatenate(frames, 2)[0, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_word_without_end_is_ended():
    talker, calls = scripted(SPEC, (10**6,))
    assert len(list(Pipeline(SPEC, {"talker": talker}).talk(thoughts(SPEC, 7, 8)))) == 2 * MOST_FRAMES


def test_a_word_is_said_when_the_next_is_known():
    given = []

    def source():
        for one in thoughts(SPEC, 7, 8, 9):
            given.append(one.word)
            yield one

    talker, _ = scripted(SPEC, (2, 1, 3))
    next(Pipeline(SPEC, {"talker": talker}).talk(source()))
    assert given == [7, 8]


def test_with_next():
    assert list(with_next("abc", "!")) == [("a", "b"), ("b", "c"), ("c", "!")]
    assert list(with_next("a", "!")) == [("a", "!")] and list(with_next("", "!")) == []


def scripted_thinker(spec, answer):
    """A thinker that says `answer`, then END for ever."""

    def thinker(ids, soft, n_past, *held):
        step = 0 if ids.shape[1] > 1 else thinker.steps + 1
        thinker.steps = step
        logits = np.zeros((1, ids.shape[1], spec.vocabulary), np.float32)
        logits[0, -1, answer[step] if step < len(answer) else END] = 1
        logits[0, -1, [SOFT, PICTURE, QUESTION, ANSWER]] = 9  # never words, however probable
        new = np.zeros((1, spec.thinker_shared, ids.shape[1], spec.thinker_size), np.float32)
        return logits, np.zeros((*ids.shape, spec.width), np.float32), *[new] * (2 * spec.thinker_layers)

    return thinker


def test_an_answer_ends_and_holds_words_alone():
    pipeline = Pipeline(SPEC, {"thinker": scripted_thinker(SPEC, [6, 5, 9])})
    said = list(pipeline.think(*pipeline.prompt(pipeline.read(TEXT), None)))
    assert [one.word for one in said] == [6, 5, 9]
    endless = Pipeline(SPEC, {"thinker": scripted_thinker(SPEC, [6] * 1000)})
    assert len(list(endless.think(*endless.prompt(endless.read(TEXT), None)))) == MOST_WORDS


def test_an_empty_answer_is_silence():
    silent = Pipeline(SPEC, {"thinker": scripted_thinker(SPEC, []), "voice": None})
    answer = silent.ask(TEXT)
    assert answer.text == "" and answer.audio.shape == (0,) and answer.codes.shape == (1, 2, 0)
    assert list(silent.stream(TEXT)) == []


# --- what a user can get wrong


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "one of the two"),
        ({"text": TEXT, "speech": np.zeros(16000, np.float32)}, "one of the two"),
        ({"speech": np.zeros(16000, np.float32)}, "speech_rate"),
        ({"text": "what is zebra"}, "zebra"),
        ({"text": " ?! "}, "empty"),
        ({"text": "what \x1b[31m"}, "none of the 63 words"),
        ({"speech": np.zeros(100, np.float32), "speech_rate": 16000}, "lasts 0.01 s"),
        ({"speech": np.zeros(31 * 1000, np.float32), "speech_rate": 1000}, "lasts 31.00 s"),
        ({"speech": np.full(16000, np.nan, np.float32), "speech_rate": 16000}, "NaN"),
        ({"text": TEXT, "picture": np.zeros((32, 32, 3), np.uint8)}, "a picture is"),
        ({"text": TEXT, "picture": np.zeros((64, 64, 3), np.int64)}, "a picture is"),
        ({"text": TEXT, "picture": np.full((64, 64, 3), 3.0)}, "between 0 and 1"),
        ({"text": TEXT, "picture": np.full((64, 64, 3), np.nan)}, "between 0 and 1"),
    ],
)
def test_mistakes_are_told_in_a_line(onnx, given, message):
    with pytest.raises(InputError, match=message) as error:
        onnx.ask(**given)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)


def test_another_rate_is_resampled(onnx, speech):
    places, _ = onnx.hear(np.repeat(speech, 2), 32000)
    assert places.shape == onnx.hear(speech, 16000)[0].shape


def test_it_runs_without_pytorch(bundle, tmp_path):
    code = f"""
import sys, numpy as np
from helpers.omni.pipeline import Pipeline
answer = Pipeline.open({str(bundle)!r}, threads=1).ask("what is there", np.zeros((64, 64, 3), np.uint8))
assert answer.text and answer.audio.size
print([name for name in ("torch", "librosa", "matplotlib", "onnx", "scipy") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_a_bundle_of_another_model_is_refused(bundle, tmp_path):
    (tmp_path / "bundle.json").write_text('{"model": "vampnet"}')
    with pytest.raises(InputError, match="vampnet"):
        Pipeline.open(tmp_path)
    text = (bundle / "bundle.json").read_text().replace('"red"', "7")
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(InputError, match="words"):
        Pipeline.open(tmp_path)


def test_the_sessions_are_onnx_runtimes(onnx):
    assert isinstance(onnx.graphs["thinker"].session, onnxruntime.InferenceSession)
    assert Cache.empty(1, 2, 2, 8).held[0].shape == (1, 2, 1, 8)


# --- doubt


def bounded(pipeline, **bounds):
    """The same that can say that it does not know, with these bounds."""
    return Pipeline(replace(pipeline.spec, bounds=Bounds(**bounds)), pipeline.graphs)


@pytest.mark.parametrize("name", ["heard", "seen", "answered"])
def test_who_is_too_little_sure_says_so(onnx, picture, speech, name):
    asked = {"picture": picture, "speech": speech, "speech_rate": 16000}
    answer = bounded(onnx, **{name: 0.0}).ask(**asked)
    assert answer.text == "i do not know" and answer.doubts == (name,)
    assert len(answer.audio) == answer.codes.shape[2] * onnx.spec.hop > 0
    pieces = list(bounded(onnx, **{name: 0.0}).stream(**asked))
    np.testing.assert_allclose(np.concatenate(pieces), answer.audio, atol=1e-5)
    sure = bounded(onnx, **{name: -900.0}).ask(**asked)
    np.testing.assert_array_equal(sure.codes, onnx.ask(**asked).codes)
    assert sure.doubts == () and sure.text != "i do not know"
    assert bounded(onnx, **{name: 0.0}).guessing().ask(**asked).doubts == ()


def test_what_was_not_given_is_in_no_doubt(onnx):
    pipeline = bounded(onnx, heard=0.0, seen=0.0)
    assert pipeline.ask("what is there").doubts == ()


def test_a_measure_is_of_what_is_there():
    """Of letters, not of the pauses between them; silence is nothing to be sure of."""
    certain, blank = np.full(28, -50.0), np.full(28, -50.0)
    certain[3], blank[0] = 50, -49
    assert sure_of_sound(np.stack([certain, blank, certain])) == pytest.approx(0)
    assert sure_of_sound(np.stack([blank, blank])) == NEVER == sure_of_answer([])
    assert sure_of_picture(np.zeros((9, 4)), np.zeros((9, 4))) == pytest.approx(-np.log(4))


@pytest.mark.parametrize(
    "content", [3, {"heard": "x"}, {"heard": 0.1}, {"heard": float("nan")}, {"tasted": -1}, [["heard", -1]]]
)
def test_bounds_of_a_stranger_are_refused(content):
    with pytest.raises(InputError):
        Bounds.read(content, REFUSAL)
    with pytest.raises(InputError, match="know"):
        Bounds.read({"heard": -1}, ("red",))
    assert Bounds.read({"heard": -1, "seen": None}, REFUSAL) == Bounds(heard=-1.0)
    assert Bounds.read(None, ()) == Bounds()
