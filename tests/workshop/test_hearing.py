"""Measures that hear noise, a buzz and blunt onsets; losses and adversaries for a decoder that has them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from workshop.__main__ import main
from workshop.scoring.hearing import (
    buzz_db,
    log_spectral_distance,
    noise_over_reference_db,
    onset_sharpness,
    partial_noise_db,
    pitch,
)
from workshop.scoring.perception import opinion
from workshop.training.discriminators import (
    Discriminators,
    discriminator_loss,
    feature_loss,
    generator_loss,
)
from workshop.training.spectra import LinearSpectra, spectrum
from workshop.vampnet.evaluation.hearing import Heard, report

RATE, FRAME_RATE = 44100, 44100 / 768
TIME = np.arange(2 * RATE) / RATE
NOTE = sum(np.sin(2 * np.pi * 220 * k * TIME) / k for k in range(1, 9)).astype(np.float32) / 8
NOISE = np.random.default_rng(0).standard_normal(len(TIME)).astype(np.float32)


def as_batch(heard):
    return torch.from_numpy(heard)[None, None]


def test_a_tone_has_its_own_level():
    tone = torch.sin(2 * torch.pi * 64 / 1024 * torch.arange(8192.0))[None, None]
    assert spectrum(tone, 1024)[0, 64, 8].abs().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("measure", [
    lambda heard: log_spectral_distance(heard, NOTE, RATE),
    lambda heard: LinearSpectra()(as_batch(heard), as_batch(NOTE)).log.item(),
    lambda heard: LinearSpectra()(as_batch(heard), as_batch(NOTE)).convergence.item(),
    lambda heard: -partial_noise_db(heard, RATE, 220),
])  # fmt: skip
def test_noise_between_partials_is_heard_and_more_of_it_more(measure):
    quiet, loud = NOTE + 1e-4 * NOISE, NOTE + 1e-2 * NOISE
    assert measure(NOTE) < measure(quiet) < measure(loud)


def test_a_rest_does_not_drown_what_sounds():
    rest, faint = torch.zeros(1, 1, 8192), 0.01 * as_batch(NOISE[:8192])
    assert LinearSpectra()(faint, rest).convergence < 1
    heard = rest.clone().requires_grad_()
    apart = LinearSpectra()(heard, rest)
    (apart.log + apart.convergence).sum().backward()
    assert heard.grad.isfinite().all()


def test_the_same_sound_is_at_no_distance():
    assert log_spectral_distance(NOTE, NOTE, RATE) == 0


@pytest.mark.parametrize("f0", [110.0, 233.1, 440.0, 987.8])
def test_the_pitch_of_a_note_is_found_and_of_anything_else_not(f0):
    note, other = (
        sum(np.sin(2 * np.pi * f * k * TIME[:8192] + k) / k for k in range(1, 12)) / 8
        for f in (f0, 1.618 * f0)  # far from any simple interval, whose two notes would repeat together
    )
    assert pitch(note, RATE) == pytest.approx(f0, rel=2e-3)
    assert pitch(note + other, RATE) is None
    assert pitch(note + 3 * NOISE[:8192], RATE) is None and pitch(0 * note, RATE) is None


@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_noise_over_the_reference_counts_decibels_and_no_level(gain):
    quiet, loud = NOTE + 1e-4 * NOISE, NOTE + 1e-2 * NOISE
    assert noise_over_reference_db(gain * loud, quiet, RATE) == pytest.approx(40, abs=1.5)
    assert noise_over_reference_db(gain * quiet, quiet, RATE) == pytest.approx(0, abs=1e-3)
    assert np.isnan(noise_over_reference_db(NOISE, NOISE, RATE))  # no note, no partials


def test_what_repeats_with_every_frame_is_a_buzz():
    seams = np.zeros_like(NOISE)
    seams[np.round(np.arange(0, len(NOISE), RATE / FRAME_RATE)).astype(int).clip(max=len(NOISE) - 1)] = 0.5
    clean = 0.01 * NOISE
    assert buzz_db(clean, RATE, FRAME_RATE) < 3 < buzz_db(clean + seams, RATE, FRAME_RATE) - 5
    assert buzz_db(clean + seams, RATE, FRAME_RATE * 1.37) < 5  # at another rate they are no multiples


def test_a_blunt_onset_is_heard():
    sharp = NOISE * np.exp(-20 * (TIME % 0.25))
    kernel = np.hanning(4001) / np.hanning(4001).sum()
    blunt = NOISE * np.convolve(np.exp(-20 * (TIME % 0.25)), kernel, "same")
    assert onset_sharpness(sharp, RATE) > 2 * onset_sharpness(blunt, RATE)


def test_adversaries_learn_to_tell_and_a_decoder_could_learn_from_them():
    torch.manual_seed(0)
    adversaries = Discriminators(windows=(512,), channels=4)
    optimizer = torch.optim.Adam(adversaries.parameters(), 1e-2)
    recorded = torch.from_numpy(NOTE[:8192])[None, None]
    decoded = (recorded + 0.05 * torch.from_numpy(NOISE[:8192])).requires_grad_()
    losses = []
    for _ in range(12):
        loss = discriminator_loss(adversaries(recorded), adversaries(decoded.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    opinions = adversaries(recorded), adversaries(decoded)
    (generator_loss(opinions[1]) + feature_loss(*opinions)).backward()
    assert decoded.grad.abs().sum() > 0 and decoded.grad.isfinite().all()
    assert feature_loss(opinions[0], opinions[0]).item() == 0 < feature_loss(*opinions).item()


def test_an_opinion_falls_with_noise_and_is_missing_without_its_package(monkeypatch):
    noisy = [NOTE + gain * NOISE for gain in (0, 0.01, 0.1)]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "zimtohrli", None)
        assert np.isnan(opinion(NOTE, NOTE, RATE))
    pytest.importorskip("zimtohrli")
    best, middle, worst = (opinion(heard, NOTE, RATE) for heard in noisy)
    assert 5 >= best > middle > worst >= 1


def test_means_leave_out_what_a_clip_does_not_have():
    rows = [Heard(name, (0.5, 1, 2, noise, 4, 5, 6, 7, np.nan)) for name, noise in (("a", 3), ("b", np.nan))]
    table = report(rows, Path("models/some"), {"another, mean": rows[:1]}).splitlines()
    noise = [line.split("|")[5].strip() for line in table if line.startswith("|")][2:]
    assert noise == ["3.0", "-", "3.0", "3.0"]


def test_the_command_writes_a_table(golden_dir, tmp_path, capsys):
    soundfile.write(tmp_path / "note.wav", 0.5 * np.tile(NOTE, 2), RATE)
    arguments = ["hearing", "vampnet", "--checkpoints", golden_dir, "--clips", tmp_path]
    assert main([*map(str, arguments), "--markdown", str(tmp_path / "heard.md")]) == 0
    assert capsys.readouterr().out == (tmp_path / "heard.md").read_text(encoding="utf-8")
    assert main(["hearing", "vampnet", "--clips", str(golden_dir)]) == 2
    assert "holds no clips" in capsys.readouterr().err
