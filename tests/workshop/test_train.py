"""Training: the loop that resumes, the quantizer's start, the written checkpoint; on made-up sound."""

import csv
import dataclasses
import math
import os
import signal

import numpy as np
import pytest
import torch

from helpers import audio, checkpoints
from helpers.audio.distance import si_sdr, snr
from helpers.support.errors import InputError
from helpers.vampnet.codec import CodecConfig
from helpers.vampnet.weights import transfer_codec, walk_codec
from workshop.training import loop, losses, music, spectrum
from workshop.training.collect import Collect
from workshop.training.loop import Budget, run
from workshop.vampnet.training import command as command
from workshop.vampnet.training import decoder, ties
from workshop.vampnet.training.codec import CodecTraining, Recipe, learning_rate, trainable_codec
from workshop.vampnet.training.quantizing import (
    Revival,
    coarse_held,
    draw_depths,
    hold_coarse_projections,
    initialize,
    quantize,
    spherical_kmeans,
)
from workshop.vampnet.training.saving import save_codec

TINY = Recipe(
    sample_rate=8000, encoder_dim=4, encoder_rates=(4, 8), decoder_dim=16, decoder_rates=(8, 4),
    n_codebooks=3, codebook_size=32, codebook_dim=4, n_coarse=1, coarse_channels=4, batch=4, frames=40,
    warm_up=5, rate=3e-3, kernels=4.0, layout_frames=400, check_clips=2, check_seconds=0.5,
)  # fmt: skip


