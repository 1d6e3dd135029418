"""The models of notebook 08: the committed files are what their programs compute, and training teaches."""

import numpy as np
import pytest
import torch

from helpers import checkpoints
from workshop.follower import make, tones
from workshop.follower.originals import FRAMES, TAP_FRAMES, Follower, Tapper


def program(name):
    source = checkpoints.read(make.OUT / f"{name}.pth")
    if name == "follower":
        model = Follower(source.metadata["input"]["mean"], source.metadata["input"]["std"])
    else:
        model = Tapper(torch.zeros(tones.N_BANDS))
    model.load_state_dict({key: tensor.float() for key, tensor in source.tensors.items()})
    assert source.metadata == model.metadata()
    return model.eval()


@pytest.mark.parametrize("name", ["follower", "tapper"])
def test_the_recorded_arrays_are_what_the_program_makes(name):
    recorded = np.load(make.OUT / f"{name}.npz")
    with torch.inference_mode():
        made = program(name).steps(torch.from_numpy(recorded["input"]))
    assert set(made) | {"input"} == set(recorded)
    for part, array in made.items():
        np.testing.assert_allclose(array, recorded[part], rtol=0, atol=1e-5 * np.abs(recorded[part]).max())


def test_the_programs_take_one_length_only():
    with pytest.raises(RuntimeError):
        program("follower")(torch.zeros(1, FRAMES + 1, tones.N_MELS))
    with pytest.raises(RuntimeError):
        program("tapper")(torch.zeros(TAP_FRAMES + 1, 1, tones.N_BANDS))


def test_a_tone_is_written_down_where_it_sounds():
    sound = np.zeros(tones.RATE, np.float32)
    sound[5000:15000] = 0.5 * tones.tone(np.random.default_rng(0), 69, 10000 / tones.RATE)
    made = tones.heard(sound, [(5000 / tones.RATE, 15000 / tones.RATE, 69)])
    loud = made.mel.max(1) > -1
    assert (made.note[loud] == 69).mean() > 0.8 and (made.note[~loud] == 0).mean() > 0.8
    assert made.begins.sum() == 2


def test_some_steps_of_training_help():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    music = [tones.melody(rng, 4.0) for _ in range(4)]
    model = Follower(-2.8, 1.2)
    batch = next(make.segments(rng, music, FRAMES, 1))
    before = make.follower_loss(model, *batch).item()
    make.train(model, list(model.parameters()), make.follower_loss, iter([batch] * 20), 20, 3e-3)
    assert make.follower_loss(model, *batch).item() < 0.8 * before
