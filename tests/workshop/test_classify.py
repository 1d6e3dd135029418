"""Training classifiers: takes of a clip, losses, what is learned, resumed and written; scores; commands."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fabricate_classify import random_classifier, shape, write_panns
from refusals import refused
from torch.nn import functional as F

from data.chorus import frozen
from data.chorus.compose import Event
from helpers.audio import save
from helpers.classify import own
from helpers.classify.configs import Head
from helpers.classify.families import family
from helpers.classify.pipeline import Pipeline
from helpers.classify.weights import load_models
from workshop.classify import rounding
from workshop.classify import weather as backgrounds
from workshop.classify.augmentation import Strengths, augmented, echoed, masked, moved
from workshop.classify.command import main, parser, portable, recipe_of, train
from workshop.classify.evaluation import bits, mistakes, nights
from workshop.classify.evaluation import command as evaluation
from workshop.classify.evaluation.metrics import average_precision, calibration_error, metrics
from workshop.classify.features import Chorus, Folder, clips, pictured
from workshop.classify.losses import label_loss, taught_loss, widened
from workshop.classify.training import ClassifierTraining, Recipe, logits_of, rising_and_falling
from workshop.classify.weather import weather
from workshop.training.loop import Budget, run

RATE, SECONDS = 16000, 2.0
SMALL = Recipe(model="tiny", epochs=10, batch=8, rate=0.01, seed=3)


@pytest.fixture(autouse=True)
def little_weather(monkeypatch):
    monkeypatch.setattr(backgrounds, "COUNT", 4)


class Tones:
    """Three labels that anybody can tell apart: low, middle and high tones in noise."""

    labels = ("low", "middle", "high")

    def __init__(self, count=8):
        self.count = count

    def has(self, split):
        return split != "shifted"

    def key(self, split):
        return f"{split} {self.count}"

    def sounds(self, split, rate, seconds):
        rng = np.random.default_rng(len(split))
        for i in range(3 * self.count):
            time = np.arange(int(rate * seconds)) / rate
            tone = np.sin(2 * np.pi * (300, 1200, 4000)[i % 3] * rng.uniform(0.9, 1.1) * time)
            yield (0.1 * tone + 0.02 * rng.standard_normal(len(time))).astype(np.float32), i % 3


@pytest.fixture
def recordings(tmp_path):
    """A folder a class, as one's own recordings lie."""
    for i, (audio, label) in enumerate(Tones(6).sounds("own", 8000, 2.5)):
        folder = tmp_path / "own" / Tones.labels[label]
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"{i:02d}.wav", audio[None], 8000)
    return tmp_path / "own"


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


# --- takes of a clip --------------------------------------------------------------------------------------


def test_every_take_is_another_and_the_same_for_a_seed():
    pictures = torch.randn(4, 1, 50, 64, generator=draw()) * 10
    noises = torch.randn(3, 1, 50, 64, generator=draw(1)) * 10
    one, same, other = (augmented(pictures, noises, Strengths(), 50, draw(i)) for i in (1, 1, 2))
    assert torch.equal(one, same) and one.shape == pictures.shape and one.isfinite().all()
    assert ((one - other).abs().mean((1, 2, 3)) > 1).all() and (
        (one - pictures).abs().mean((1, 2, 3)) > 1
    ).all()


def test_without_strength_a_clip_stays_what_it_is():
    still = Strengths(shift=0, pitch=0, curve=0, echo=0, noise=0, masks=0)
    pictures = torch.randn(4, 1, 50, 64, generator=draw()) * 10
    torch.testing.assert_close(augmented(pictures, pictures, still, 50, draw()), pictures, atol=1e-4, rtol=0)


def test_noise_lies_as_far_below_as_is_said():
    song, ground = torch.full((64, 1, 60, 8), -200.0), torch.zeros(1, 1, 60, 8)
    song[:, :, 20:40] = 0.0
    only = Strengths(shift=0, pitch=0, curve=0, echo=0, noise=1, masks=0, lowest_snr=10, highest_snr=10)
    made = augmented(song, ground, only, 50, draw())
    torch.testing.assert_close(made[:, :, :10], torch.full((64, 1, 10, 8), -10.0), atol=0.01, rtol=0)