def chords(seconds, seed, rate=8000):
    """Decaying chords, one every quarter of a second."""
    rng, t = np.random.default_rng(seed), np.arange(rate // 4) / rate
    notes = [
        sum(np.sin(2 * np.pi * pitch * t) for pitch in rng.uniform(100, 900, 3)) * np.exp(-6 * t)
        for _ in range(4 * seconds)
    ]
    return np.concatenate(notes).astype(np.float32) * 0.1


def write_music(folder, seconds):
    """A folder with train/ (so many seconds) and valid/."""
    for split, length in (("train", seconds), ("valid", 3)):
        audio.save(folder / split / "piece.flac", chords(length, length)[None], 8000)
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_music(tmp_path_factory.mktemp("music"), 8)


@pytest.fixture(scope="module")
def trained(sounds, tmp_path_factory):
    """A short run to its end: the training, its folder and its rows."""
    out = tmp_path_factory.mktemp("run")
    training = CodecTraining(TINY, sounds)
    return training, out, run(training, out / "codec.pth", Budget(steps=60))


class Counting:
    """Stands in for a training: adds up what each step draws, and scores what it is told to."""

    def __init__(self, scores=(), interrupt_at=None, settings=None):
        self.settings = settings or {"width": 1}
        self.scores, self.interrupt_at = list(scores), interrupt_at
        self.total, self.checks, self.saved = 0.0, 0, []

    def step(self, step, progress):
        self.total += np.random.default_rng((0, step)).random() * (1 + progress)
        if step == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
            self.total += 1e-3  # the rest of the step
        return {"loss": self.total}

    def check(self):
        self.checks += 1
        return {"score": self.scores[self.checks - 1]} if self.scores else {}

    def save(self, path):
        self.saved.append(self.checks)

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def metrics(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- The loop ---------------------------------------------------------------------------------------------


def test_an_interrupted_run_ends_its_step_and_goes_on_where_it_was(tmp_path, heard):
    whole = Counting()
    run(whole, tmp_path / "whole" / "x.pth", Budget(steps=30))
    with pytest.raises(KeyboardInterrupt):
        run(Counting(interrupt_at=12), tmp_path / "parts" / "x.pth", Budget(steps=30))
    second = Counting()
    rows = run(second, tmp_path / "parts" / "x.pth", Budget(steps=30))
    assert second.total == pytest.approx(whole.total + 1e-3, abs=1e-12)
    assert [row["step"] for row in rows] == [
        int(row["step"]) for row in metrics(tmp_path / "whole" / "x.csv")
    ]


def test_after_a_run_ctrl_c_is_what_it_was(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    run(Counting(), tmp_path / "x.pth", Budget(steps=2))
    assert signal.getsignal(signal.SIGINT) is before


def test_only_the_best_is_kept(tmp_path):
    training = Counting(scores=[3.0, 2.0, 2.5, 1.0])
    run(training, tmp_path / "x.pth", Budget(steps=4))
    assert training.saved == [1, 2, 4]


def test_the_best_score_survives_a_pause(tmp_path):
    run(Counting(scores=[1.0]), tmp_path / "x.pth", Budget(steps=1))
    later = Counting(scores=[2.0, 0.5])
    run(later, tmp_path / "x.pth", Budget(steps=3))
    assert later.saved == [2]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = run(Counting(), tmp_path / "x.pth", Budget(steps=5))
    again = Counting()
    assert run(again, tmp_path / "x.pth", Budget(steps=5)) == first
    assert again.checks == 0


def test_nothing_is_saved_without_a_score(tmp_path):
    training = Counting()
    run(training, tmp_path / "x.pth", Budget(steps=4))
    assert training.saved == []


def test_a_state_of_other_settings_is_refused(tmp_path):
    run(Counting(), tmp_path / "x.pth", Budget(steps=2))
    with pytest.raises(InputError, match="width 1, not 2"):
        run(Counting(settings={"width": 2}), tmp_path / "x.pth", Budget(steps=4))


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / "x.state").write_bytes(b"not a state")
    with pytest.raises(InputError, match="remove it"):
        run(Counting(), tmp_path / "x.pth", Budget(steps=2))


@pytest.mark.parametrize("part", ["training", "position"])
def test_a_state_that_is_damaged_inside_is_named(part, tmp_path):
    run(Counting(), tmp_path / "x.pth", Budget(steps=2))
    state = torch.load(tmp_path / "x.state", weights_only=True)
    torch.save(state | {part: {"nonsense": 1}}, tmp_path / "x.state")
    with pytest.raises(InputError, match="remove it"):
        run(Counting(), tmp_path / "x.pth", Budget(steps=4))


def test_minutes_count_training_only():
    budget = Budget(minutes=2)
    assert [budget.progress(1, seconds) for seconds in (0, 60, 120, 180)] == [0, 0.5, 1, 1]


@pytest.mark.parametrize("given", [{}, {"steps": 3, "minutes": 1.0}, {"steps": 0}, {"minutes": -1.0}])
def test_a_budget_is_one_positive_number(given):
    with pytest.raises(InputError):
        Budget(**given)


# --- Music and losses -------------------------------------------------------------------------------------


def test_segments_follow_from_the_seed_and_lie_in_the_music():
    pieces = [np.linspace(0.1, 0.2, 50, dtype=np.float32), np.linspace(0.3, 0.4, 10, dtype=np.float32)]
    one, same, other = (
        music.Segments(pieces, 20).draw(np.random.default_rng(seed), 40)[0] for seed in (1, 1, 2)
    )
    assert one.shape == (40, 1, 20) and np.array_equal(one, same) and not np.array_equal(one, other)
    shape = one / one[..., :1]
    assert np.all(np.diff(shape) > 0) and np.all(shape[..., -1] < 1.5)  # one piece's slope at any level
    assert len(np.unique(one[:, 0, 0])) > 20


def test_every_segment_has_a_level_of_its_own():
    flat = [np.full(100, 0.1, np.float32)]
    drawn, _ = music.Segments(flat, 5).draw(np.random.default_rng(0), 200)
    levels = 20 * np.log10(drawn[:, 0, 0] / 0.1)
    assert music.QUIETEST <= levels.min() < music.QUIETEST + 1 and len(np.unique(levels)) > 150
    assert music.LOUDEST - 1 < levels.max() <= music.LOUDEST


def test_clips_come_from_every_piece_and_lie_inside_it():
    pieces = [np.full(50, 1, np.float32), np.full(10, 2, np.float32), np.arange(100, 180, dtype=np.float32)]
    found = music.clips(pieces, 5, 20)
    assert found.shape == (5, 1, 20) and np.array_equal(found, music.clips(pieces, 5, 20))
    assert found[:, 0, 0].tolist() == [1, 115, 1, 130, 1]
    with pytest.raises(InputError, match="200 samples"):
        music.clips(pieces, 2, 200)


def test_music_shorter_than_a_segment_is_refused():
    with pytest.raises(InputError, match="20 samples"):
        music.Segments([np.zeros(10, np.float32)], 20)


@pytest.mark.parametrize("hard, share", [(0.0, 0.5), (2.0, 0.8)])
def test_pieces_that_are_rebuilt_badly_are_drawn_more_often(hard, share):
    segments = music.Segments([np.zeros(100, np.float32), np.ones(100, np.float32)], 10, hard)
    for _ in range(40):
        segments.note(np.array([0, 1]), np.array([0.3, 0.6]))
    drawn, chosen = segments.draw(np.random.default_rng(0), 2000)
    assert (chosen == 1).mean() == pytest.approx(share, abs=0.04)
    assert np.array_equal(drawn[:, 0, 0] > 0, chosen == 1)


def test_a_folder_without_music_is_named(tmp_path):
    with pytest.raises(InputError, match="no FLAC"):
        music.pieces(tmp_path, 8000)


def test_log_mel_counts_decades():
    mel = losses.LogMel(8000, 512, 128, 20)
    sound = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    assert mel(sound, sound) == 0
    assert mel(sound, 0.1 * sound) == pytest.approx(1.0, abs=1e-3)
    assert mel(torch.zeros(1, 1, 8000), 1e-9 * sound) == 0  # both below the floor


def test_gradients_of_silence_are_finite():
    silence = torch.zeros(1, 1, 4096, requires_grad=True)
    losses.MultiScaleMel(8000)(silence, torch.ones(1, 1, 4096)).sum().backward()
    assert silence.grad.isfinite().all()


def test_si_sdr_ignores_the_level_and_snr_does_not():
    rng = np.random.default_rng(0)
    target, noise = (torch.from_numpy(rng.standard_normal((2, 1, 4000))) for _ in range(2))
    estimate = target + 0.1 * noise
    assert si_sdr(0.5 * estimate, target) == pytest.approx([20, 20], abs=0.5)
    assert snr(estimate, target) == pytest.approx([20, 20], abs=0.5)
    assert snr(0.5 * estimate, target) == pytest.approx([6, 6], abs=0.5)


# --- The quantizer ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frames():
    """(n, 16) with most variance in a few directions, off the origin: like an encoder's."""
    generator = torch.Generator().manual_seed(3)
    spread = torch.linspace(3, 0.1, 16)
    return torch.randn(1500, 16, generator=generator) * spread + torch.arange(16.0) / 8


@pytest.fixture(scope="module")
def started(frames):
    """A quantizer laid out over those frames."""
    quantizer = trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)).quantizer
    initialize(quantizer, frames, torch.Generator().manual_seed(0), 1, 4)
    return quantizer


