"""The omni's stages: losses fall, a killed run ends bit-equal, batches say what they should."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from fabricate_omni import SMALL

from data.world.items import item
from data.world.scenes import Sign
from data.world.sentences import WORDS
from helpers.omni.spec import ANSWER, END, PICTURE, QUESTION
from helpers.omni.weights import fresh_part, load_part
from workshop.__main__ import main
from workshop.omni.training import ear, thinker
from workshop.omni.training.codec import CodecStage
from workshop.omni.training.ear import EarStage
from workshop.omni.training.eye import NO_SIGN, EyeStage, digits_of
from workshop.omni.training.stage import Recipe
from workshop.omni.training.talker import TalkerStage
from workshop.omni.training.thinker import IGNORED, ThinkerStage, numbered, padded, spelled_ids
from workshop.omni.training.together import TogetherStage
from workshop.omni.training.voice import VoiceStage
from workshop.training.loop import Budget, run

CONFIG = replace(SMALL, words=WORDS, n_colours=8, n_shapes=8)
RECIPE = Recipe(batch=4, rate=3e-3, check_items=4)
STAGES = {
    "thinker": ThinkerStage, "ear": EarStage, "eye": EyeStage, "codec": CodecStage, "voice": VoiceStage,
    "together": TogetherStage, "talker": TalkerStage,
}  # fmt: skip
PARTS_OF = {"together": ("thinker", "eye", "ear")}  # what a stage writes, where that is not itself


FALLS = [
    ("thinker", 60, 0.75), ("ear", 25, 0.75), ("eye", 40, 0.75), ("codec", 30, 0.75), ("voice", 20, 0.75),
    ("together", 40, 0.85), ("talker", 40, 0.85),
]  # fmt: skip


class Interrupted(Exception):
    pass


def begun(kind, recipe=RECIPE):
    return kind(recipe, CONFIG, trained={part: fresh_part(part, CONFIG) for part in kind.needs})


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
    """Every step saves its state here, as 40 checks fall on 6 steps; the fourth is never finished."""
    whole = trained(STAGES[part], tmp_path / "whole" / f"{part}.safetensors", 6)
    path = tmp_path / "killed" / f"{part}.safetensors"
    with pytest.raises(Interrupted):
        trained(STAGES[part], path, 6, stop_at=3)
    resumed = trained(STAGES[part], path, 6)
    one, other = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in PARTS_OF.get(part, (part,)):
        load_part(path.parent, name, CONFIG)  # raises where a tensor is missing or too many
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert float(rows[-1]["gradient"]) > 0 and "score" in rows[-1] and float(rows[-1]["step"]) == 6


@pytest.mark.parametrize("part, steps, share", FALLS)
def test_losses_fall(part, steps, share):
    stage = begun(STAGES[part], replace(RECIPE, batch=8, rate=2e-2))
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
