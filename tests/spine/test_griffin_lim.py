"""Sound from magnitudes: the phases agree in the end, and what was said is understood."""

import numpy as np

from data.speech.voice import Speaker, say
from data.world.items import item
from helpers.audio.griffin_lim import from_mel, griffin_lim, spectra
from helpers.layers.spectrogram import mel_bands
from workshop.scoring.listener import Listener


def test_a_sound_from_its_magnitudes_is_understood_again():
    one = item("test", 3)
    audio = say(one.answer, Speaker(), np.random.default_rng(0)).audio
    audio = audio[: len(audio) // 160 * 160]
    magnitudes = np.abs(spectra(audio, 512, 160))
    made = griffin_lim(magnitudes, 160)
    assert len(made) == len(audio)
    apart = np.abs(np.abs(spectra(made, 512, 160)) - magnitudes).mean()
    noise = np.abs(np.abs(spectra(griffin_lim(magnitudes, 160, rounds=0), 512, 160)) - magnitudes).mean()
    assert apart < 0.5 * noise
    assert Listener()(made) == one.answer.split()


def test_magnitudes_that_give_these_bands():
    bands = mel_bands(16000, 512, 80, 50, 7600).astype(float)
    power = bands.T @ np.random.default_rng(0).random((257, 7))
    found = from_mel(power, bands)
    assert (found >= 0).all()
    assert np.abs(10 * np.log10(bands.T @ found**2 / power)).mean() < 0.05, "decibels"