def depths(n, count=1):
    return torch.full((count,), n)


def test_the_layout_uses_nearly_every_code_of_every_book(started, frames):
    codes = quantize(started, frames.T[None], depths(3)).codes[0]
    assert all(len(book.unique()) >= 0.9 * TINY.codebook_size for book in codes)


def test_each_book_of_the_layout_brings_the_frames_nearer(started, frames):
    whole = frames.T[None]
    errors = [(quantize(started, whole, depths(n)).frames - whole).square().mean() for n in range(4)]
    assert errors[1] < 0.6 * errors[0] and errors[2] < errors[1] and errors[3] < errors[2]


def test_the_layout_tells_loud_from_quiet_frames_of_one_direction(frames):
    quantizer = trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)).quantizer
    centred = frames - frames.mean(0)
    initialize(
        quantizer, torch.cat([centred, 0.1 * centred, -centred]), torch.Generator().manual_seed(0), 1, 16
    )
    loud, quiet = centred[:100].T[None], 0.1 * centred[:100].T[None]
    rebuilt = quantize(quantizer, quiet, depths(3)).frames
    assert (rebuilt - quiet).norm() < 0.5 * loud.norm()
    assert not torch.equal(quantizer.encode(loud)[:, 0], quantizer.encode(quiet)[:, 0])


def test_kmeans_finds_directions():
    directions = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    generator = torch.Generator().manual_seed(0)
    points = directions.repeat(50, 1) * 2 + 0.01 * torch.randn(150, 2, generator=generator)
    rows = spherical_kmeans(points, 3, generator)
    assert torch.cdist(2 * directions, rows).min(1).values.max() < 0.02


def test_kmeans_of_fewer_points_than_rows():
    rows = spherical_kmeans(torch.eye(4), 10, torch.Generator().manual_seed(0))
    assert rows.shape == (10, 4) and rows.isfinite().all()


