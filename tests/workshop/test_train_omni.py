"""The omni's stages: losses fall, a killed run ends bit-equal, batches say what they should."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from fabricate_omni import SMALL

from data.speech.voice import Utterance, Word
from data.world.items import Practice, item
from data.world.scenes import Sign
from data.world.sentences import WORDS, spelled
from helpers.omni.spec import ANSWER, END, PICTURE, QUESTION
from helpers.omni.weights import fresh_part, load_part
from workshop.__main__ import main
from workshop.omni.training import command, ear, talker, thinker, together
from workshop.omni.training.codec import CodecStage
from workshop.omni.training.ear import EarStage
from workshop.omni.training.eye import NO_SIGN, EyeStage, digits_of
from workshop.omni.training.speech import HOP, said, said_calmly
from workshop.omni.training.stage import Recipe
from workshop.omni.training.talker import TalkerStage
from workshop.omni.training.thinker import IGNORED, ThinkerStage, numbered, padded, spelled_ids
from workshop.omni.training.together import (
    HEARD,
    SEEN,
    Sample,
    TogetherStage,
    dictation,
    heard_places,
    question,
    spelling,
)
from workshop.omni.training.voice import VoiceStage
from workshop.training.loop import Budget, run

CONFIG = replace(SMALL, words=WORDS, n_colours=8, n_shapes=8)
RECIPE = Recipe(batch=4, rate=3e-3, check_items=4)
STAGES = {
    "thinker": ThinkerStage, "ear": EarStage, "eye": EyeStage, "codec": CodecStage, "voice": VoiceStage,
    "together": TogetherStage, "talker": TalkerStage,
}  # fmt: skip
ALOUD = ("codec", "voice", "talker")  # most of a step is to say the sentences
PARTS_OF = {"together": ("thinker", "eye", "ear")}  # what a stage writes, where that is not itself


FALLS = [
    ("thinker", 60, 0.75), ("ear", 25, 0.75), ("eye", 40, 0.75), ("codec", 30, 0.75), ("voice", 20, 0.75),
    ("together", 40, 0.85), ("talker", 40, 0.85),
]  # fmt: skip


class Interrupted(Exception):
    pass


def begun(kind, recipe=RECIPE, bfloat16=False):
    return kind(recipe, CONFIG, bfloat16, {part: fresh_part(part, CONFIG) for part in kind.needs})


def trained(kind, path, steps, stop_at=None):
    stage = begun(kind)
    forward = stage.losses

    def losses(numbers, rng):
        if stop_at is not None and numbers.start == stop_at * RECIPE.batch:
            raise Interrupted
        return forward(numbers, rng)

    stage.losses = losses
    run(stage, path, Budget(steps=steps))
    return stage


@pytest.mark.parametrize("part", STAGES)
def test_a_run_that_was_killed_ends_bit_equal(part, tmp_path):
    """Every step saves its state here, as 40 checks fall on 4 steps; the third is never finished."""
    whole = trained(STAGES[part], tmp_path / "whole" / f"{part}.safetensors", 4)
    path = tmp_path / "killed" / f"{part}.safetensors"
    with pytest.raises(Interrupted):
        trained(STAGES[part], path, 4, stop_at=2)
    resumed = trained(STAGES[part], path, 4)
    one, other = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in PARTS_OF.get(part, (part,)):
        load_part(path.parent, name, CONFIG)  # raises where a tensor is missing or too many
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert float(rows[-1]["gradient"]) > 0 and "score" in rows[-1] and float(rows[-1]["step"]) == 4


@pytest.mark.parametrize("part", STAGES)
def test_a_step_in_mixed_precision_is_nearly_the_same(part):
    whole, mixed = (begun(STAGES[part], bfloat16=half).step(0, 0.5) for half in (False, True))
    assert mixed == pytest.approx(whole, rel=0.1, abs=0.1) and mixed != whole


@pytest.mark.parametrize("part, steps, share", FALLS)
def test_losses_fall(part, steps, share):
    stage = begun(STAGES[part], replace(RECIPE, batch=4 if part in ALOUD else 8, rate=2e-2))
    losses = [next(iter(stage.step(i, 0.0).values())) for i in range(steps)]
    assert np.mean(losses[-8:]) < share * np.mean(losses[:3])


def test_a_batch_asks_for_the_answer_alone():
    items = [item("train", i) for i in range(12)]
    pairs = [spelled_ids(WORDS, one) for one in items]
    batch = padded(pairs)
    for row, (one, (prompt, answer)) in enumerate(zip(items, pairs)):
        asked = batch.targets[row][batch.targets[row] != IGNORED].tolist()
        assert asked == answer == [*numbered(WORDS, one.answer), END]
        real = batch.padding[row, 0, 0, 0] == 0
        assert batch.ids[row][real].tolist() == [*prompt, *answer[:-1]]
        assert real.tolist() == sorted(real.tolist()) and batch.targets[row, -1] == END
        assert (prompt[0] == PICTURE) == (one.scene is not None)
        assert prompt[-1] == ANSWER and prompt.count(QUESTION) == 1


def test_the_next_word_is_asked_for_where_the_last_one_stands():
    """Shifted once: the place that reads a word is asked for the one behind it."""
    prompt, answer = [QUESTION, 7, ANSWER], [8, 9, END]
    batch = padded([(prompt, answer)])
    assert batch.ids[0].tolist() == [QUESTION, 7, ANSWER, 8, 9]
    assert batch.targets[0].tolist() == [IGNORED, IGNORED, 8, 9, END]


def test_an_answer_is_right_when_every_word_is():
    stage = ThinkerStage(RECIPE, CONFIG)
    items = [item("valid", i) for i in range(6)]
    truth = padded([spelled_ids(WORDS, one) for one in items])
    logits = torch.nn.functional.one_hot(truth.targets.clamp(min=0), CONFIG.vocabulary).float()
    place = int((truth.targets[2] != IGNORED).nonzero()[0, 0])
    logits[2, place] = logits[2, place].roll(1)
    stage._logits = lambda given: (logits, truth.targets)
    stage.recipe = replace(RECIPE, batch=100)
    assert stage._right(items).tolist() == [True, True, False, True, True, True]


def test_contrast_is_least_where_pictures_have_their_own_captions():
    """Pictures that lie where their captions do; two of the same caption do not count against each other."""
    stage = EyeStage(RECIPE, CONFIG)
    texts = ["a red ring", "a blue moon", "a red ring", "a sign"]
    ids = torch.tensor([[*numbered(WORDS, text), 0][:3] for text in texts])
    with torch.no_grad():
        stage.scaffold.temperature.fill_(4.0)
        said = stage.scaffold(ids)
        own, others = stage._contrast(said, texts), stage._contrast(said.roll(1, 0), texts)
    assert own < others


def test_a_sign_in_digits():
    assert digits_of(Sign(0, 407)) == (4, 0, 7) and digits_of(None) == (NO_SIGN,) * 3


def test_sentences_and_voices_are_functions_of_their_number():
    texts = [ear.sentence(i, 0) for i in range(60)]
    assert texts == [ear.sentence(i, 0) for i in range(60)] and len(set(texts)) > 50
    one, same = (ear.spoken("red", np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one, same)


def test_the_ear_has_frames_enough_for_ctc():
    """Letters, and one more frame between two that are the same."""
    for i in range(20):
        text = ear.sentence(i, 0)
        sound = ear.spoken(text, np.random.default_rng(i))
        repeats = sum(a == b for a, b in zip(text, text[1:]))
        assert ear.n_frames(len(sound)) > len(text) + repeats


def test_blanking_leaves_what_it_was_given():
    mel = torch.randn(3, 80, 50)
    before = mel.clone()
    made = ear.blanked(mel, np.random.default_rng(0))
    assert torch.equal(mel, before) and 0.4 < (made == mel).float().mean() < 1


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(thinker.ThinkerStage, "check", lambda self: {"score": 1.0})
    arguments = ["train", "omni", "thinker", "--out", str(tmp_path), "--steps", "2", "--batch", "2"]
    assert main(arguments) == 0
    assert (tmp_path / "thinker.safetensors").is_file() and (tmp_path / "config.json").is_file()
    assert main([*arguments[:-1], "3"]) == 2  # a state of other settings
    assert "batch" in capsys.readouterr().err
    assert main(["train", "omni", "nose", "--out", str(tmp_path), "--steps", "2"]) == 2


def test_all_trains_one_stage_after_the_other(tmp_path, monkeypatch, capsys):
    """Each as long as its plan says."""
    begun_at = []

    def run(training, path, budget):
        begun_at.append((path.stem, budget.steps))

    def parts_of(out, parts, config):
        return {part: fresh_part(part, config) for part in parts}

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "trained_parts", parts_of)
    monkeypatch.setattr(command, "PLANS", {name: command.PLANS[name] for name in ("thinker", "talker")})
    assert main(["train", "omni", "all", "--out", str(tmp_path)]) == 0
    assert begun_at == [(name, plan.steps) for name, plan in command.PLANS.items()]
    assert main(["train", "omni", "all", "--out", str(tmp_path), "--steps", "3"]) == 2
    assert "recipes" in capsys.readouterr().err


def test_stages_come_after_what_they_need(tmp_path, capsys):
    done = set()
    for name, plan in command.PLANS.items():
        assert done >= set(plan.kind.needs)
        done.add(name)
    assert main(["train", "omni", "voice", "--out", str(tmp_path)]) == 2
    assert "codec.safetensors; train that part first" in capsys.readouterr().err


def test_every_frame_knows_its_word_and_the_next():
    """Three words in seven frames, of which the first begins in silence and the last ends in it."""
    words = tuple(Word(word, HOP * a, HOP * b) for word, a, b in (("a", 1, 3), ("red", 3, 4), ("ring", 4, 6)))
    at = talker.word_of_frames(Utterance(np.zeros(7 * HOP, np.float32), words))
    assert at.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert talker.over(at).tolist() == [0, 0, 1, 1, 0, 0, 1]
    ids = talker.pairs(torch.tensor([10, 11, 12]), at, 8, END)
    assert ids[:, 0].tolist() == [10, 10, 10, 11, 12, 12, 12, END]
    assert ids[:, 1].tolist() == [11, 11, 11, 12, END, END, END, END]


def test_the_talker_reads_the_state_of_the_word_it_says():
    """The state that a thought has in the pipeline: once the thinker has read the word."""
    stage = begun(TalkerStage)
    sample = question(WORDS, item("valid", 0))
    speech = stage._speech([sample, Sample([ANSWER], numbered(WORDS, "yes") + [END])], [(0,), (1,)])
    ids = torch.tensor([[ANSWER, *numbered(WORDS, "yes")]])
    _, states, _ = stage.trained["thinker"](ids, torch.zeros(*ids.shape, CONFIG.thinker.width))
    n = int(speech.own[1].sum())
    assert speech.words[1, :n].tolist() == [[numbered(WORDS, "yes")[0], END]] * n
    torch.testing.assert_close(speech.states[1, :n, 0], states[0, 1].expand(n, -1))
    assert (speech.states[1, :, 1] == 0).all() and speech.over[1, :n].tolist() == [0] * (n - 1) + [1]
    assert speech.over[0].sum() == len(sample.answer) - 1


def test_a_sentence_said_calmly_has_the_same_times():
    one, other = (said_calmly("there is no red ring", i) for i in (1, 2))
    assert one.words == other.words and not np.array_equal(one.audio, other.audio)
    assert said("there is no red ring", 1).words != said("there is no red ring", 2).words


def test_what_is_seen_and_heard_stands_among_the_words():
    """In each row its own: places of the eye's picture, and of as much sound as it has."""
    stage = begun(TogetherStage)
    one = next(one for one in (item("valid", i) for i in range(9)) if one.scene)
    typed, asked = question(WORDS, one), question(WORDS, one, (3,))
    told = dictation(WORDS, "a red ring", (4,))
    samples = [typed, asked, told]
    batch = padded([(each.prompt, each.answer) for each in samples])
    assert (batch.ids == SEEN).sum(1).tolist() == [16, 16, 0]
    assert (batch.ids == HEARD).sum(1).tolist() == [0, *(len(heard_places(s.sound)) for s in (asked, told))]
    places = stage._heard([asked.sound, told.sound])
    assert [len(each) for each in places] == (batch.ids == HEARD).sum(1)[1:].tolist()
    with torch.no_grad():
        logits, targets, _ = stage._read(samples)
        alone, wanted, _ = stage._read([typed])
    n = len(typed.answer)
    assert targets[0, -n:].tolist() == wanted[0, -n:].tolist() == typed.answer
    torch.testing.assert_close(logits[0, -n:], alone[0, -n:])