def test_an_echo_keeps_the_power_and_comes_after():
    power = torch.zeros(16, 80, 2)
    power[:, 20] = 1.0
    made = echoed(power, 1.0, 20.0, draw())
    assert (made[:, :20] == 0).all() and (made[:, 20] < 1).all() and (made[:, 21:30] > 0).all()
    torch.testing.assert_close(made.sum(1), torch.ones(16, 2), atol=0.05, rtol=0)


def test_what_is_moved_comes_in_at_the_other_end():
    x = torch.randn(5, 1, 40, 16, generator=draw())
    made = moved(x, 0.5, 0, draw())
    assert not torch.equal(made, x)
    assert torch.equal(made.sort(2).values, x.sort(2).values)


def test_masks_are_stripes_of_the_mean():
    x = torch.randn(8, 1, 40, 16, generator=draw())
    for axis in (2, 3):
        hidden = masked(x, axis, 8, draw(1)) != x
        lines = hidden.flatten(2).any(1) if axis == 3 else None
        stripes = hidden.all(3 if axis == 2 else 2)[:, 0]
        assert (
            (stripes.sum(1) <= 9).all()
            and stripes.any()
            and (hidden.sum((1, 2, 3)) % stripes.sum(1).clamp(1) == 0).all()
        )
        assert lines is None or lines.any()


def test_weather_is_the_same_for_a_seed_and_of_many_colours():
    one, same, other = weather(3, 8000, 0), weather(3, 8000, 0), weather(3, 8000, 1)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and np.allclose(one.std(1), 1, atol=1e-3)


# --- losses -----------------------------------------------------------------------------------------------


def test_a_margin_turns_the_wanted_label_away():
    angles = torch.linspace(0.01, math.pi - 0.01, 50)
    cosines = torch.stack([angles.cos(), angles.cos()], 1)
    wanted = torch.tensor([[1.0, 0.0]]).expand(50, 2)
    made = widened(cosines, wanted, 0.3)
    assert torch.equal(made[:, 1], cosines[:, 1])
    near = angles < math.pi - 0.3
    torch.testing.assert_close(made[near, 0], (angles[near] + 0.3).cos(), atol=1e-4, rtol=0)
    assert (made[:, 0].diff() < 0).all() and made.min() > -1.2  # beyond, it goes on falling, a little


