"""The modules by themselves: causality, padding, the pointer, files and back."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from fabricate_omni import SMALL

from helpers.layers.grouped import Rotary, turned
from helpers.layers.spectrogram import InverseSTFT, LogMel
from helpers.omni import files, weights
from helpers.omni.configs import BlocksConfig, Config
from helpers.omni.eye import CONTRAST, Captions
from helpers.omni.spec import N_SPECIAL, SOFT, are_words, collapsed
from helpers.support.errors import InputError


def places(models, n=7, batch=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(N_SPECIAL, SMALL.vocabulary, (batch, n), generator=rng)
    ids[:, 1:3] = SOFT
    return ids, torch.randn(batch, n, SMALL.thinker.width, generator=rng)


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_past_cut_anywhere_gives_the_same(models, cut):
    ids, soft = places(models)
    with torch.inference_mode():
        whole, _, _ = models.thinker(ids, soft)
        first, _, past = models.thinker(ids[:, :cut], soft[:, :cut])
        second, _, _ = models.thinker(ids[:, cut:], soft[:, cut:], past, cut)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-4, atol=1e-5)


def test_a_place_depends_on_nothing_later(models):
    ids, soft = places(models)
    other = ids.clone()
    other[:, 5:] = N_SPECIAL + (other[:, 5:] - N_SPECIAL + 1) % len(SMALL.words)
    with torch.inference_mode():
        one, another = (models.thinker(each, soft)[0] for each in (ids, other))
    torch.testing.assert_close(one[:, :5], another[:, :5])
    assert not torch.allclose(one[:, 5:], another[:, 5:])


def test_soft_counts_where_there_is_no_word_and_nowhere_else(models):
    ids, soft = places(models)
    at_words, elsewhere = soft.clone(), soft.clone()
    at_words[:, 4] += 1
    elsewhere[:, 1] += 1
    with torch.inference_mode():
        expected, same, other = (models.thinker(ids, one)[0] for one in (soft, at_words, elsewhere))
    torch.testing.assert_close(same, expected)
    assert not torch.allclose(other, expected)


def test_padding_on_the_left_changes_nothing(models):
    """Scores depend on distances, which padding on the left leaves as they are."""
    ids, soft = places(models, batch=1)
    longer = torch.cat([torch.full((1, 3), N_SPECIAL), ids], 1)
    softer = torch.cat([torch.ones(1, 3, SMALL.thinker.width), soft], 1)
    padding = torch.where(torch.arange(10) < 3, -1e9, 0.0)[None, None, None, None]
    with torch.inference_mode():
        expected = models.thinker(ids, soft)[0]
        found = models.thinker(longer, softer, padding=padding)[0][:, 3:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_scores_of_turned_vectors_depend_on_distance_alone():
    rotary, (query, key) = Rotary(16), torch.randn(2, 16, generator=torch.Generator().manual_seed(0))

    def score(p, q):
        one, other = (turned(x[None], rotary(torch.tensor([at]))) for x, at in ((query, p), (key, q)))
        return (one @ other.T).item()

    assert score(9, 4) == pytest.approx(score(5, 0), abs=1e-5) != pytest.approx(score(9, 5), abs=1e-3)


def test_the_talker_given_its_own_codes_says_the_same(models):
    rng = torch.Generator().manual_seed(1)
    words = torch.randint(N_SPECIAL, SMALL.vocabulary, (2, 6, 2), generator=rng)
    states = torch.randn(2, 6, 2, SMALL.thinker.width, generator=rng)
    before = torch.randint(13, (2, 6, 2), generator=rng)
    with torch.inference_mode():
        free = models.talker(words, states, before)
        led = models.talker(words, states, before, codes=free.codes)
        other = models.talker(words, states, before, codes=(free.codes + 1) % 12)
    torch.testing.assert_close(free.logits, led.logits)
    torch.testing.assert_close(free.logits[:, :, 0], other.logits[:, :, 0])
    assert not torch.allclose(free.logits[:, :, 1], other.logits[:, :, 1])


def test_a_spectrum_and_back():
    """Of a sound's own short spectra, as `LogMel` sees them, the sound comes back."""
    audio = torch.randn(2, 1600, generator=torch.Generator().manual_seed(0))
    front, back = LogMel.computed(16000, 512, 160, 80, 50, 7600), InverseSTFT(512, 160)
    padded = torch.nn.functional.pad(audio[:, None], (256, 256), mode="reflect")
    real, imag = (torch.conv1d(padded, kernel, stride=160)[..., :10] for kernel in (front.real, front.imag))
    torch.testing.assert_close(back(real, imag)[:, :1300], audio[:, :1300], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_samples", [160, 161, 1279, 1280, 5000])
def test_the_ear_hears_any_length(ours, n_samples):
    found, letters = ours.graphs["ear"](np.zeros((2, n_samples), np.float32))
    frames = -(-(n_samples // 160) // 4)
    assert letters.shape == (2, frames, 28) and found.shape == (2, -(-frames // 2), SMALL.thinker.width)


def test_codec_frames(models):
    mel = torch.randn(2, 80, 40)
    with torch.inference_mode():
        codes = models.codec.encode(mel)
        assert codes.shape == (2, 2, 10) and models.codec.decode(codes).shape == mel.shape


def test_neighbouring_places_become_one(models):
    """Place 4 row + column of 16 holds the four of its square."""
    numbers = torch.arange(64.0)[None, :, None].expand(1, 64, SMALL.eye.width)
    squares = models.eye.shuffled(numbers).unflatten(-1, (4, -1))[0, :, :, 0]
    assert squares[0].tolist() == [0, 1, 8, 9] and squares[6].tolist() == [20, 21, 28, 29]


def test_a_caption_is_the_same_however_far_it_is_padded():
    captions = Captions(SMALL).eval()
    ids = torch.tensor([[5, 6, 7], [8, 9, SOFT]])
    with torch.inference_mode():
        alone, among = captions(ids[1:, :2]), captions(ids)
        longer = captions(torch.nn.functional.pad(ids, (0, 4), value=SOFT))
    torch.testing.assert_close(among[1:], alone)
    torch.testing.assert_close(longer, among)
    assert among.shape == (2, CONTRAST) and not torch.allclose(among[0], among[1])


@pytest.mark.parametrize(
    "best, text", [([0, 3, 3, 0, 3, 1, 2, 2], "bb a"), ([0, 0], ""), ([1, 2, 1, 1, 0, 1, 3, 1], "a b")]
)
def test_letters(best, text):
    assert collapsed(best) == text


def test_saved_and_loaded(models, tmp_path):
    """A second time to disk changes no bit; the codec is not rounded."""
    weights.save(tmp_path, models)
    again = weights.load_models(tmp_path)
    for part in weights.MODULES:
        one, other = getattr(models, part).state_dict(), getattr(again, part).state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
    exact = weights.fresh(SMALL, 5)
    weights.save(tmp_path, exact)
    codec = weights.load_models(tmp_path).codec
    assert torch.equal(codec.quantizer.codebooks[0].weight, exact.codec.quantizer.codebooks[0].weight)


def test_recognised_and_described(checkpoint, tmp_path):
    assert files.recognises(checkpoint) and not files.recognises(tmp_path)
    lines = list(files.describe(checkpoint))
    assert "63 words" in lines[0] and any("thinker" in line and "n_layers 2" in line for line in lines)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"words": ["red", "red"]}, "words"),
        ({"words": ["\x1b[31m"]}, "words"),
        ({"n_colours": "many"}, "n_colours"),
        ({"bounds": {"heard": 1}}, "bounds"),
        ({"thinker": 3}, "thinker"),
        ({"thinker": {"width": 32, "n_layers": 2, "n_heads": 5, "n_shared": 5, "hidden": 4}}, "heads"),
        ({"thinker": {"width": 32, "n_layers": 10**5, "n_heads": 4, "n_shared": 2, "hidden": 48}}, "layers"),
        ({"ear": {"width": 32, "n_layers": 1, "n_heads": 2, "n_shared": 2, "hidden": 32}}, "should be"),
        ({"model_type": "llama"}, "tiny-omni"),
    ],
)
def test_a_hostile_config_is_refused_in_a_line(checkpoint, tmp_path, change, message):
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=message) as error:
        weights.load_models(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_part_is_named(checkpoint, tmp_path):
    for path in checkpoint.iterdir():
        if "talker" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="talker"):
        weights.load_models(tmp_path)


def test_shapes_that_do_not_go_together():
    with pytest.raises(InputError):
        BlocksConfig(32, 2, 3, 1, 32)
    with pytest.raises(InputError):
        BlocksConfig(32, 2, 4, 3, 32)
    assert Config.from_json(json.loads(json.dumps(SMALL.to_json()))) == SMALL
    assert replace(SMALL, n_shapes=4).spec == SMALL.spec
    assert not are_words("words") and not are_words([])
