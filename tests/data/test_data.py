"""The clip that comes with the course is what its script makes, at a level that can be listened to."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.audio.files import load
from helpers.audio.loudness import loudness

DATA = Path(__file__).resolve().parents[2] / "data"
ONE_STEP = 1 / 32768  # of a 16-bit sample


@pytest.fixture(scope="module")
def clip():
    """((N,) float32, sample rate) of the file."""
    audio, sample_rate = load(DATA / "first_clip.flac")
    return audio[0], sample_rate


@pytest.fixture(scope="module")
def script():
    """What the script defines, by name."""
    return runpy.run_path(str(DATA / "make_first_clip.py"))


def test_the_script_makes_the_file(clip, script):
    made = script["render"]()
    assert clip[1] == script["SAMPLE_RATE"]
    assert made.shape == clip[0].shape
    # Two steps, because sines may differ in the last bit from one platform to the next.
    np.testing.assert_allclose(made, clip[0], rtol=0, atol=2 * ONE_STEP)


def test_another_seed_changes_only_the_noise(clip, script):
    other = script["render"](seed=1)
    assert np.abs(other - clip[0]).max() > 100 * ONE_STEP
    assert np.corrcoef(other, clip[0])[0, 1] > 0.9


def test_running_the_script_writes_the_file_whole(tmp_path, script, clip):
    main = script["main"]
    main.__globals__["CLIP"] = tmp_path / "clip.flac"
    main()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.flac"]
    written, sample_rate = load(tmp_path / "clip.flac")
    assert sample_rate == clip[1]
    np.testing.assert_allclose(written[0], clip[0], rtol=0, atol=2 * ONE_STEP)


def test_format_and_size():
    info = soundfile.info(DATA / "first_clip.flac")
    assert (info.samplerate, info.channels, info.format, info.subtype) == (44100, 1, "FLAC", "PCM_16")
    assert 7 < info.duration < 10
    assert (DATA / "first_clip.flac").stat().st_size < 600_000


def test_level(clip):
    audio, sample_rate = clip
    assert loudness(audio, sample_rate)[0] == pytest.approx(-20, abs=0.1)
    assert 0.3 < np.abs(audio).max() < 0.95
    assert abs(audio.mean()) < 0.002


def test_it_is_never_silent_for_long_and_ends_quietly(clip):
    audio, sample_rate = clip
    blocks = audio[: len(audio) // sample_rate * sample_rate].reshape(-1, sample_rate // 20)  # 50 ms each
    level = np.sqrt((blocks**2).mean(axis=1))
    assert (level < 0.001).mean() < 0.01
    assert np.abs(audio[-20:]).max() < 0.01
