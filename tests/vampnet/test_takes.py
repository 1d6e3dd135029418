"""A vamp is saved with what it was made from, and made again from that."""

import json

import numpy as np
import pytest

from helpers import audio as sound
from helpers.support.errors import InputError
from helpers.vampnet.takes import fingerprint, load_take, save_take
from helpers.vampnet.vamp import Prompt, vamp_audio

RATE = 44100
SETTINGS = {"seed": 3, "steps": 4, "temperature": 1.5, "typical_mass": None, "greedy": False}


@pytest.fixture
def audio():
    return np.random.default_rng(0).normal(0, 0.1, (2, RATE // 2)).astype(np.float32)


@pytest.fixture
def saved(torch_pipeline, tmp_path, audio):
    """A vamp and the two files that were written of it."""
    vamp = vamp_audio(torch_pipeline, audio, RATE, Prompt(periodic=3, codebooks=2), **SETTINGS)
    return vamp, *save_take(tmp_path / "new" / "take.1", vamp, audio, RATE, SETTINGS)


def test_the_settings_give_the_same_tokens_again(torch_pipeline, saved, audio):
    vamp, wav, path = saved
    take = load_take(path)
    again = take.again(torch_pipeline, audio, RATE)
    np.testing.assert_array_equal(again.codes_out, vamp.codes_out)
    assert take.gave(again) and dict(take.settings) == SETTINGS
    heard, rate = sound.load(wav)
    assert rate == RATE
    np.testing.assert_allclose(heard, again.audio, atol=1e-6)


def test_the_files_are_named_and_can_be_read_by_eye(saved, tmp_path):
    vamp, wav, path = saved
    assert (wav, path) == (tmp_path / "new" / "take.1.wav", tmp_path / "new" / "take.1.json")
    rows = json.loads(path.read_text())["mask"]
    assert rows == ["".join(str(place) for place in book) for book in vamp.mask[0]]


def test_other_tokens_are_told_apart(torch_pipeline, saved, audio):
    take = load_take(saved[2])
    other = vamp_audio(torch_pipeline, audio, RATE, take.mask, **{**take.settings, "seed": 4})
    assert not take.gave(other)


def test_another_sound_is_refused(torch_pipeline, saved, audio):
    take = load_take(saved[2])
    for samples, rate in ((0.5 * audio, RATE), (audio[:1], RATE), (audio, 2 * RATE)):
        with pytest.raises(InputError, match="not the sound"):
            take.again(torch_pipeline, samples, rate)


def test_both_files_or_none(saved, audio, tmp_path):
    vamp = saved[0]
    (tmp_path / "taken.wav").mkdir()
    with pytest.raises(InputError, match="is a directory"):
        save_take(tmp_path / "taken", vamp, audio, RATE, SETTINGS)
    with pytest.raises(InputError, match="'volume' is no setting"):
        save_take(tmp_path / "loud", vamp, audio, RATE, {"volume": 11})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "taken.wav"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"mask": ["01", "0"], "settings": {}, "input": "", "tokens": ""}',
     '{"mask": ["0x"], "settings": {}, "input": "", "tokens": ""}',
     '{"mask": ["01"], "settings": 3, "input": "", "tokens": ""}', "[" * 100_000, "5", "1" * 5000,
     '{"mask": [["1%s"]], "settings": {}, "input": "", "tokens": ""}' % ("0" * 30)],
)  # fmt: skip
def test_a_file_that_holds_no_settings_is_named(tmp_path, content):
    path = tmp_path / "take.json"
    path.write_text(content)
    with pytest.raises(InputError, match="holds no settings of a vamp"):
        load_take(path)


def test_a_setting_that_nobody_knows_is_named(saved):
    content = json.loads(saved[2].read_text())
    content["settings"]["volume"] = 11
    saved[2].write_text(json.dumps(content))
    with pytest.raises(InputError, match="'volume' is no setting of a vamp; there are .*steps"):
        load_take(saved[2])
    with pytest.raises(InputError, match="cannot read .*none.json"):
        load_take(saved[2].with_name("none.json"))


def test_a_fingerprint_tells_type_shape_and_values_apart():
    array = np.arange(6)
    different = [array, array + 1, array.reshape(2, 3), array.astype(np.int32), array.astype(float)]
    assert len({fingerprint(one) for one in different}) == len(different)
    assert fingerprint(array) == fingerprint(array.copy())
