"""Files, rates, the meter and the levels: golden parity, known signals, hostile input."""

import math
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import audio as sound
from helpers.audio import files as sound_files
from helpers.support.errors import InputError

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]


def sine(frequency=1000.0, seconds=2.0, rate=44100, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def noise(shape, seed=0, amplitude=0.1):
    return (amplitude * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- Conditioning and the meter ---------------------------------------------------------------------------


def test_golden_conditioning(golden):
    conditioned = sound.condition(golden["stereo_audio"], 44100, 44100, 768)
    assert conditioned.dtype == np.float32
    np.testing.assert_allclose(conditioned, golden["preprocessed_stereo"], rtol=0, atol=2e-7)


@pytest.mark.parametrize("rate", RATES)
def test_a_full_scale_1_khz_sine_reads_minus_3_lufs(rate):
    # BS.1770: a 0 dBFS 997 Hz sine in one channel reads -3.01. At low rates the shelf is a little off.
    reading = sound.loudness(sine(997, 4, rate), rate)[0]
    assert reading == pytest.approx(-3.01, abs=0.05 if rate > 44000 else 0.2)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.6, 1.0, 5.3])
def test_whole_blocks_read_as_pyloudnorm_reads_them(rate, seconds):
    import pyloudnorm

    signal = noise(int(seconds * rate) // (rate // 10) * (rate // 10))
    signal[: len(signal) // 2] *= 0.01  # something for the relative gate to leave out
    reading = sound.loudness(signal, rate)[0]
    assert reading == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(signal), abs=1e-3)


@pytest.mark.parametrize("quiet_db, counts", [(-12, True), (-14.5, False)])
def test_the_relative_gate_is_10_lu_below_the_mean_of_all_blocks(quiet_db, counts):
    # Half loud, half quiet: the mean lies 3 dB under the loud half, the gate 13 dB.
    loud, rate = sine(1000, 20, 48000, 0.5), 48000
    reading = sound.loudness(np.concatenate([loud, loud * 10 ** (quiet_db / 20)]), rate)
    wanted = sound.loudness(loud, rate) + (10 * np.log10((1 + 10 ** (quiet_db / 10)) / 2) if counts else 0)
    assert reading == pytest.approx(wanted, abs=0.1)


def test_a_partial_block_at_the_end_counts():
    # One second of a quiet sine, then 50 ms of a loud one: only the padded last block holds all of it.
    rate = 48000
    signal = np.concatenate([sine(1000, 1, rate, 0.1), sine(1000, 0.05, rate, 0.8)])
    power = np.array([0.01] * 7 + [0.01 * 0.875 + 0.64 * 0.125]) / 2
    wanted = -0.691 + 0.68 + 10 * np.log10(power.mean())  # K-weighting lifts 1 kHz by 0.68 dB
    assert sound.loudness(signal, rate)[0] == pytest.approx(wanted, abs=0.1)


def test_less_than_half_a_second_is_measured_as_half_a_second():
    short, rate = noise(5000), 44100
    assert sound.loudness(short, rate) == pytest.approx(sound.loudness(sound.fit_length(short, 22050), rate))
    assert sound.loudness(short, rate) < sound.loudness(np.tile(short, 5), rate) - 3


def test_the_meter_hears_the_mean_of_the_channels():
    left, right = noise((2, 44100))
    both = sound.loudness(np.stack([left, right]), 44100)
    assert both == pytest.approx(sound.loudness((left + right) / 2, 44100), abs=1e-6)
    assert sound.loudness(np.stack([left, -left]), 44100) == sound.LOUDNESS_FLOOR


@given(st.floats(-30, 30), st.integers(1, 60000), st.sampled_from(RATES))
@settings(max_examples=30, deadline=None)
def test_a_gain_of_g_db_shifts_the_reading_by_g(gain, length, rate):
    signal = noise(length, amplitude=1.0)
    before = sound.loudness(signal, rate)[0]
    after = sound.loudness(signal * 10 ** (gain / 20), rate)[0]
    if min(before, after) > -55:  # near the absolute gate blocks may drop out
        assert after - before == pytest.approx(gain, abs=1e-3)


def test_a_batch_reads_what_its_items_read_alone():
    batch = noise((3, 2, 70000)) * np.array([1, 0.001, 0]).reshape(3, 1, 1)
    together = sound.loudness(batch, 44100)
    assert together.shape == (3,)
    np.testing.assert_array_equal(together, [sound.loudness(item, 44100)[0] for item in batch])
    conditioned = sound.condition(batch, 48000, 44100, 768)
    for item, alone in zip(conditioned, batch):
        np.testing.assert_array_equal(item[None], sound.condition(alone, 48000, 44100, 768))


def test_the_meter_does_not_depend_on_its_working_pieces():
    signal = noise(8000 * 25)  # the filter works ten seconds at a time
    signal[8000 * 10 - 100 : 8000 * 10 + 100] += 1  # a jump that rings over the seam
    import pyloudnorm

    assert sound.loudness(signal, 8000)[0] == pytest.approx(
        pyloudnorm.Meter(8000).integrated_loudness(signal.astype(np.float64)), abs=1e-3
    )


@given(
    st.sampled_from(RATES),
    st.sampled_from([(), (1,), (2,), (6,), (2, 2)]),
    st.integers(1, 3000),
    st.sampled_from([0.0, 1e-30, 1e-6, 0.1, 1.0, 100.0, 1e9]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_conditioning_is_finite_for_any_input(rate, channels, length, amplitude, clipped):
    signal = noise((*channels, length), amplitude=amplitude)
    if clipped:
        signal = signal.clip(-0.05, 0.05)
    conditioned = sound.condition(signal, rate, 44100, 768)
    frames = math.ceil(math.ceil(length * 44100 / rate) / 768)
    assert conditioned.shape == (2 if len(channels) == 2 else 1, 1, frames * 768)
    assert conditioned.dtype == np.float32
    assert np.isfinite(conditioned).all() and np.abs(conditioned).max() <= 1
    if amplitude == 0:
        assert not conditioned.any()


def test_gain_for_quiet_input_ends_where_the_meter_does():
    quiet = noise(44100, amplitude=1e-7)
    assert sound.loudness(quiet, 44100) == -70
    louder = sound.normalize_loudness(quiet, 44100, -24)
    np.testing.assert_allclose(louder, quiet * 10 ** (46 / 20), rtol=1e-6)


@pytest.mark.parametrize("shape", [(44100,), (2, 44100), (3, 2, 44100)])
def test_levels_keep_the_shape_and_leave_the_input_alone(shape):
    signal = noise(shape)
    before = signal.copy()
    changed = sound.normalize_loudness(signal, 44100, -18)
    assert changed.shape == shape and sound.loudness(changed, 44100) == pytest.approx(-18, abs=1e-4)
    limited = sound.limit_peak(signal, 0.25)
    assert limited.shape == shape and limited.max() <= 0.25
    np.testing.assert_array_equal(sound.limit_peak(signal, 10), signal)
    np.testing.assert_array_equal(signal, before)


def test_the_peak_limit_scales_the_whole_item_and_only_that_item():
    batch = np.array([[[0.5, -2.0]], [[0.5, -1.0]]])
    np.testing.assert_array_equal(sound.limit_peak(batch), [[[0.25, -1.0]], [[0.5, -1.0]]])


# --- Matching a level -------------------------------------------------------------------------------------


@given(st.floats(-50, -12), st.floats(1e-8, 1e3), st.integers(200, 60000))
@settings(max_examples=30, deadline=None)
def test_the_level_of_the_reference_is_met(level, amplitude, length):
    reference = sound.normalize_loudness(noise((2, length), seed=1), 44100, level)
    wanted = sound.loudness(reference, 44100, per_channel=True)
    matched, missing = sound.match_level(noise((1, 1, length), seed=2, amplitude=amplitude), reference, 44100)
    assert matched.shape == (1, 1, length) and np.abs(matched).max() <= 1
    assert sound.loudness(matched, 44100) + missing == pytest.approx(wanted, abs=0.1)
    if np.abs(matched).max() < 0.999:
        assert missing < 0.1


def test_low_rates_can_be_measured():
    high, low = (sound.loudness(sine(300, 3, rate), rate) for rate in (44100, 2000))
    assert low == pytest.approx(high, abs=0.2)


def test_a_listener_hears_all_channels():
    left_only = np.stack([sine(1000, 1), np.zeros(44100, np.float32)])
    one, both = (sound.loudness(signal, 44100, per_channel=True) for signal in (left_only, left_only[[0, 0]]))
    assert both - one == pytest.approx(10 * np.log10(2), abs=1e-3)  # twice the power
    assert sound.loudness(left_only, 44100) - one == pytest.approx(
        -20 * np.log10(2), abs=1e-3
    )  # half the amplitude


def test_the_peak_wins_and_what_is_missing_is_told():
    click = np.zeros((1, 1, 44100), np.float32)
    click[..., 100] = 0.5
    matched, missing = sound.match_level(click, sine(1000, 1), 44100)
    assert matched.max() == 1 and missing[0] > 10
    assert sound.loudness(matched, 44100) + missing == pytest.approx(sound.loudness(sine(1000, 1), 44100))


def test_silence_in_a_level_match_is_safe():
    loud, silence = noise(44100), np.zeros(44100)
    hushed, _ = sound.match_level(loud, silence, 44100)
    assert sound.loudness(hushed, 44100) == pytest.approx(-70, abs=1) and np.abs(hushed).max() < 0.01
    still, missing = sound.match_level(silence, loud, 44100)
    assert not still.any() and missing[0] > 20
    with pytest.raises(InputError, match="2 items"):
        sound.match_level(noise((2, 1, 100)), loud, 44100)


# --- Shape, rate and time ---------------------------------------------------------------------------------


@given(
    st.sampled_from(RATES + [44101, 12345]),
    st.sampled_from(RATES),
    st.integers(1, 2000),
    st.sampled_from([(), (2,), (6,), (2, 2)]),
)
@settings(max_examples=50, deadline=None)
def test_resampling_gives_the_length_it_promises(from_rate, to_rate, length, channels):
    signal = noise((*channels, length))
    changed = sound.resample(signal, from_rate, to_rate)
    assert changed.shape == (*channels, -(-length * to_rate // from_rate))
    assert changed.dtype == np.float32 and np.isfinite(changed).all()
    if from_rate == to_rate:
        np.testing.assert_array_equal(changed, signal)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 192000])
def test_resampling_keeps_a_sine_in_place(rate):
    changed = sound.resample(np.stack([sine(440, 1, rate), sine(880, 1, rate)]), rate, 44100)
    wanted = np.stack([sine(440, 1, 44100), sine(880, 1, 44100)])
    middle = slice(2000, -2000)  # the ends see the silence outside
    np.testing.assert_allclose(changed[:, middle], wanted[:, middle], atol=1e-4)


def test_resampling_one_sample_is_not_silence():
    assert sound.resample(np.ones(1), 192000, 8000).tolist() != [0]


def test_mono_is_the_mean_of_any_layout():
    assert sound.mono(np.ones(5)).shape == (1, 1, 5)
    np.testing.assert_allclose(sound.mono([[1.0, 0.0], [0.0, 0.5]]), [[[0.5, 0.25]]])
    assert sound.mono(np.ones((4, 6, 5))).shape == (4, 1, 5)


def test_lengths_are_cut_or_filled_at_the_end():
    signal = np.arange(1.0, 6.0)
    assert sound.fit_length(signal, 3).tolist() == [1, 2, 3]
    assert sound.fit_length(signal[None], 7).tolist() == [[1, 2, 3, 4, 5, 0, 0]]
    assert sound.pad_to_multiple(signal, 4).tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
    assert sound.pad_to_multiple(signal, 5).tolist() == [1, 2, 3, 4, 5]


@given(st.integers(0, 40000), st.sampled_from(RATES), st.integers(1, 4000))
def test_whole_frames_stay_whole_through_seconds(frames, rate, hop):
    assert sound.seconds_to_frames(frames * hop / rate, rate, hop) == frames
    assert sound.seconds_to_frames((frames * hop + 1) / rate, rate, hop) == frames + 1


def test_chunk_lengths_of_the_public_checkpoints():
    assert [sound.seconds_to_frames(seconds, 44100, 768) for seconds in (10, 3, 0)] == [575, 173, 0]
    assert sound.seconds_to_frames(0.07, 100, 1) == 7


# --- Hostile input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audio, says",
    [
        (np.zeros(100, np.int16), "int16"),
        (np.zeros(100, complex), "complex"),
        (np.zeros(100, bool), "bool"),
        (np.array(["a"]), "type"),
        (None, "type"),
        (0.5, "dimensions"),
        (np.zeros((1, 1, 1, 5)), "dimensions"),
        (np.zeros(0), "empty"),
        (np.zeros((2, 0)), "empty"),
        (np.zeros((44100, 2)), "transpose"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, -np.inf]), "infinite"),
        (np.array([0.0, 1e300]), "scale"),
    ],
)
def test_what_is_not_audio_is_refused_in_one_line(audio, says):
    for use in (sound.as_batch, lambda audio: sound.condition(audio, 44100, 44100, 768)):
        with pytest.raises(InputError, match=says) as error:
            use(audio)
        one_line(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sound.resample(np.ones(5), 0, 44100),
        lambda: sound.resample(np.ones(5), 44100.5, 44100),
        lambda: sound.resample(np.ones(5), "fast", 44100),
        lambda: sound.resample(np.ones(5), 1, 44100),
        lambda: sound.loudness(np.ones(5), 500),
        lambda: sound.normalize_loudness(np.ones(5), 44100, math.nan),
        lambda: sound.limit_peak(np.ones(5), 0),
        lambda: sound.fit_length(np.ones(5), 0),
        lambda: sound.seconds_to_frames(-1, 44100, 768),
        lambda: sound.seconds_to_frames(math.inf, 44100, 768),
        lambda: sound.onset_frames(noise((2, 1, 5000)), 44100, 768),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(call):
    with pytest.raises(InputError) as error:
        call()
    one_line(error)


# --- Files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix, tolerance", [(".wav", 1e-6), (".WAV", 1e-6), (".flac", 1e-6), (".ogg", 0.1)]
)
@pytest.mark.parametrize("rate, channels", [(8000, 1), (44100, 2), (192000, 1), (48000, 6)])
def test_files_come_back_as_written(tmp_path, suffix, tolerance, rate, channels):
    if suffix == ".ogg":
        channels = min(channels, 2)  # Vorbis gives the sixth channel of 5.1, the effects, only bass
    signal = np.stack([sine(200 * (channel + 1), 0.5, rate, 0.5) for channel in range(channels)])
    path = tmp_path / f"new/clip{suffix}"
    sound.save(path, signal, rate)
    back, back_rate = sound.load(path)
    assert back.shape == signal.shape and back.dtype == np.float32 and back_rate == rate
    np.testing.assert_allclose(back, signal, atol=tolerance)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_clipping_does_not_wrap(tmp_path, suffix):
    sound.save(tmp_path / f"a{suffix}", np.array([1.0, 1.5, -1.0, -7.0]), 44100)
    np.testing.assert_allclose(sound.load(tmp_path / f"a{suffix}")[0], [[1, 1, -1, -1]], atol=1e-6)