def test_a_picture_is_spelled_as_far_as_it_has_names():
    colours, shapes = np.zeros((2, 9), np.int64)
    colours[:4], shapes[:4] = (1, -1, 3, -1), (-1, 2, 8, -1)
    text = spelled(colours, shapes, Sign(7, 407))
    assert (
        text
        == "top left red thing top middle square top right yellow heart bottom middle sign four zero seven"
    )
    sample = spelling(WORDS, Practice(np.zeros((64, 64, 3), np.uint8), colours, shapes, Sign(7, 407)))
    assert sample.answer == [*numbered(WORDS, text), END] and sample.prompt == [PICTURE, *[SEEN] * 16]


def test_a_phase_begins_with_its_first_item():
    phases = together.PHASES
    for before, phase in zip(phases, phases[1:]):
        assert together.phase_of(phase.first - 1) is before and together.phase_of(phase.first) is phase
        assert before.first % len(before.turns) == phase.first % len(phase.turns) == 0
    assert together.phase_of(0) is phases[0] and together.phase_of(10**9) is phases[-1]


def test_things_are_named_by_their_shape_once():
    """Of two of a shape neither could be meant; a colour without a name is left out."""
    colours, shapes = np.zeros((2, 9), np.int64)
    colours[[0, 1, 2, 5]], shapes[[0, 1, 2, 5]] = (1, 2, -1, 4), (3, 3, 5, -1)
    view = Practice(np.zeros((64, 64, 3), np.uint8), colours, shapes, None)
    sample = together.naming(WORDS, view, np.random.default_rng(0))
    assert sample.answer == [*numbered(WORDS, "star top right"), END]
    assert sample.prompt == [PICTURE, *[SEEN] * 16, ANSWER]
    both = together.naming(
        WORDS, Practice(view.picture, abs(colours), shapes, None), np.random.default_rng(0)
    )
    assert both.answer == [*numbered(WORDS, "star red top right"), END]
