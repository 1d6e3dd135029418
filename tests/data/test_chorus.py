"""The night chorus: the same for a seed, all its species apart, its splits without an animal in common."""

import subprocess
import sys

import numpy as np
import pytest

from data.chorus import compose
from data.chorus.places import CLOSE, FAR, noise
from data.chorus.species import LABELS, RATE, SPECIES, Individual
from helpers.audio import load


@pytest.mark.parametrize("label", range(len(LABELS)))
@pytest.mark.parametrize("far", [False, True])
def test_a_clip_is_the_same_for_a_seed(label, far):
    one, same, other = (compose.clip(label, far, (0, i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.shape == (compose.N,) and one.dtype == np.float32 and not np.array_equal(one, other)
    assert 0.01 < np.abs(one).max() <= 1 and np.isfinite(one).all()


def test_families_of_three():
    families = [one.family for one in SPECIES]
    assert len(LABELS) == len(set(LABELS)) == 12
    assert {families.count(name) for name in families} == {3}


def test_every_individual_sings_for_about_a_second():
    rng = np.random.default_rng(0)
    for species in SPECIES:
        for _ in range(10):
            song = species.song(Individual.born(rng), rng)
            assert 0.4 < len(song) / RATE < 4 and 0.1 < np.abs(song).max() < 3


def test_far_is_noisier_than_close():
    """What fills a clip when nothing sings: the tenth of its short pieces that are quietest."""

    def floor(far):
        pieces = [compose.clip(label, far, (0, i)).reshape(-1, 400) for label in range(12) for i in range(3)]
        level = [np.sort(np.square(one).mean(1)) for one in pieces]
        return np.median([10 * np.log10(one[len(one) // 10] / one[-1]) for one in level])

    assert floor(True) > floor(False) + 5


@pytest.mark.parametrize("kind", CLOSE + FAR)
def test_backgrounds(kind):
    made = noise(kind, 20000, np.random.default_rng(0))
    assert made.shape == (20000,) and made.std() == pytest.approx(1)
    assert np.abs(np.fft.rfft(made)).argmax() > 0


def test_splits():
    seeds = [number for number, _ in compose.SPLITS.values()]
    assert len(set(seeds)) == len(seeds) and 4 not in seeds  # a night has animals of its own
    audio, labels = compose.clips("shifted", 2)
    assert audio.shape == (24, compose.N) and labels.tolist() == sorted([*range(12)] * 2)
    np.testing.assert_array_equal(audio[3], compose.clip(1, True, (compose.SPLITS["shifted"][0], 3)))


def test_a_night_says_who_sang_when():
    minutes = list(compose.night(90, 5))
    assert [len(audio) for audio, _ in minutes] == [60 * RATE, 30 * RATE]
    events = [event for _, heard in minutes for event in heard]
    assert len(events) > 5 and events == sorted(events, key=lambda one: one.start)
    assert all(0 <= one.start < one.end and 0 <= one.label < 12 for one in events)
    again = next(compose.night(60, 5))
    np.testing.assert_array_equal(again[0], minutes[0][0])


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "data.chorus", str(tmp_path / "out"), "--per-species", "1"]
    subprocess.run(command, check=True)
    files = sorted((tmp_path / "out").rglob("*.flac"))
    assert len(files) == 4 * 12 and {one.parent.name for one in files} == {
        one.replace(" ", "_") for one in LABELS
    }
    audio, rate = load(files[0])
    assert rate == RATE and audio.shape == (1, compose.N)
