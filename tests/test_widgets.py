"""What the widgets do in Python: what they send, and what they make of what the reader does."""

import numpy as np
import pytest

from helpers.errors import InputError
from helpers.widgets import Player

RATE = 8000


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