def test_clipping_before_vorbis_too(tmp_path):
    sound.save(tmp_path / "a.ogg", sine(440, 1, amplitude=7.0), 44100)
    assert np.abs(sound.load(tmp_path / "a.ogg")[0]).max() < 1.5


def test_a_long_ogg_is_written(tmp_path):
    sound.save(tmp_path / "long.ogg", sine(440, 120, 8000, 0.5), 8000)
    assert sound.load(tmp_path / "long.ogg")[0].shape == (1, 960000)


def test_one_item_of_a_batch_fits_in_a_file_and_two_do_not(tmp_path):
    sound.save(tmp_path / "a.wav", noise((1, 2, 50)), 44100)
    assert sound.load(tmp_path / "a.wav")[0].shape == (2, 50)
    with pytest.raises(InputError, match="batch of 2"):
        sound.save(tmp_path / "b.wav", noise((2, 1, 50)), 44100)


@pytest.mark.parametrize(
    "name, channels, rate",
    [("a.mp9", 1, 44100), ("a", 1, 44100), ("a.wav", 1, 0), ("a.flac", 12, 44100), ("a.ogg", 1, 2_000_000)],
)
def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, name, channels, rate):
    with pytest.raises(InputError) as error:
        sound.save(tmp_path / name, noise((channels, 100)), rate)
    one_line(error)
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_audio_are_told_apart(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "bytes.raw").write_bytes(bytes(100))
    (tmp_path / "nothing.wav").write_bytes(b"")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 44100)
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan]), 44100, subtype="FLOAT")
    for name, says in {
        "missing.wav": "No such file",
        ".": "directory",
        "text.wav": "cannot be read as audio",
        "bytes.raw": "cannot be read as audio",
        "nothing.wav": "cannot be read as audio",
        "empty.wav": "empty",
        "nan.wav": "NaN",
    }.items():
        with pytest.raises(InputError, match=says) as error:
            sound.load(tmp_path / name)
        assert str(tmp_path) in one_line(error)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no such file here")