def test_training_and_inference_choose_the_same_codes(started, frames):
    quantized = quantize(started, frames.T[None], depths(3))
    assert torch.equal(quantized.codes, started.encode(frames.T[None]))
    assert torch.allclose(quantized.frames, started.decode(quantized.codes), atol=1e-4)


def test_unused_books_say_nothing_and_learn_nothing(started, frames):
    some = frames[:40].T[None].repeat(2, 1, 1)
    quantized = quantize(started, some, torch.tensor([1, 3]))
    alone = quantize(started, some[:1], depths(1))
    assert torch.allclose(quantized.frames[:1], alone.frames)
    assert not torch.allclose(quantized.frames[0], quantized.frames[1])
    gradients = torch.autograd.grad(
        alone.frames.sum() + alone.codebook_loss + alone.commitment_loss,
        [book.codebook for book in started.quantizers],
    )
    assert [bool(gradient.any()) for gradient in gradients] == [True, False, False]


def test_gradients_pass_straight_through(started, frames):
    some = frames[:40].T[None].clone().requires_grad_()
    book = started.quantizers[0]
    (passed,) = torch.autograd.grad(quantize(started, some, depths(1)).frames.sum(), some)
    linear = book.out_proj(book.in_proj(some)).sum()
    (expected,) = torch.autograd.grad(linear, some)
    assert torch.allclose(passed, expected, atol=1e-5)


def test_codebook_loss_moves_the_rows_and_commitment_the_encoder(started, frames):
    some = frames[:40].T[None].clone().requires_grad_()
    for loss, moves in (("codebook_loss", "rows"), ("commitment_loss", "encoder")):
        value = getattr(quantize(started, some, depths(1)), loss)
        rows, encoder = torch.autograd.grad(value, [started.quantizers[0].codebook, some], allow_unused=True)
        assert (rows is not None and bool(rows.any())) == (moves == "rows")
        assert (encoder is not None and bool(encoder.any())) == (moves == "encoder")


def test_what_is_rebuilt_never_teaches_the_coarse_channels(started, frames):
    some = frames[:40].T[None].clone().requires_grad_()
    for depth in (1, 3):
        quantized = quantize(started, coarse_held(some, 4), depths(depth))
        loss = quantized.frames.square().sum() + quantized.commitment_loss
        (gradient,) = torch.autograd.grad(loss, some)
        assert not gradient[:, :4].any() and bool(gradient[:, 4:].any()) == (depth == 3)


def test_a_coarse_book_keeps_its_projections_and_may_move_its_rows(frames):
    quantizer = trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)).quantizer
    initialize(quantizer, frames, torch.Generator().manual_seed(0), 1, 4)
    hold_coarse_projections(quantizer, 1)
    optimizer = torch.optim.Adam([p for p in quantizer.parameters() if p.requires_grad], 1e-2)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantized = quantize(quantizer, frames.T[None], depths(3))
    (quantized.codebook_loss + quantized.commitment_loss + quantized.frames.square().mean()).backward()
    optimizer.step()
    moved = {name for name, value in quantizer.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in moved if name.startswith("quantizers.0.")} == {"quantizers.0.codebook"}
    assert {"quantizers.1.in_proj.bias", "quantizers.1.out_proj.bias", "quantizers.1.codebook"} <= moved


def test_codes_that_nobody_uses_move_to_the_frames(frames):
    quantizer = trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)).quantizer
    initialize(quantizer, frames, torch.Generator().manual_seed(0), 1, 4)
    book, whole = quantizer.quantizers[1], frames.T[None]
    book.codebook.data[:20] = book.codebook[0] * 1.0  # one direction for twenty codes: nineteen are idle
    revival = Revival(quantizer)
    for _ in range(400):
        revival.note(quantize(quantizer, whole, depths(3)))
    before = quantize(quantizer, whole, depths(3))
    kept = [book.codebook.detach().clone() for book in quantizer.quantizers]
    moved = revival.move(before, torch.Generator().manual_seed(0))
    after = quantize(quantizer, whole, depths(3))
    assert 19 <= moved < 30
    assert len(after.codes[0, 1].unique()) >= len(before.codes[0, 1].unique()) + 15
    in_use = before.codes[0, 1].unique()
    often = in_use[torch.bincount(before.codes[0, 1])[in_use] > 20]
    assert torch.equal(quantizer.quantizers[1].codebook[often], kept[1][often])  # those in use stay
    assert revival.move(after, torch.Generator().manual_seed(1)) == 0