def test_losses_of_heads():
    logits, wanted = torch.tensor([[2.0, -1.0], [0.5, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    linear = Head(2)
    assert label_loss(logits, wanted, linear) == F.cross_entropy(logits, torch.tensor([0, 1]))
    each = label_loss(logits, wanted, replace(linear, scores="sigmoid"))
    torch.testing.assert_close(each, F.softplus(torch.tensor([-2.0, -1.0, 0.5, -1.0])).sum() / 2)
    arc = replace(linear, output="arcface", scale=4.0)
    assert label_loss(logits, wanted, arc, 0.3) > label_loss(logits, wanted, arc, 0.0)


def test_a_teacher_that_says_the_same_teaches_nothing():
    ours = torch.randn(5, 7, generator=draw()).requires_grad_()
    assert taught_loss(ours, ours.detach() + 3.0, 2.0).item() == pytest.approx(0, abs=1e-6)
    other = torch.randn(5, 7, generator=draw(1))
    sizes = [torch.autograd.grad(taught_loss(ours, other, t), ours)[0].norm().item() for t in (2.0, 20.0)]
    assert 0.3 < sizes[1] / sizes[0] < 3  # T squared: the temperature does not decide how much is learned


def test_the_rate_rises_and_falls():
    rates = [rising_and_falling(i / 100, 0.1) for i in range(101)]
    assert max(rates) == pytest.approx(1) and rates.index(max(rates)) == 10 and rates[-1] < 0.02
    assert rising_and_falling(0.0, 0.0) == pytest.approx(1)


# --- what is learned --------------------------------------------------------------------------------------


def test_it_learns_and_what_is_written_loads(tmp_path):
    patient = replace(SMALL, augment="none", epochs=20, rate=3e-3)  # norms' running means take their time
    rows = train(patient, Tones(), tmp_path / "out", tmp_path / "kept")
    assert max(row["valid"] for row in rows) > 0.9 > 0.5 > 0.34
    models = load_models(tmp_path / "out")
    assert models.labels == Tones.labels and models.config.architecture == "tiny"
    task = Tones()
    known = evaluation.heard(models, task, "valid", tmp_path / "kept")
    given = evaluation.scores(models, known)
    audio = np.stack([one for one, _ in task.sounds("valid", RATE, SECONDS)])
    with torch.inference_mode():
        whole = models.classifier(torch.from_numpy(audio))[0].numpy()
    np.testing.assert_allclose(given, whole, atol=1e-5)
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["labels"] == list(Tones.labels)


@pytest.mark.parametrize("more", [{}, {"augment": "once", "head": "cosine"}, {"takes": 2, "head": "arcface"}])
def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, more):
    recipe = replace(SMALL, epochs=2, **more)
    whole = ClassifierTraining(recipe, Tones(4))
    run(whole, tmp_path / "whole" / "model.safetensors", Budget(whole.steps))
    for stop in (1, 2):
        part = ClassifierTraining(recipe, Tones(4))
        budget = Budget(part.steps)
        step = part.step

        def once(i, progress, step=step, stop=stop):
            if i == stop:
                raise KeyboardInterrupt
            return step(i, progress)

        part.step = once
        path = tmp_path / "parts" / "model.safetensors"
        if stop < part.steps:
            with pytest.raises(KeyboardInterrupt):
                run(part, path, budget)
    rest = ClassifierTraining(recipe, Tones(4))
    run(rest, path, Budget(rest.steps))
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name]), name


def test_it_ends_when_nothing_gets_better(tmp_path):
    class Stuck(ClassifierTraining):
        def check(self):
            return {"score": 1.0}

    stuck = Stuck(replace(SMALL, epochs=20), Tones(4))
    rows = run(stuck, tmp_path / "model.safetensors", Budget(stuck.steps, patience=3))
    assert len(rows) == 4 and rows[-1]["step"] < stuck.steps
    again = run(stuck, tmp_path / "model.safetensors", Budget(stuck.steps, patience=3))
    assert len(again) == 4  # nor does it begin again


def test_epochs_see_every_clip_in_another_order():
    training = ClassifierTraining(replace(SMALL, augment="none"), Tones())
    n = training.steps_an_epoch
    assert n == 3 and training.steps == 30
    first, second = (torch.cat([training.batch(i)[0] for i in range(e * n, e * n + n)]) for e in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first.sum((1, 2, 3)).sort().values, second.sum((1, 2, 3)).sort().values)


def test_a_teacher_is_followed(tmp_path):
    train(SMALL, Tones(), tmp_path / "teacher")
    recipe = replace(SMALL, teacher=str(tmp_path / "teacher"), alpha=1.0, seed=9)
    written = portable(ClassifierTraining(recipe, Tones()).settings, tmp_path / "runs" / "mine")
    assert written["teacher"] == "../../teacher" and written["start"] == ""
    training = ClassifierTraining(recipe, Tones())
    pictures = training.held_out["valid"].pictures

    def apart():
        training.network.eval()
        with torch.no_grad():
            ours, theirs = (logits_of(one, pictures) for one in (training.network, training.teacher))
        return taught_loss(ours, theirs, 1.0).item()

    before = apart()
    for step in range(12):
        training.step(step, 0.3)
    assert apart() < 0.7 * before
    with refused("labels"):
        ClassifierTraining(recipe, type("Other", (Tones,), {"labels": ("a", "b", "c")})())


