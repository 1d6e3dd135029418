"""What the widgets do in Python: what they send, and what they make of what the reader does."""

import threading
from types import SimpleNamespace

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import traitlets
from IPython.core.events import EventManager, available_events

from helpers import audio
from helpers.lesson import plots
from helpers.lesson.widgets import cells, still
from helpers.lesson.widgets.decoding import DecodingView, Recording
from helpers.lesson.widgets.grid import CodeGrid, MaskEditor
from helpers.lesson.widgets.live import Live
from helpers.lesson.widgets.player import Player
from helpers.lesson.widgets.sound_file import SoundFile
from helpers.support.errors import InputError
from helpers.vampnet import masks
from helpers.vampnet.decoding import Step
from helpers.vampnet.files import GOLDEN
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.vamp import PRESETS, Prompt

RATE = 8000
SECONDS = 60  # after which a thread that should have ended has not


@pytest.fixture
def sent(monkeypatch):
    """Messages of any player: a list of (content, buffers)."""
    messages = []
    monkeypatch.setattr(
        Player, "send", lambda self, content, buffers=None: messages.append((content, buffers))
    )
    return messages


def tone(level, seconds=0.5):
    return level * np.sin(np.arange(int(RATE * seconds)) * 0.3)


def asked(player, **request):
    """Let the front end send a request, the way a browser's arrives."""
    player._handle_custom_msg(request, [])


def samples(buffer):
    return np.frombuffer(buffer, "<i2") / 32767


# --- The player -------------------------------------------------------------------------------------------


def test_the_player_sends_each_versions_samples(sent):
    first, second = tone(0.5), tone(0.25)
    player = Player({"first": first, "second": np.stack([second, second])[None]}, RATE)
    asked(player, want="audio")
    ((content, buffers),) = sent
    assert content == {"have": "audio"} and player.labels == ["first", "second"]
    np.testing.assert_allclose(samples(buffers[0]), first, atol=1e-4)
    np.testing.assert_allclose(samples(buffers[1]), second, atol=1e-4)


def test_levels_are_as_they_are_or_lowered_together(sent):
    assert Player({"quiet": tone(0.1)}, RATE).gain_db == 0
    player = Player({"loud": tone(2.0), "half": tone(1.0)}, RATE)
    asked(player, want="audio")
    loud, half = map(samples, sent[0][1])
    assert player.gain_db == pytest.approx(-6.02, abs=0.01)
    assert abs(loud).max() == pytest.approx(1, abs=1e-3) and abs(half).max() == pytest.approx(0.5, abs=1e-3)


