"""The small world's music is what its facts say; the trainings learn, resume, and write what loads."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from data.music.dice import Dice
from helpers.musicgen.codec import Codec
from helpers.musicgen.files import recognises
from helpers.musicgen.reference import TorchPipeline
from workshop.musicgen.evaluation import listening
from workshop.musicgen.evaluation.command import in_scale, pieces
from workshop.musicgen.evaluation.listening import Ear
from workshop.musicgen.music import bars
from workshop.musicgen.music.compose import FRAME, LEADS, SCALES, TONICS, compose, render
from workshop.musicgen.music.instruments import PLAYERS, SAMPLE_RATE, note
from workshop.musicgen.music.words import DENSITY, MOOD, TEMPO, describe
from workshop.musicgen.training import codec as codec_training
from workshop.musicgen.training import language as language_training
from workshop.musicgen.training.codec import CONFIG, CodecTraining
from workshop.musicgen.training.command import main, trained
from workshop.musicgen.training.language import LanguageTraining
from workshop.musicgen.training.tokens import tokens
from workshop.training.quantizing import initialize, quantize

SMALL = replace(CONFIG, n_filters=2, dimension=8, codebook_size=16)


@pytest.fixture(scope="module")
def music():
    return [compose("valid", i, 8.0) for i in range(12)]


# --- music and words --------------------------------------------------------------------------------------


def test_a_piece_is_the_same_each_time_and_another_for_another_number(music):
    assert np.array_equal(music[0].audio, compose("valid", 0, 8.0).audio)
    assert not np.array_equal(music[0].audio, music[1].audio)
    assert not np.array_equal(music[0].audio, compose("train", 0, 8.0).audio)
    assert all(piece.audio.dtype == np.float32 and np.abs(piece.audio).max() <= 0.9 for piece in music)


def test_a_note_that_comes_back_is_the_same_samples(music):
    facts = music[0].facts
    one = music[0].notes[0]
    twice = [one._replace(start=0), one._replace(start=16)]
    audio = render(twice, facts, 3 * 16 * facts.eighth * FRAME)
    n = len(note(one.instrument, one.pitch, one.length * facts.eighth * FRAME))
    later = 16 * facts.eighth * FRAME
    assert np.allclose(audio[:n], audio[later : later + n], atol=1e-6) and np.abs(audio[:n]).max() > 0


@pytest.mark.parametrize("instrument", PLAYERS)
def test_an_instrument_sounds_at_its_pitch(instrument):
    sound = note(instrument, 69, SAMPLE_RATE)
    lines = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    hertz = lines.argmax() * SAMPLE_RATE / len(sound)
    assert min(abs(hertz / 440 - k) for k in (1, 2, 3)) < 0.02


def test_notes_lie_in_the_key_and_on_the_grid(music):
    for piece in music:
        tonic = TONICS[piece.facts.tonic]
        scale = {(tonic + step) % 12 for step in SCALES[piece.facts.mode]}
        assert {one.pitch % 12 for one in piece.notes if one.instrument != "drums"} <= scale
        assert {one.instrument for one in piece.notes} == set(piece.facts.instruments)


def test_words_say_what_is_true(music):
    others = {word for table in (TEMPO, MOOD) for words in table.values() for word in words}
    for piece in music:
        facts = piece.facts
        true = {*TEMPO[facts.tempo], *MOOD[facts.mode], *DENSITY[facts.density]}
        for i in range(20):
            said = describe(facts, Dice("test", i))
            assert not [word for word in others - true if f" {word} " in f" {said.replace(',', ' ')} "], said
            assert not [lead for lead in LEADS if lead in said and lead not in facts.instruments], said


def test_a_program_hears_the_tempo_and_the_scale(music):
    assert np.mean([listening.tempo_of(one.audio) == one.facts.tempo for one in music]) >= 0.8
    shown, asked = (pieces(split, 40, 4.0, alone=True) for split in ("train", "valid"))
    ear = Ear([one.audio for one in shown], [one.facts.lead for one in shown])
    assert np.mean([ear(one.audio) == one.facts.lead for one in asked]) >= 0.6


def test_the_key_is_heard_through_noise(music):
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(music[0].audio))
    own = [in_scale(one.audio + noise, one.facts) for one in music]
    other = [in_scale(one.audio + noise, two.facts) for one, two in zip(music, [*music[1:], music[0]])]
    assert np.mean(own) > 0.9 and np.mean(own) > np.mean(other) + 0.1


def test_the_bars_that_ship_are_those_that_the_script_composes():
    for number, index in enumerate(bars.PIECES, 1):
        audio, rate = soundfile.read(bars.HOME / f"bar_{number}.flac", dtype="float32")
        assert rate == SAMPLE_RATE
        assert np.allclose(audio, compose("test", index, bars.SECONDS).audio, atol=2 / 32768)


def test_silence_and_stuck_frames_are_told():
    sound = np.sin(np.arange(4 * SAMPLE_RATE) / 10)
    gap = sound.copy()
    gap[SAMPLE_RATE : 2 * SAMPLE_RATE] = 0
    assert listening.dead_air(sound) == 0 and listening.dead_air(gap) == pytest.approx(1, abs=0.11)
    codes = np.arange(40).reshape(2, 20)
    stuck = codes.copy()
    stuck[:, 5:15] = 3
    assert listening.longest_repeat(codes) == 0 and listening.longest_repeat(stuck) == pytest.approx(9 / 20)


# --- training ---------------------------------------------------------------------------------------------


def test_codebooks_begin_where_the_frames_are():
    codec, generator = Codec(SMALL), torch.Generator().manual_seed(0)
    frames = torch.randn(400, SMALL.dimension, generator=generator)
    initialize(codec.quantizer, frames, generator)
    batch = frames.T[None]
    every = torch.tensor([SMALL.n_codebooks])
    found = quantize(codec.quantizer, batch, every)
    assert (found.frames - batch).square().mean() < 0.25 * batch.square().mean()
    assert torch.equal(found.codes, codec.quantizer.encode(batch))
    fewer = quantize(codec.quantizer, batch, torch.tensor([1]))
    assert torch.allclose(
        fewer.frames, codec.quantizer.codebooks[0](fewer.codes[:, 0]).transpose(1, 2), atol=1e-5
    )


def test_a_gradient_passes_the_codebooks_as_if_they_were_not_there():
    codec = Codec(SMALL)
    frames = torch.randn(1, SMALL.dimension, 5, requires_grad=True)
    quantize(codec.quantizer, frames, torch.tensor([2])).frames.sum().backward()
    assert torch.equal(frames.grad, torch.ones_like(frames))


@pytest.fixture(scope="module")
def trained_codec():
    recipe = codec_training.Recipe(pieces=2, piece_seconds=4.0, batch=2, check_clips=1)
    training = CodecTraining(recipe, SMALL)
    rows = [training.step(step, progress) for step, progress in enumerate((0.0, 0.1, 0.2, 0.6, 0.9))]
    return training, rows


def test_the_codec_learns_in_three_stages(trained_codec):
    training, rows = trained_codec
    assert ["against" in row for row in rows] == [False, False, False, True, True]
    assert training.has_names and np.isfinite([row["loss"] for row in rows]).all()
    assert set(training.check()) >= {"score", "linear_db"}


def test_only_the_decoder_learns_once_the_tokens_are_settled(trained_codec):
    training, _ = trained_codec
    audio = training._draw(np.random.default_rng(0))
    codes, before = training.codec.encode(audio), training.codec.decoder(training.codec.encoder(audio))
    training.step(7, 0.8)
    assert torch.equal(training.codec.encode(audio), codes) and torch.equal(
        training.mean.encode(audio), codes
    )
    assert not torch.equal(training.codec.decoder(training.codec.encoder(audio)), before)


def test_one_number_brings_the_level_back_and_leaves_the_tokens(trained_codec):
    codec = copy.deepcopy(trained_codec[0].mean)
    audio = torch.from_numpy(compose("test", 1, 2.0).audio)[None, None]
    before, quiet = codec.encode(audio), codec.decode(codec.encode(audio))
    gain = codec_training.level(codec, count=3)
    assert gain > 0 and codec_training.level(codec, count=3) == pytest.approx(1, abs=1e-3)
    assert torch.equal(codec.encode(audio), before)
    assert torch.allclose(codec.decode(before), gain * quiet, rtol=1e-3, atol=1e-5)


def test_a_codec_goes_on_from_its_state(trained_codec):
    training, _ = trained_codec
    other = CodecTraining(training.recipe, SMALL)
    other.load_state_dict(training.state_dict())
    assert training.step(5, 0.95) == pytest.approx(other.step(5, 0.95), rel=1e-6)  # sums may differ in order


@pytest.fixture(scope="module")
def language(trained_codec, tmp_path_factory):
    recipe = language_training.Recipe(
        pieces=3, piece_seconds=4.0, beginnings=1, beginning_seconds=2.0, check_pieces=2, batch=2, frames=80
    )
    wide = replace(CONFIG, n_filters=2)
    return LanguageTraining(recipe, Codec(wide).eval(), tmp_path_factory.mktemp("tokens"))


def test_the_language_model_learns(language):
    losses = [language.step(step, 0.0)["loss"] for step in range(12)]
    assert losses[-1] < losses[0]
    assert set(language.check()) >= {"score", "unsaid", "nll_0"}


def test_tokens_are_made_once_for_a_codec_and_again_for_another(tmp_path, monkeypatch):
    torch.manual_seed(0)
    codec = Codec(SMALL).eval()
    made = tokens(codec, "train", 5, 3, 1.0, tmp_path)
    assert np.array_equal(
        made.codes[1:2], codec.encode(torch.from_numpy(compose("train", 6, 1.0).audio)[None, None])
    )
    assert made.facts[2] == compose("train", 7, 0.5).facts
    files = set(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Codec, "encode", None)  # to be made again would be an error
        assert np.array_equal(tokens(codec, "train", 5, 3, 1.0, tmp_path).codes, made.codes)
    codec.quantizer.codebooks[0].weight.data += 1
    tokens(codec, "train", 5, 3, 1.0, tmp_path)
    assert len(set(tmp_path.iterdir()) - files) == 1


def test_the_language_model_goes_on_from_its_state_file(language, tmp_path):
    language.step(12, 0.5)
    torch.save(language.state_dict(), tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)  # as `workshop.training.loop` reads it
    language.load_state_dict(state)
    first = language.step(13, 0.5)
    language.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert language.step(13, 0.5) == first


def test_what_is_written_loads_and_plays(language, tmp_path):
    language.save(tmp_path / "language.pth")
    assert recognises(tmp_path)
    pipeline = TorchPipeline.open(tmp_path)
    assert all(report.summary() for report in pipeline.models.reports.values())
    audio = torch.from_numpy(compose("test", 0, 1.0).audio)[None, None]
    assert torch.equal(pipeline.models.codec.encode(audio), language.codec.encode(audio))
    made = pipeline.generate("a slow waltz", seconds=0.5)
    assert made.codes.shape == (1, 4, 20) and np.isfinite(made.audio).all()
    text = "a slow waltz for flute alone"
    ids, _ = pipeline.tokenizer([text])
    assert ids[0].tolist() == language._ids([text])[0][0].tolist()


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert main(["language", "--out", str(tmp_path), "--steps", "1", "--pieces", "2"]) == 2
    assert "train it first" in capsys.readouterr().err
    torch.save({"a": 1}, tmp_path / "codec.pth")
    with pytest.raises(Exception, match="no codec of this recipe"):
        trained(tmp_path / "codec.pth")