def test_going_on_from_a_public_file(tmp_path):
    config = shape("MobileNetV1", 8000)
    path = write_panns(tmp_path / "MobileNetV1_mAP=0.4.pth", random_classifier(config))
    recipe = replace(SMALL, start=str(path), epochs=1, batch=4, augment="none")
    training = ClassifierTraining(recipe, Tones(2))
    source = load_models(path).classifier.network
    assert torch.equal(training.network.hidden.weight, source.hidden.weight)
    assert training.network.out.weight.shape == (3, 10)
    training.step(0, 0.5)
    assert not torch.equal(training.network.hidden.weight, source.hidden.weight)
    training.save(tmp_path / "mine" / "model.safetensors")
    mine = load_models(tmp_path / "mine")
    assert mine.config.front.sample_rate == 8000 and mine.labels == Tones.labels


# --- what it learns from ----------------------------------------------------------------------------------


def test_so_many_of_a_species_as_were_asked_for():
    few = Chorus({"train": 1, "valid": 2})
    found = {split: list(few.sounds(split, 16000, SECONDS)) for split in ("train", "valid")}
    assert [len(found[split]) for split in ("train", "valid")] == [12, 24]
    assert few.key("train") != Chorus({"train": 2}).key("train") and few.key("test") == Chorus().key("test")


def test_pictures_are_kept_until_something_changes(tmp_path, monkeypatch):
    ear = load_models(
        write_panns(tmp_path / "Cnn14_8k_mAP=1.pth", random_classifier(shape("Cnn14", 8000)))
    ).classifier.front
    first = clips(Tones(2), "train", ear, 8000, 1.0, tmp_path / "kept")
    monkeypatch.setattr(Tones, "sounds", lambda *_: 1 / 0)
    again = clips(Tones(2), "train", ear, 8000, 1.0, tmp_path / "kept")
    assert torch.equal(first.pictures, again.pictures) and torch.equal(first.labels, again.labels)
    ear.mel.data *= 2
    with pytest.raises(ZeroDivisionError):
        clips(Tones(2), "train", ear, 8000, 1.0, tmp_path / "kept")


def test_ones_own_recordings(recordings):
    task = Folder(recordings)
    assert task.labels == ("high", "low", "middle")
    train_files, valid = ({path for path, _ in task.files[split]} for split in ("train", "valid"))
    assert len(train_files) == 15 and len(valid) == 3 and not train_files & valid and not task.has("test")
    made = list(task.sounds("train", RATE, 0.5))
    assert len(made) == 15 * 5 and all(one.shape == (8000,) for one, _ in made)
    longer = list(task.sounds("train", RATE, 4.0))
    assert len(longer) == 15 and (longer[0][0][45000:] == 0).all()


def test_splits_that_folders_say(recordings, tmp_path):
    for split in ("train", "shifted"):
        (tmp_path / "four").mkdir(exist_ok=True)
        (tmp_path / "four" / split).symlink_to(recordings)
    task = Folder(tmp_path / "four")
    assert task.has("shifted") and not task.has("valid") and len(task.files["train"]) == 18


def test_folders_that_hold_nothing(tmp_path, recordings):
    with refused("no directory"):
        Folder(tmp_path / "none")
    with refused("a folder a class"):
        Folder(recordings / "low")


# --- scores -----------------------------------------------------------------------------------------------


def test_metrics_by_hand():
    scores = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    found = metrics(scores, np.array([0, 1, 1, 2]))
    assert found.accuracy == 0.75 and found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found.precision == pytest.approx((0.5 + 1 + 1) / 3) and found.recall == pytest.approx(
        (1 + 0.5 + 1) / 3
    )
    assert found.f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.average_precision == pytest.approx(1.0)
    assert found.calibration == pytest.approx((0.1 + 0.6 + 0.3 + 0.6) / 4)