def test_a_shorter_version_ends_in_silence(sent):
    player = Player({"long": tone(0.5, 1.0), "short": tone(0.5, 0.25)}, RATE)
    asked(player, want="audio")
    long, short = map(samples, sent[0][1])
    assert len(long) == len(short) == RATE
    assert not short[RATE // 4 :].any() and short[: RATE // 4].any()


@pytest.mark.parametrize("view", ["spectrogram", "waveform"])
def test_a_picture_comes_with_the_place_of_its_time_axis(sent, view):
    player = Player({"first": tone(0.5), "second": tone(0.2)}, RATE, view)
    asked(player, want="picture", index=1)
    ((content, (png,)),) = sent
    assert content["index"] == 1 and content["text"] == f"{view} of second"
    assert 0 < content["left"] < 0.2 and 0.7 < content["right"] <= 1
    assert png.startswith(b"\x89PNG")


def test_no_sound_is_part_of_the_saved_state():
    player = Player({"first": tone(0.5)}, RATE)
    state = player.get_state()
    del state["_esm"], state["_css"]
    assert len(str(state)) < 2000


def test_without_widgets_there_is_a_still_picture():
    shown = Player({"first": tone(0.5)}, RATE)._repr_mimebundle_()
    data = shown[0] if isinstance(shown, tuple) else shown
    assert data["image/png"].startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in data


def test_a_blind_test_tells_nothing_before_the_pick_and_everything_after(sent):
    names = ["original", "8-bit", "4-bit"]
    player = Player({name: tone(0.1 * i) for i, name in enumerate(names, 1)}, RATE, blind="Which?", seed=3)
    asked(player, want="picture", index=0)
    assert sent == [] and player.labels == ["A", "B", "C"] and player.picked is None
    shown = player._repr_mimebundle_()
    assert "image/png" not in (shown[0] if isinstance(shown, tuple) else shown)
    state = {key: value for key, value in player.get_state().items() if key not in ("_esm", "_css")}
    assert not any(name in str(state) for name in names)

    asked(player, want="audio")
    levels = [round(10 * abs(samples(buffer)).max()) for buffer in sent[0][1]]
    assert [names[level - 1] for level in levels] == player.names

    asked(player, picked=1)
    assert player.picked == player.names[1]
    assert player.labels == [f"{letter}: {name}" for letter, name in zip("ABC", player.names)]
    assert f"You picked B: {player.picked}" in player.message
    asked(player, picked=2)
    assert player.picked == player.names[1], "only the first pick counts"


def test_the_order_of_a_blind_test_follows_from_the_seed():
    versions = {str(i): tone(0.1) for i in range(6)}
    orders = [Player(versions, RATE, blind="Which?", seed=seed).names for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("versions", "view", "message"),
    [
        ({}, "spectrogram", "no version to play"),
        ({"first": np.zeros((2, 1, 80))}, "spectrogram", "'first' is a batch of 2"),
        ({"first": np.array([0.0, np.nan])}, "spectrogram", "'first': audio holds NaN"),
        ({"first": tone(0.1)}, "melody", "'melody'; it is one of spectrogram, waveform"),
    ],
)
def test_what_cannot_be_played_is_named(versions, view, message):
    with pytest.raises(InputError, match=message):
        Player(versions, RATE, view)


# --- The grid and the mask editor -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    return TorchPipeline.open(GOLDEN)


@pytest.fixture
def codes(pipeline):
    rng = np.random.default_rng(0)
    return rng.integers(0, pipeline.mask_token, (1, pipeline.n_codebooks, 40))


def painted(grid, mask):
    """Let the front end set the mask, the way a browser's bytes arrive."""
    grid.set_state({"hidden": memoryview(mask.astype(np.uint8).tobytes())})


def test_the_grid_shows_what_it_was_given(codes):
    mask = masks.periodic(codes.shape, 5)
    grid = CodeGrid(codes, 57.4, mask)
    np.testing.assert_array_equal(grid.codes, codes)
    np.testing.assert_array_equal(grid.mask, mask)
    np.testing.assert_array_equal(np.frombuffer(grid.tokens, "<i4").reshape(codes.shape), codes)


def test_what_is_painted_is_the_mask(codes):
    grid = CodeGrid(codes, 57.4, editable=True)
    mask = masks.empty(codes.shape)
    mask[0, 2:5, 10:20] = 1
    painted(grid, mask)
    np.testing.assert_array_equal(grid.mask, mask)
    assert grid.mask.dtype == np.int64


@pytest.mark.parametrize("content", [b"", b"\x01\x00", b"\x02"])
def test_a_painted_mask_that_does_not_fit_is_refused(codes, content):
    grid = CodeGrid(codes, 57.4, editable=True)
    content = content * (grid.n_codebooks * grid.n_frames) if content == b"\x02" else content
    with pytest.raises(traitlets.TraitError, match="does not fit the grid"):
        grid.hidden = content
    assert not grid.mask.any()


def test_a_grid_keeps_its_shape(codes):
    grid = CodeGrid(codes, 57.4)
    with pytest.raises(InputError, match="use a new one"):
        grid.show(codes[..., :3], np.zeros_like(codes))
    with pytest.raises(InputError, match="only 0"):
        grid.mask = codes


def test_the_editor_starts_with_the_prompt_of_the_command(pipeline, codes):
    editor = MaskEditor(pipeline, codes, prompt=Prompt(periodic=5, codebooks=2))
    expected = masks.codebook_mask(masks.periodic(codes.shape, 5), 2)
    np.testing.assert_array_equal(editor.mask, expected)
    assert f"{expected.mean():.1%} of the tokens" in editor.summary.value


def test_each_rule_of_the_editor_draws_the_mask_anew(pipeline, codes):
    sound = np.zeros((1, codes.shape[-1] * pipeline.hop), np.float32)
    sound[:, 20 * pipeline.hop :: 7] = 0.5
    editor = MaskEditor(pipeline, codes, sound)
    frame_rate = pipeline.sample_rate / pipeline.hop
    changes = {"periodic": 3, "width": 3, "prefix": 5 / frame_rate, "suffix": 5 / frame_rate, "codebooks": 1,
               "onsets": 2, "random": 0.5}  # fmt: skip
    assert set(changes) == set(editor.controls)
    editor.controls["periodic"].value = 0
    editor.controls["codebooks"].value = pipeline.n_codebooks
    for name, value in changes.items():
        before = editor.mask
        if name == "width":
            editor.controls["periodic"].value = 9
            before = editor.mask
        editor.controls[name].value = value
        assert (editor.mask != before).any(), name


def test_the_editors_mask_follows_the_brush(pipeline, codes):
    editor = MaskEditor(pipeline, codes)
    painted(editor.grid, masks.full(codes.shape))
    np.testing.assert_array_equal(editor.mask, masks.full(codes.shape))
    assert editor.summary.value.startswith("100.0% of the tokens")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_drawn_whatever_was_painted_before(pipeline, codes, name):
    sound = np.zeros((1, codes.shape[-1] * pipeline.hop), np.float32)
    sound[:, 20 * pipeline.hop :: 7] = 0.5
    editor = MaskEditor(pipeline, codes, sound)
    for _ in range(2):
        editor.presets[name].click()
        expected = PRESETS[name].mask(pipeline, codes.shape, sound, pipeline.sample_rate)
        np.testing.assert_array_equal(editor.mask, expected)
        painted(editor.grid, 1 - expected)


def test_without_a_sound_there_is_no_preset_for_onsets(pipeline, codes):
    assert "rhythm" in PRESETS and "rhythm" not in MaskEditor(pipeline, codes).presets


# --- Decoding, played back --------------------------------------------------------------------------------


def test_a_recording_ends_with_what_was_decoded(pipeline, codes):
    mask = masks.codebook_mask(masks.periodic(codes.shape, 7), 3)
    recording = Recording(codes, mask)
    result = pipeline.vamp(codes, mask, steps=4, fine_steps=2, on_step=recording)
    n_chunks = -(-codes.shape[-1] // pipeline.spec.c2f_chunk)
    assert len(recording.moments) == 1 + 4 + 2 * n_chunks
    np.testing.assert_array_equal(recording.moments[0].hidden, mask[0])
    np.testing.assert_array_equal(recording.moments[-1].codes, result[0])
    assert not recording.moments[-1].hidden[pipeline.n_conditioning_codebooks :].any()


def test_the_view_shows_the_step_of_the_slider(pipeline, codes):
    recording = Recording(codes, masks.full(codes.shape))
    pipeline.coarse(codes, masks.full(codes.shape), steps=3, on_step=recording)
    view = DecodingView(recording, pipeline)
    for step, moment in enumerate(recording.moments):
        view.slider.value = step
        np.testing.assert_array_equal(view.grid.codes[0], moment.codes)
        np.testing.assert_array_equal(view.grid.mask[0], moment.hidden)
        assert view.caption.value == moment.caption
    view.colour.value = "confidence"
    shown = np.frombuffer(view.grid.confidences, "<f4")
    np.testing.assert_array_equal(shown, recording.moments[-1].confidence.ravel())


@pytest.mark.parametrize("steps, shown", [(1, 2), (2, 3), (12, 5)])
def test_the_still_picture_shows_the_way_from_the_first_moment_to_the_last(
    monkeypatch, pipeline, codes, steps, shown
):
    recording, drawn = Recording(codes, masks.full(codes.shape)), []
    pipeline.coarse(codes, masks.full(codes.shape), steps=steps, on_step=recording)
    monkeypatch.setattr(still, "column", lambda draws, height: drawn.extend(draws))
    DecodingView(recording, pipeline).picture()
    captions = [draw(plots.new_axes()).get_title(loc="left") for draw in drawn]
    plt.close("all")
    assert len(captions) == shown
    assert (captions[0], captions[-1]) == (recording.moments[0].caption, recording.moments[-1].caption)


def test_confidence_is_shown_by_its_order_and_given_tokens_are_sure():
    confidence = np.array([[[-3.0, np.inf, -1.0, -2.0]]], np.float32)
    recording = Recording(np.zeros((1, 1, 4), int), np.ones((1, 1, 4), int))
    recording(Step("coarse", 0, 1, 0, 0, 1, np.zeros((1, 1, 4), int), confidence > 0, confidence))
    np.testing.assert_array_equal(recording.moments[-1].confidence, [[0, 1, 1, 0.5]])


# --- Sliders that run something slow ----------------------------------------------------------------------


def test_live_shows_the_result_of_the_last_setting():
    live = Live(lambda level, go_on: ipywidgets.Label(f"level {level}"), level=ipywidgets.IntSlider(3))
    live.wait(SECONDS)
    assert live.result.value == "level 3" and live.children[-1].children == (live.result,)
    live.controls["level"].value = 5
    live.wait(SECONDS)
    assert live.result.value == "level 5" and live.error is None


def test_live_has_the_still_picture_of_its_first_result():
    """Also where the player is one part of what is shown; what has no picture stays without."""

    def make(level, go_on):
        return ipywidgets.VBox([ipywidgets.Label("loud"), Player({"tone": tone(level / 10, 1.0)}, RATE)])

    shown = Live(make, level=ipywidgets.IntSlider(3, 1, 9))._repr_mimebundle_()
    assert shown["image/png"].startswith(b"\x89PNG") and "application/vnd.jupyter.widget-view+json" in shown
    plain = Live(lambda level, go_on: ipywidgets.Label("quiet"), level=ipywidgets.IntSlider(3))
    assert "image/png" not in plain._repr_mimebundle_()


def test_a_newer_setting_cancels_the_older():
    started, ended = threading.Event(), []

    def slow(level, go_on):
        started.set()
        while level == 1 and go_on():
            pass
        ended.append(level)
        return ipywidgets.Label(str(level))

    live = Live(slow, level=ipywidgets.IntSlider(1))
    assert started.wait(SECONDS)
    live.controls["level"].value = 2
    live.wait(SECONDS)
    assert ended == [1, 2] and live.result.value == "2"


def test_live_says_what_went_wrong():
    def fail(level, go_on):
        raise InputError("steps must be at least 1")

    live = Live(fail, level=ipywidgets.IntSlider(1))
    live.wait(SECONDS)
    assert isinstance(live.error, InputError) and live.result is None
    assert "steps must be at least 1" in live.status.value


# --- A sound of one's own ---------------------------------------------------------------------------------


@pytest.fixture
def wav(tmp_path):
    """A file with two channels of a tone, one second long."""
    audio.save(tmp_path / "tone.wav", np.stack([tone(0.5, 1.0), tone(0.25, 1.0)]), RATE)
    return tmp_path / "tone.wav"


def uploaded(chosen, name, content):
    """Let the front end send a file, the way a browser's arrives."""
    file = {"name": name, "type": "audio/wav", "size": len(content), "last_modified": 0}
    chosen.upload.set_state({"value": [{**file, "content": memoryview(content)}]})


def test_the_sound_is_the_named_file_until_another_is_uploaded(tmp_path, wav):
    chosen = SoundFile(wav, seconds=0.5)
    assert (chosen.name, chosen.sample_rate, chosen.audio.shape) == ("tone.wav", RATE, (2, RATE // 2))
    assert chosen.caption.value == "tone.wav: 0.5 of 1.0 s, 2 channels, 8000 Hz"
    audio.save(tmp_path / "other.wav", tone(0.1, 0.25), 2 * RATE)
    uploaded(chosen, "other.wav", (tmp_path / "other.wav").read_bytes())
    np.testing.assert_allclose(chosen.audio, tone(0.1, 0.25)[None], atol=1e-6)
    assert (chosen.name, chosen.sample_rate) == ("other.wav", 2 * RATE)
    assert chosen.caption.value == "other.wav: 0.1 s, 1 channel, 16000 Hz"


def test_a_file_that_is_no_sound_is_named_and_the_sound_stays(wav):
    chosen = SoundFile(wav, seconds=9)
    uploaded(chosen, "letter.wav", b"Dear reader")
    assert chosen.caption.value.startswith("letter.wav cannot be read as audio")
    assert chosen.name == "tone.wav" and chosen.audio.shape == (2, RATE)


def test_a_sound_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="none.wav"):
        SoundFile(tmp_path / "none.wav", seconds=9)


@pytest.mark.parametrize("kind", ["grid", "editor", "decoding", "sound file"])
def test_each_has_a_still_picture(pipeline, codes, wav, kind):
    make = {
        "grid": lambda: CodeGrid(codes, 57.4),
        "editor": lambda: MaskEditor(pipeline, codes),
        "decoding": lambda: DecodingView(Recording(codes, masks.full(codes.shape)), pipeline),
        "sound file": lambda: SoundFile(wav, seconds=9),
    }
    shown = make[kind]()._repr_mimebundle_()
    assert (shown[0] if isinstance(shown, tuple) else shown)["image/png"].startswith(b"\x89PNG")


# --- Beside a running cell --------------------------------------------------------------------------------


def test_a_message_in_another_thread_does_not_end_the_cell():
    shell, ended = SimpleNamespace(), []
    shell.events = EventManager(shell, available_events)
    shell.events.register("post_execute", lambda: ended.append(threading.current_thread()))
    cells.shield(shell)
    cells.shield(shell)
    message = threading.Thread(target=shell.events.trigger, args=["post_execute"])
    message.start()
    message.join(SECONDS)
    assert ended == []
    shell.events.trigger("post_execute")
    assert ended == [threading.main_thread()]