def test_quantizer_dropout_draws_every_depth_for_its_share_of_items():
    drawn = draw_depths(4000, 6, 2, 0.5, np.random.default_rng(0))
    counts = torch.bincount(drawn, minlength=7)[1:] / 4000
    fine = 0.25 / 4
    assert counts.tolist() == pytest.approx([0.125, 0.125, fine, fine, fine, 0.5 + fine], abs=0.03)
    assert set(draw_depths(100, 4, 2, 0.0, np.random.default_rng(0)).tolist()) == {4}


# --- The codec --------------------------------------------------------------------------------------------


def test_a_new_codec_lets_a_signal_through():
    torch.manual_seed(0)
    codec = trainable_codec(CodecConfig.from_kwargs(Recipe().kwargs))
    with torch.no_grad():
        frames = codec.encoder(torch.randn(1, 1, 768 * 8) * 0.1)
        rebuilt = codec.decoder(frames)
    assert 0.05 < frames.std() < 5 and 0.01 < rebuilt.std() < 1


def test_the_learning_rate_warms_up_falls_and_starts_again_low():
    rates = [learning_rate(Recipe(), step, step / 2000) for step in range(2001)]
    plain = round(2000 * Recipe.plain)
    assert rates[0] == pytest.approx(Recipe.rate / Recipe.warm_up)
    assert max(rates) > 0.9 * Recipe.rate
    assert rates[plain - 1] == pytest.approx(Recipe.rate_plain_end, rel=0.01)
    assert rates[plain] == pytest.approx(Recipe.rate_quantized) and rates[-1] == 0
    assert all(np.diff(rates[Recipe.warm_up :]) < 0)


def test_training_lowers_the_held_out_loss(trained):
    _, _, rows = trained
    plain = [TINY.waveform * row["waveform"] + TINY.mel * row["mel"] for row in rows if "score" not in row]
    quantized = [row["score"] for row in rows if "score" in row]
    assert plain[-1] < 0.9 * plain[0] and quantized[-1] < quantized[0]
    assert rows[-1]["si_sdr"] > rows[0]["si_sdr"] + 3


def test_the_metrics_are_a_table_with_a_line_a_check(trained):
    _, out, rows = trained
    table = metrics(out / "codec.csv")
    assert len(table) == len(rows) == loop.CHECKS
    assert {"step", "minutes", "loss", "snr", "si_sdr", "log_mel", "score", "fewest_codes"} <= set(table[0])
    assert table[0]["score"] == "" and float(table[-1]["score"]) == pytest.approx(rows[-1]["score"], rel=1e-3)
    assert all(math.isfinite(float(row["log_mel"])) for row in table)


def test_the_coarse_part_alone_is_not_asked_for_the_waveform(sounds, monkeypatch):
    """A waveform upside down sounds the same: only items with fine codebooks pay for it."""
    training = CodecTraining(dataclasses.replace(TINY, spectrum=0.0), sounds)
    sound, losses_of = torch.from_numpy(training.segments.draw(np.random.default_rng(0), TINY.batch)[0]), {}
    for depth in (1, 3):
        monkeypatch.setattr(
            "workshop.vampnet.training.codec.draw_depths", lambda *_, depth=depth: depths(depth, 4)
        )
        monkeypatch.setattr(training.segments, "draw", lambda *_: (sound.numpy(), np.zeros(4, int)))
        monkeypatch.setattr(training, "_rebuild", lambda *_: ((-sound).requires_grad_(), None))
        monkeypatch.setattr(training.optimizer, "step", lambda rate: None)
        monkeypatch.setattr("workshop.vampnet.training.codec.nn.utils.clip_grad_norm_", lambda *_: None)
        losses_of[depth] = training.step(0, 0.0)["loss"]
    assert losses_of[1] == pytest.approx(0, abs=1e-4) and losses_of[3] > 0.5