def test_average_precision_of_equal_scores_is_chance():
    is_true = np.array([True, False, False, True])
    assert average_precision(np.zeros(4), is_true) == 0.5
    assert average_precision(np.array([3.0, 2, 1, 0]), is_true) == pytest.approx((1 + 0.5) / 2)
    assert math.isnan(average_precision(np.zeros(3), np.zeros(3, bool)))


def test_confidence_that_keeps_its_word():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 20000)
    labels = (rng.uniform(size=20000) > sure).astype(int)
    scores = np.stack([sure, 1 - sure], 1)
    assert calibration_error(scores, labels) < 0.02
    assert calibration_error(np.tile([1.0, 0.0], (4, 1)), np.array([0, 1, 0, 1])) == pytest.approx(0.5)


def test_the_test_is_what_was_frozen(monkeypatch):
    assert frozen.source_hash() == frozen.SOURCE, "data/chorus has changed: freeze its test anew, score anew"
    monkeypatch.setattr(frozen, "SOURCE", "other")
    with refused("frozen"):
        evaluation.check_frozen()


# --- the commands -----------------------------------------------------------------------------------------


def test_train_and_evaluate_from_the_command_line(recordings, tmp_path, capsys):
    out = tmp_path / "runs" / "mine"
    own = ["--data", str(recordings), "--cache", str(tmp_path / "kept")]
    small = ["--model", "tiny", "--epochs", "8", "--batch", "4", "--seeds", "2", "--rate", "1e-2"]
    assert main([*small, *own, "--out", str(out)]) == 0
    assert sorted(one.name for one in out.iterdir()) == ["seed_0", "seed_1"]
    table, numbers = tmp_path / "scores.md", tmp_path / "scores.json"
    places = ["--checkpoints", str(tmp_path / "runs"), "--markdown", str(table), "--json", str(numbers)]
    assert evaluation.main([*places, *own, "--splits", "train", "valid", "test"]) == 0
    said = capsys.readouterr().out
    assert "| mine |" in table.read_text() and "±" in said and table.read_text() in said
    found = json.loads(numbers.read_text())
    assert [(one["split"], one["seed"]) for one in found] == [
        ("train", 0),
        ("train", 1),
        ("valid", 0),
        ("valid", 1),
    ]
    assert np.sum(found[-1]["confusion"]) == 3


def test_every_setting_is_an_option():
    given = [
        "--out",
        "x",
        "--model",
        "ghost",
        "--rate",
        "0.5",
        "--warm-up",
        "0",
        "--bfloat16",
        "--teacher",
        "t",
    ]
    recipe = recipe_of(parser().parse_args(given))
    assert recipe == Recipe(model="ghost", rate=0.5, warm_up=0.0, bfloat16=True, teacher="t")


@pytest.mark.parametrize(
    "wrong",
    [["--model", "resnet"], ["--epochs", "0"], ["--data", "nowhere"], ["--alpha", "2", "--teacher", "t"]],
)
def test_what_a_user_can_mend(tmp_path, capsys, wrong, monkeypatch):
    monkeypatch.setattr(backgrounds, "weather", lambda *_: 1 / 0)
    assert main(["--out", str(tmp_path / "out"), *wrong]) == 2
    assert capsys.readouterr().err.startswith("error:") and not (tmp_path / "out").exists()


def test_nothing_to_evaluate(tmp_path):
    with refused("no classifier"):
        evaluation.checkpoints([tmp_path])


# --- few bits ---------------------------------------------------------------------------------------------