def test_a_file_that_cannot_be_searched_is_one_line(capfd):
    with pytest.raises(InputError, match="cannot read /proc/self/mem"):
        sound.load("/proc/self/mem")
    assert capfd.readouterr().err == ""


def test_a_disk_that_fills_leaves_nothing(tmp_path):
    # Too little room for the last bytes only, which libsndfile itself would drop without a word.
    code = (
        "import resource, sys, numpy as np; from helpers import audio\n"
        "audio.save('whole.flac', np.sin(np.arange(50000)) / 2, 44100)\n"
        "room = __import__('os').path.getsize('whole.flac') - 100\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))\n"
        "audio.save('full.flac', np.sin(np.arange(50000)) / 2, 44100)"
    )
    pytest.importorskip("resource")  # Windows has no such limit
    root = str(Path(sound.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert "InputError: cannot write full.flac" in ran.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["whole.flac"]


@pytest.mark.parametrize(("name", "apart"), [("a.wav", 0), ("a.flac", 0), ("a.ogg", 0.1)])
def test_audio_that_comes_in_pieces_is_written_as_the_whole(name, apart, tmp_path):
    stereo = np.stack([sine(440, 2), sine(330, 2)])
    sound.save(tmp_path / "whole" / name, stereo, 44100)
    pieces = (stereo[None, :, start : start + 30000] for start in range(0, stereo.shape[1], 30000))
    sound.save_stream(tmp_path / "pieces" / name, pieces, 44100)
    whole, streamed = (sound.load(tmp_path / how / name)[0] for how in ("whole", "pieces"))
    assert whole.shape == streamed.shape and np.abs(whole - streamed).max() <= apart


def test_a_stream_that_breaks_off_leaves_nothing(tmp_path):
    def broken():
        yield sine(440, 1)
        raise InputError("no more")

    for pieces, says in ((broken(), "no more"), ([], "empty")):
        with pytest.raises(InputError, match=says):
            sound.save_stream(tmp_path / "a.wav", pieces, 44100)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("promise", [0x00, 0xFF])
def test_a_header_that_promises_any_length_is_refused(tmp_path, promise):
    path = tmp_path / "a.flac"
    sound.save(path, sine(440, 0.5), 44100)
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | promise & 0x0F  # FLAC counts its samples in the 36 bits from here
    content[22:26] = bytes([promise]) * 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as audio") as error:
        sound.load(path)
    one_line(error)


def test_what_memory_or_a_format_can_not_hold_is_refused(tmp_path, monkeypatch):
    sound.save(tmp_path / "a.flac", np.zeros(300_000), 44100)
    monkeypatch.setattr(sound_files, "LARGEST_SOUND", 200_000)
    monkeypatch.setattr(sound_files, "LARGEST_WAV", 600_000)
    with pytest.raises(InputError, match="too long") as error:
        sound.load(tmp_path / "a.flac")
    one_line(error)
    with pytest.raises(InputError, match="write FLAC") as error:
        sound.save(tmp_path / "a.wav", np.zeros(300_000), 44100)
    one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


def test_integer_files_of_any_width_are_scaled_to_full_scale(tmp_path):
    signal = sine(440, 0.1, amplitude=0.5)
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        soundfile.write(tmp_path / "a.wav", signal, 44100, subtype=subtype)
        np.testing.assert_allclose(sound.load(tmp_path / "a.wav")[0][0], signal, atol=0.01)


# --- Onsets and beats -------------------------------------------------------------------------------------


def clicks(seconds_apart, rate, total=6.0):
    signal = np.zeros(int(total * rate))
    burst = sine(1500, 0.03, rate) * np.linspace(1, 0, int(0.03 * rate))
    times = np.arange(0.5, total - 0.1, seconds_apart)
    for time in times:
        start = int(time * rate)
        signal[start : start + len(burst)] = burst
    return signal, times


@pytest.mark.parametrize("rate, hop", [(8000, 128), (44100, 768), (96000, 100)])
def test_onsets_are_where_the_clicks_are(rate, hop):
    signal, times = clicks(0.7, rate)
    frames = sound.onset_frames(np.stack([signal, signal]), rate, hop)
    assert frames.dtype == np.int64 and len(frames) == len(times)
    np.testing.assert_allclose(frames * hop / rate, times, atol=0.08)


def test_beats_follow_the_pulse():
    signal, _ = clicks(0.5, 44100, total=10)
    frames = sound.beat_frames(signal, 44100, 768)
    assert len(frames) > 10
    np.testing.assert_allclose(np.diff(frames) * 768 / 44100, 0.5, atol=0.06)


@pytest.mark.parametrize("find", [sound.onset_frames, sound.beat_frames])
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_silence_and_scraps_have_no_events_and_no_warnings(find, rate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for length in (1, 100, rate):
            frames = find(np.zeros(length), rate, 768)
            assert frames.dtype == np.int64 and frames.shape == (0,)
        for length in (1, 2, 700, 3000):
            frames = find(noise(length), rate, 768)
            assert (frames >= 0).all() and (frames < math.ceil(length / 768)).all()


# --- Libraries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "library, call",
    [
        ("soundfile", lambda: sound.save("a.wav", np.ones(5), 44100)),
        ("soundfile", lambda: sound.load(__file__)),
        ("soxr", lambda: sound.resample(np.ones(5), 8000, 44100)),
        ("pyloudnorm", lambda: sound.loudness(np.ones(5), 44100)),
        ("librosa", lambda: sound.onset_frames(np.ones(5), 22050, 768)),
    ],
)
def test_a_missing_library_is_named(monkeypatch, tmp_path, library, call):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=f"pip install {library}") as error:
        call()
    one_line(error)
    assert not list(tmp_path.iterdir())


def test_importing_needs_only_numpy():
    heavy = ["torch", "librosa", "matplotlib", "scipy", "soundfile", "soxr", "pyloudnorm"]
    code = (
        "import sys, helpers.audio, helpers.vampnet.masks; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# --- Pipes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.audio.files.WRITER_SECONDS", 0.1)
    sounds = np.linspace(-0.5, 0.5, 50_000, dtype=np.float32)
    soundfile.write(tmp_path / "in.wav", sounds, 8000, subtype="FLOAT")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="nobody writes into the pipe"):
        sound.load(tmp_path / "pipe")
    monkeypatch.undo()
    content = (tmp_path / "in.wav").read_bytes()  # more than a pipe holds at once
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[content])
    writer.start()
    found, rate = sound.load(tmp_path / "pipe")
    writer.join()
    assert rate == 8000 and np.array_equal(found[0], sounds)