def test_each_coarse_book_listens_to_its_share_of_the_coarse_channels(frames):
    quantizer = trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)).quantizer
    initialize(quantizer, frames, torch.Generator().manual_seed(0), 2, 6)
    heard = [book.in_proj.weight.detach().abs().sum((0, 2)) for book in quantizer.quantizers]
    assert heard[0][:3].min() > 0.1 and heard[0][3:].max() < 1e-3
    assert heard[1][3:6].min() > 0.1 and max(heard[1][:3].max(), heard[1][6:].max()) < 1e-3
    assert heard[2][6:].min() > 1e-3


def test_most_codes_are_in_use(trained):
    _, _, rows = trained
    assert rows[-1]["mean_codes"] > 0.5 * min(TINY.codebook_size, 32)


def test_a_resumed_run_is_the_uninterrupted_one(sounds, tmp_path):
    """Stopped once in the plain stage and once in the quantized one."""

    class Interrupted(CodecTraining):
        stop_at = None

        def step(self, step, progress):
            if step == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().step(step, progress)

    recipe = dataclasses.replace(TINY, batch=2, check_clips=1)
    whole = CodecTraining(recipe, sounds)
    rows = run(whole, tmp_path / "whole" / "codec.pth", Budget(steps=10))
    for stop_at in (2, 7):
        part = Interrupted(recipe, sounds)
        part.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            run(part, tmp_path / "parts" / "codec.pth", Budget(steps=10))
    last = CodecTraining(recipe, sounds)
    resumed = run(last, tmp_path / "parts" / "codec.pth", Budget(steps=10))
    assert [drop_minutes(row) for row in resumed] == [drop_minutes(row) for row in rows]
    for name, value in whole.codec.state_dict().items():
        assert torch.equal(value, last.codec.state_dict()[name]), name


def test_more_time_does_not_undo_the_quantizer(trained, sounds):
    """A finished run that gets a larger budget is suddenly early again: its progress falls."""
    training, _, _ = trained
    later = CodecTraining(TINY, sounds)
    later.load_state_dict(training.state_dict())
    later.step(60, 0.1)
    assert later.is_quantized
    assert later.optimizer.adam.param_groups[0]["lr"] == pytest.approx(TINY.rate_quantized)


def drop_minutes(row):
    return {name: value for name, value in row.items() if name != "minutes"}


def test_every_tensor_of_the_checkpoint_is_read_back_bit_for_bit(trained, tmp_path):
    training, _, _ = trained
    training.save(tmp_path / "codec.pth")
    checkpoint = checkpoints.read(tmp_path / "codec.pth")
    codec, report = transfer_codec(checkpoint)
    assert sorted(report.sources) == sorted(checkpoint.tensors) and not report.unused
    trained_values = sorted(value.double().sum().item() for value in training.codec.state_dict().values())
    assert trained_values == sorted(value.double().sum().item() for value in checkpoint.tensors.values())
    assert codec.config == training.config
    weights = dict(codec.named_parameters())
    for name, module in training.codec.named_modules():
        if hasattr(module, "parametrizations"):
            assert torch.allclose(weights[f"{name}.weight"], module.weight, rtol=1e-5, atol=1e-7), name


def test_the_transferred_codec_says_the_same(trained, tmp_path):
    training, _, _ = trained
    training.save(tmp_path / "codec.pth")
    codec, _ = transfer_codec(checkpoints.read(tmp_path / "codec.pth"))
    clip = torch.from_numpy(training.clips[:1])
    with torch.no_grad():
        frames = training.codec.encoder(clip)
        quantized = quantize(training.codec.quantizer, frames, depths(TINY.n_codebooks))
        rebuilt = training.codec.decoder(quantized.frames)
    assert torch.equal(codec.encode(clip), quantized.codes)
    assert torch.allclose(codec.decode(quantized.codes), rebuilt, atol=1e-5)


def test_the_names_are_those_of_the_public_checkpoints(golden_dir):
    public = checkpoints.read(golden_dir / "codec.pth")
    config = CodecConfig.from_kwargs(public.kwargs)
    collect = Collect(trainable_codec(config).state_dict())
    walk_codec(collect, config)
    assert {name: tensor.shape for name, tensor in collect.tensors.items()} == {
        name: tensor.shape for name, tensor in public.tensors.items()
    }