def test_training_with_rounding_from_the_command_line(recordings, tmp_path, capsys):
    own = ["--data", str(recordings), "--cache", str(tmp_path / "kept")]
    small = ["--model", "tiny", "--epochs", "8", "--batch", "4", "--rate", "1e-2", "--augment", "none"]
    assert main([*small, *own, "--out", str(tmp_path / "float")]) == 0
    given = ["--checkpoints", str(tmp_path / "float"), "--out", str(tmp_path / "small"), *own]
    assert rounding.main([*given, "--weights", "4", "--epochs", "2", "--augment", "none"]) == 0
    said = json.loads((tmp_path / "small" / "settings.json").read_text())
    assert said["weights"] == 4 and said["split"] == "valid" and 0 <= said["rounded"] <= 1
    models = rounding.load_rounded(tmp_path / "small")
    audio = next(iter(Tones(1).sounds("x", RATE, SECONDS)))[0]
    with torch.no_grad():
        ours = models.classifier(torch.from_numpy(audio)[None])[0]
    theirs = Pipeline.open(tmp_path / "small" / "bundle").scores(audio, RATE)
    np.testing.assert_allclose(theirs, ours, atol=0.1)
    said_too = capsys.readouterr().out
    assert "in_float" in said_too and "in 15 of 15 clips" in said_too
    (tmp_path / "small" / "bits.json").write_text("{}")
    with refused("damaged"):
        rounding.load_rounded(tmp_path / "small")


def test_what_eight_bits_cost(tmp_path, monkeypatch):
    monkeypatch.setattr(bits, "times_as_fast", lambda first, second: 1.0)
    own.save(tmp_path / "small", random_classifier(family("tiny", 3)), Tones.labels)
    found = bits.cost("small", tmp_path / "small", Tones(4), "valid", tmp_path)
    assert found.ear > 500_000 and found.sizes[1] < found.sizes[0] and found.agree > 0.8 and found.ratio == 1
    assert all(0 <= one <= 1 for one in found.right)
    page = bits.report([found], "valid", "tones")
    assert f"| small | {found.sizes[0] / 1000:.0f} kB |" in page and "| 1.00 |" in page


# --- the ear's mistakes, and nights -----------------------------------------------------------------------


def test_a_mistake_changes_what_is_heard_and_the_right_ear_does_not():
    classifier = random_classifier(family("tiny", 3))
    audio = torch.from_numpy(np.stack([one for one, _ in Tones(1).sounds("x", RATE, SECONDS)]))
    heard = {name: hears(classifier, audio) for name, hears in mistakes.MISTAKES.items()}
    right = heard.pop("as trained")
    assert torch.equal(right, pictured(audio, classifier.front)) and len(heard) == 12
    for name, picture in heard.items():
        assert picture.shape[:2] == right.shape[:2] and picture.isfinite().all(), name
        same = picture.shape == right.shape
        assert not same or (picture - right).abs().mean() > 0.05, name
    named = {name: one.mean((0, 1, 2)) for name, one in heard.items()}
    peak = right[2].mean((0, 1)).argmax()  # the high tone, read at another rate, lies lower
    assert heard["22.05 kHz fed as 16 kHz"][2].mean((0, 1)).argmax() < peak
    assert named["a microphone of 8 kHz"][-5:].mean() < right.mean((0, 1, 2))[-5:].mean() - 10


def test_thresholds_by_species_are_where_events_are_best():
    true = [Event(10.0 * i, 10.0 * i + 2, i % 2) for i in range(20)]
    starts = np.arange(0, 200, 0.5)
    scores = np.full((len(starts), 2), 0.3)
    for one in true:
        scores[(starts > one.start - 1) & (starts < one.end - 1), one.label] = 0.6 if one.label else 0.92
    scores[::37, 0] = 0.7  # nothing sings there
    heard = nights.Listening(starts, scores, true, 200.0, 0.1)
    counts = nights.curve(heard, 2.0)
    best = nights.best_thresholds(counts)
    assert 0.7 < best[0] <= 0.92 and 0.3 < best[1] <= 0.6
    found = nights.found_events(heard, 2.0, best)
    np.testing.assert_allclose(nights.rates(found), 1.0)
    assert (counts[..., 2] == 10).all() and counts[0, 0, 1] <= counts[0, 0, 0]
    with_one = nights.report("x", heard, found, best, counts)
    assert "| all |  | 20 | 20 | 20 | 20 | 100.0 | 100.0 | 100.0 |" in with_one
