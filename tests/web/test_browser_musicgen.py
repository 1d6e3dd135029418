"""MusicGen's page in a real Chromium, from a file and without a network: `pytest -m browser tests/web`."""

import base64
import json
import threading

import numpy as np
import pytest
import soundfile
from browser import place

from helpers.__main__ import main
from helpers.musicgen.files import MODELS
from helpers.musicgen.pipeline import Pipeline
from helpers.musicgen.takes import load_take
from teaching import serve
from tests.web.test_browser import HEAR, UNNAMED, Page
from tests.web.test_page import HOSTILE, changed

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def music_bundle(tmp_path_factory):
    """The course's own MusicGen exported."""
    from helpers.musicgen.graphs import export_bundle
    from helpers.musicgen.weights import load_models

    return export_bundle(load_models(MODELS), tmp_path_factory.mktemp("music") / "bundle")


@pytest.fixture(scope="module")
def music_page(music_bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert main(["page", str(music_bundle), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def pipeline(music_bundle):
    return Pipeline.open(music_bundle, threads=1)


@pytest.fixture
def opened(chromium, music_page):
    """The page of the course's MusicGen; nothing may be wrong in its console."""
    page = Page(chromium, music_page, ready="^ready")
    yield page
    page.close()


@pytest.fixture
def wav(tmp_path, pipeline):
    """A second in a file that the browser reads without rounding."""
    rate = pipeline.sample_rate
    times = np.arange(rate) / rate
    path = tmp_path / "a second.wav"
    soundfile.write(path, (0.2 * np.sin(1400 * times * (1 - times / 4))).astype("f4"), rate, subtype="FLOAT")
    return path


def written(page, tmp_path):
    """The take that is chosen, as settings and as sound."""
    samples, _ = soundfile.read(page.saved("#save-wav", tmp_path), dtype="float32")
    return load_take(page.saved("#save-settings", tmp_path)), samples


def test_words_are_heard_and_saved_and_python_makes_the_same(opened, tmp_path, pipeline):
    opened.page.fill("#text", "slow piano")
    opened.set(more=1, seed=7)
    opened.make()
    player = opened.player
    assert player.labels() == ["take 1"]
    player.play()
    text, rate = player.root.evaluate(HEAR, 500)
    heard = np.frombuffer(base64.b64decode(text), "<f4")
    take, samples = written(opened, tmp_path)
    assert take.text == "slow piano" and take.input is None and take.settings["seed"] == 7
    made = take.again(pipeline)
    assert take.gave(made) and np.abs(made.audio.ravel() - samples).max() < 1e-4
    if rate == pipeline.sample_rate:  # else what is heard was resampled
        assert place(heard[2048:6144], samples)[1] > 0.99


def test_a_sound_goes_on_and_its_end_goes_on(opened, wav, tmp_path, pipeline):
    opened.open(wav)
    opened.page.fill("#text", "drums")
    opened.set(more=0.5, temperature=1.2, top_p=0.9, guidance=1.5)
    opened.make()
    assert opened.player.labels() == ["a second.wav", "take 1"]
    take, samples = written(opened, tmp_path)
    audio, rate = soundfile.read(wav, dtype="float32")
    assert take.gave(take.again(pipeline, audio[None], rate))
    assert samples.size == 1.5 * rate

    opened.page.check("#again")
    opened.page.click("#feed")
    opened.until("^ready")
    opened.page.click("#make")
    opened.page.locator("#sound-name").get_by_text("take 2").wait_for(timeout=300_000)
    opened.page.uncheck("#again")
    opened.until("^take")
    further, longer = written(opened, tmp_path)
    assert longer.size >= 2.5 * rate and further.settings["seed"] >= 1


def test_settings_come_back(opened, tmp_path):
    opened.page.fill("#text", "guitar")
    opened.set(more=0.5, seed=12, top_k=9, guidance=2)
    opened.make()
    saved = opened.saved("#save-settings", tmp_path)
    opened.page.fill("#text", "")
    opened.set(more=3, seed=1, top_k=0, guidance=1)
    opened.page.set_input_files("#settings-file", saved)
    opened.until("settings as saved")
    values = [opened.page.input_value(f"#{one}") for one in ("text", "knob-more", "knob-seed", "knob-top_k")]
    assert values == ["guitar", "0.5", "12", "9"]
    edited = json.loads(saved.read_text())
    edited["settings"]["guidance"] = 2.25
    saved.write_text(json.dumps(edited))
    opened.page.set_input_files("#settings-file", saved)
    opened.until("cannot set guidance")
    saved.write_text('{"mask": []}')
    opened.page.set_input_files("#settings-file", saved)
    opened.until("no settings of a generation")


def test_cancel_ends_it_and_the_next_one_works(opened):
    opened.set(more=30)
    opened.page.click("#make")
    opened.page.locator("#progress").wait_for()
    opened.page.click("#cancel")
    opened.until("cancelled")
    assert opened.page.locator("#listen").is_hidden()
    opened.set(more=0.5)
    opened.make()


def test_from_a_server_that_isolates_it_two_threads_write_the_same(chromium, music_page, tmp_path, pipeline):
    with serve.server(music_page.parent, 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_port}/{music_page.name}"
        page = Page(chromium, address, ready="^ready", offline=False)
        assert page.page.evaluate("crossOriginIsolated")
        assert page.page.evaluate("document.body.models.opened") == 2
        page.page.fill("#text", "fast drums")
        page.set(more=0.5, seed=3)
        page.make()
        take, _ = written(page, tmp_path)
        assert take.gave(take.again(pipeline))
        page.close()
        serving.shutdown()


@pytest.mark.parametrize("width", [360, 1366])
def test_everything_has_a_name_and_a_place(chromium, music_page, width):
    page = Page(chromium, music_page, width=width, height=800, ready="^ready")
    page.set(more=0.5)
    page.make()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.page.evaluate(UNNAMED) == []
    reached = set()
    page.page.locator("#file").focus()
    for _ in range(40):
        reached.add(page.page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        page.page.keyboard.press("Tab")
    assert {
        "record",
        "text",
        "feed",
        "save-wav",
        "knob-more",
        "knob-greedy",
        "settings-file",
        "make",
    } <= reached
    page.close()


def test_a_strangers_names_run_no_script(chromium, music_bundle, tmp_path):
    copied = changed(music_bundle, tmp_path / "<img src=x onerror=stolen=1>", tools={HOSTILE: HOSTILE})
    assert main(["page", str(copied), "--out", str(tmp_path / "page.html")]) == 0
    page = Page(chromium, tmp_path / "page.html", ready="^ready")
    page.page.locator("summary").click()
    assert page.page.evaluate("window.stolen") is None and page.page.locator("#about img").count() == 0
    page.close()