def test_half_the_bytes_cost_little(trained, tmp_path):
    training, _, _ = trained
    save_codec(tmp_path / "half.pth", training.codec, training.recipe.kwargs, torch.float16)
    half = checkpoints.read(tmp_path / "half.pth")
    assert {tensor.dtype for tensor in half.tensors.values()} == {torch.float16}
    codec, _ = transfer_codec(half)
    clip = torch.from_numpy(training.clips[:1])
    with torch.no_grad():
        codes = training.codec.encode(clip)
    assert (codec.encode(clip) == codes).float().mean() > 0.9


def test_the_command_says_what_is_missing_in_one_line(tmp_path, capsys):
    folders = ["--music", str(tmp_path), "--out", str(tmp_path / "out")]
    assert command.main(["codec", *folders, "--steps", "2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_training_goes_on_from_a_checkpoint(trained, sounds, tmp_path):
    training, _, _ = trained
    training.save(tmp_path / "codec.pth")
    quantized = dataclasses.replace(TINY, plain=0.0)
    later = CodecTraining(quantized, sounds, start=tmp_path / "codec.pth")
    assert later.check()["score"] == pytest.approx(training.check()["score"], rel=1e-3)
    with pytest.raises(InputError, match="another shape"):
        CodecTraining(dataclasses.replace(TINY, encoder_dim=8), sounds, start=tmp_path / "codec.pth")


def one_of_two(rank, folder):
    """A worker of the test below, in a process of its own."""
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    training = CodecTraining(TINY, folder / "music")
    run(training, folder / f"run{rank}" / "codec.pth", Budget(steps=8))
    torch.save(training.codec.state_dict(), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_workers_train_the_model_that_one_would(sounds, tmp_path):
    (tmp_path / "music").symlink_to(sounds)
    torch.multiprocessing.spawn(one_of_two, (tmp_path,), nprocs=2)
    alone = CodecTraining(TINY, sounds)
    rows = run(alone, tmp_path / "alone" / "codec.pth", Budget(steps=8))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not (tmp_path / "run1").exists()  # only the first one writes
    assert float(metrics(tmp_path / "run0" / "codec.csv")[-1]["score"]) == pytest.approx(
        rows[-1]["score"], rel=0.02
    )
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_decoder_can_go_on_alone_and_tokens_stay_the_same(trained, sounds, tmp_path):
    training, _, _ = trained
    save_codec(tmp_path / "codec.pth", training.codec, TINY.kwargs, torch.float16)
    recipe = dataclasses.replace(TINY, plain=0.0, decoder_only=True)
    later = CodecTraining(recipe, sounds, start=tmp_path / "codec.pth")
    before = {name: value.clone() for name, value in later.codec.state_dict().items()}
    for step in range(3):
        later.step(step, 0.0)
    changed = {name for name, value in later.codec.state_dict().items() if not value.equal(before[name])}
    assert changed and all(name.startswith("decoder.") for name in changed)
    later.dtype = torch.float16
    later.save(tmp_path / "later.pth")
    (codec, _), (codec_later, _) = (
        transfer_codec(checkpoints.read(tmp_path / name)) for name in ("codec.pth", "later.pth")
    )
    clip = torch.from_numpy(training.clips)
    codes = codec.encode(clip)
    assert torch.equal(codec_later.encode(clip), codes)
    assert not torch.equal(codec_later.decode(codes), codec.decode(codes))
    with pytest.raises(InputError, match="name one to begin with"):
        CodecTraining(recipe, sounds)


def test_a_decoder_taught_by_adversaries_keeps_tokens_and_resumes_bit_for_bit(trained, sounds, tmp_path):
    training, _, _ = trained
    save_codec(tmp_path / "codec.pth", training.codec, TINY.kwargs, torch.float16)
    recipe = decoder.Recipe(batch=2, frames=80, warm_up=1, n_coarse=1, check_clips=1, check_seconds=2.0)
    whole, first = (decoder.DecoderTraining(recipe, sounds, tmp_path / "codec.pth") for _ in range(2))
    for step in range(4):
        losses = whole.step(step, 0.1)
    for step in range(2):
        first.step(step, 0.1)
    torch.save(first.state_dict(), tmp_path / "state")
    resumed = decoder.DecoderTraining(recipe, sounds, tmp_path / "codec.pth")
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for step in range(2, 4):
        assert resumed.step(step, 0.1).keys() == losses.keys()
    for name, value in whole.mean.state_dict().items():
        assert torch.equal(value, resumed.mean.state_dict()[name]), name
    assert {"score", "linear_db", "buzz_db", "log_mel"} <= whole.check().keys()
    whole.save(tmp_path / "later.pth")
    before, after = (checkpoints.read(tmp_path / name).tensors for name in ("codec.pth", "later.pth"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("decoder.") for name in changed)


def test_an_encoder_can_learn_the_spectrum_alone(trained, sounds, tmp_path, monkeypatch):
    training, _, _ = trained
    save_codec(tmp_path / "codec.pth", training.codec, TINY.kwargs)
    recipe = dataclasses.replace(TINY, plain=0.0, encoder_only=True, rate_quantized=1e-3)
    later = CodecTraining(recipe, sounds, start=tmp_path / "codec.pth")
    before = {name: value.clone() for name, value in later.codec.state_dict().items()}
    scores = later.check()
    assert scores["forgotten"] == pytest.approx(0, abs=1e-6)
    assert scores["score"] == pytest.approx(TINY.spectrum * scores["spectrum"])
    same = later.segments.draw(np.random.default_rng(0), TINY.batch)
    monkeypatch.setattr(later.segments, "draw", lambda *_: same)
    found = [later.step(step, 0.0)["loss"] for step in range(25)]
    assert found[-1] < 0.95 * found[0]
    changed = {name for name, value in later.codec.state_dict().items() if not value.equal(before[name])}
    assert changed and all(name.startswith("encoder.") for name in changed)
    with pytest.raises(InputError, match="name one to begin with"):
        CodecTraining(recipe, sounds)


def test_the_spectrum_has_a_vector_a_frame_and_moves_with_the_sound(sounds):
    training = CodecTraining(TINY, sounds)
    slow, hop = training.spectrum, training.config.hop
    sound = torch.from_numpy(training.segments.draw(np.random.default_rng(1), 30)[0])
    one = slow(sound)
    assert one.shape == (30, TINY.coarse_channels, TINY.frames)
    middle = one[..., slow.edge : -slow.edge].transpose(0, 1).flatten(1)
    assert (
        middle.var(1).mean() == pytest.approx(spectrum.VARIANCE, rel=0.5) and middle.mean(1).abs().max() < 0.5
    )
    later = slow(sound[..., 5 * hop :])
    inner = 2 + slow.mel.n_fft // hop
    assert torch.allclose(later[..., inner:-inner], one[..., 5 + inner : -inner], atol=1e-3)
    assert slow.missed(one, sound) == 0 and slow.missed(torch.zeros_like(one), sound) == 1


def test_no_frame_of_a_clip_stays_between_two_rows(trained, tmp_path):
    training, _, _ = trained
    save_codec(tmp_path / "codec.pth", training.codec, TINY.kwargs, torch.float16)
    content = torch.load(tmp_path / "codec.pth", weights_only=True)
    clips = list(torch.from_numpy(training.clips).split(1))
    codec, _ = transfer_codec(checkpoints.read(tmp_path / "codec.pth"))
    often = int(torch.bincount(codec.encode(clips[0])[0, 1]).argmax())
    rows = content["state_dict"]["quantizer.quantizers.1.codebook.weight"]
    rows[(often + 1) % len(rows)] = rows[often]  # a tie wherever the most frequent row wins
    torch.save(content, tmp_path / "codec.pth")
    before = checkpoints.read(tmp_path / "codec.pth")
    codec, _ = transfer_codec(before)
    assert ties.close_calls(codec, codec.encoder(clips[0]))
    moved, close = ties.without_ties(tmp_path / "codec.pth", clips)
    assert moved >= 1 and close == 0
    after = checkpoints.read(tmp_path / "codec.pth")
    codec, _ = transfer_codec(after)
    exact = codec.double()
    assert not any(ties.close_calls(exact, exact.encoder(clip.double())) for clip in clips)
    changed = {name for name in before.tensors if not torch.equal(before.tensors[name], after.tensors[name])}
    assert "quantizer.quantizers.1.codebook.weight" in changed
    assert all(name.endswith("codebook.weight") for name in changed) and after.kwargs == before.kwargs
    assert {tensor.dtype for tensor in after.tensors.values()} == {torch.float16}


def test_a_written_file_carries_no_name_of_the_moment(trained, tmp_path):
    training, _, _ = trained
    for name in ("one.pth", "two.pth"):
        training.save(tmp_path / name)
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()
