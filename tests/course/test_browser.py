"""The course in JupyterLab and a real Chromium, by keyboard and mouse: `pytest -m browser`."""

import json
import textwrap
from pathlib import Path

import browser
import nbformat
import numpy as np
import pytest
from browser import ROOT, Lab, PlayerOnPage, place

pytestmark = pytest.mark.browser
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SILENCE = 1e-4  # root mean square: 80 dB below full scale
LARGEST_OFFSET = 0.005  # seconds
PIECE = 4096  # samples that are looked up in a version

# What the log and the console may say, and why it is not about the course.
HARMLESS = [
    "is not trusted",  # a notebook that was never run on this computer
    "websocket_ping_timeout",  # Jupyter's own settings disagree
    "to activate",  # a busy computer
    ".ipynb doesn't exist",  # Jupyter lists the folder while it saves there under another name
]

NOISES = """
import sys

sys.path.insert(0, "..")
import numpy as np
from helpers.lesson.widgets import Player

RATE = 44100
rng = np.random.default_rng(0)
rain, hail = np.repeat(0.1 * rng.standard_normal((2, 20 * RATE // 8)), 8, axis=1)  # no second like another
"""
SLOW = """
import time

import ipywidgets
from helpers.lesson.widgets import Live

begun, stopped = [], []


def make(number, go_on):
    begun.append(number)
    for _ in range(100):
        time.sleep(0.1)
        if not go_on():
            stopped.append(number)
            return None
        if number == 2:
            return ipywidgets.Label(f"made {number}")


live = Live(make, number=ipywidgets.IntSlider(0, 0, 9, continuous_update=False))
live
"""


# --- What runs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(chromium, tmp_path_factory):
    """JupyterLab on a copy of the course."""
    folder = browser.course_in(tmp_path_factory.mktemp("course"))
    with browser.jupyterlab(folder, tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def opened(chromium, server):
    """A function that opens a notebook by name; at the end nothing may be wrong in console and log."""
    labs, before = [], len(server.problems())

    def opened(notebook: str) -> Lab:
        labs.append(Lab(chromium.new_page(viewport={"width": 1280, "height": 800}), server, notebook))
        return labs[-1]

    yield opened
    for lab in labs:
        lab.close()
    said = [line for lab in labs for line in lab.said] + server.problems()[before:]
    assert [line for line in said if not any(harmless in line for harmless in HARMLESS)] == []


@pytest.fixture
def shown(opened, server):
    """A function that runs code in a notebook of its own, and opens what that shows."""

    def shown(code: str) -> Lab:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, server.folder / "notebooks" / "shown.ipynb")
        lab = opened("shown")
        lab.run()
        return lab

    return shown


# --- Listening --------------------------------------------------------------------------------------------


def check_sound(heard: np.ndarray) -> None:
    """Fails when there was nothing to hear."""
    level = float(np.sqrt(np.mean(heard**2))) if heard.size else 0.0
    assert level > SILENCE, f"silence: {heard.size} samples at {level:.1e}"


def offset_at_switch(heard: np.ndarray, rate: int, before: np.ndarray, after: np.ndarray) -> float:
    """Seconds by which the second version is ahead of where the first one would have been."""
    start, alike = place(heard[:PIECE], before)
    end, alike_then = place(heard[-PIECE:], after)
    assert min(alike, alike_then) > 0.9, f"not what was chosen: {alike:.2f}, {alike_then:.2f}"
    return ((end - start) - (len(heard) - PIECE)) / rate


def switched(player: PlayerOnPage) -> tuple[np.ndarray, int]:
    """Half a second of the first version, then as much of the second."""
    player.play()
    player.start_recording()
    player.page.wait_for_timeout(500)
    player.press("2")
    player.page.wait_for_timeout(500)
    heard, rate = player.recorded()
    assert rate == player.ask("transport.buffers[0].sampleRate"), "the versions are at another rate"
    return heard, rate


def test_the_player_plays_and_its_clock_runs(shown):
    (player,) = shown(NOISES + "Player({'rain': rain, 'hail': hail}, RATE)").players()
    assert player.ask("transport.position") == 0
    player.root.locator(".course-player-play").click()
    player.wait_for("transport.position > 0.1")
    clock, position = player.times()
    heard, rate = player.record(500)
    later, position_later = player.times()
    check_sound(heard)
    assert later - clock > 0.4
    assert position_later - position == pytest.approx(later - clock, abs=LARGEST_OFFSET)
    assert place(heard[:PIECE], player.buffer(0))[1] > 0.9
    player.press(" ")
    assert player.ask("transport.voices") is None


def test_switching_keeps_the_position_without_a_gap(shown):
    (player,) = shown(NOISES + "Player({'rain': rain, 'hail': hail}, RATE)").players()
    heard, rate = switched(player)
    assert abs(offset_at_switch(heard, rate, player.buffer(0), player.buffer(1))) < LARGEST_OFFSET
    levels = [np.sqrt(np.mean(window**2)) for window in np.array_split(heard, len(heard) // 512)]
    assert min(levels) > 0.5 * np.median(levels)


def test_a_version_that_is_late_is_noticed(shown):
    (player,) = shown(NOISES + "Player({'rain': rain, 'hail': hail}, RATE)").players()
    player.page.evaluate("""() => {
      const start = AudioBufferSourceNode.prototype.start;
      let count = 0;
      AudioBufferSourceNode.prototype.start = function (when, offset) {
        start.call(this, when + 0.01 * count++, offset);
      };
    }""")
    heard, rate = switched(player)
    offset = offset_at_switch(heard, rate, player.buffer(0), player.buffer(1))
    assert offset == pytest.approx(-0.01, abs=0.001)


def test_silence_fails(shown):
    (player,) = shown(NOISES + "Player({'nothing': 0 * rain, 'rain': rain}, RATE)").players()
    player.play()
    heard, _ = player.record(300)
    assert heard.size > 0
    with pytest.raises(AssertionError, match="silence"):
        check_sound(heard)
    player.press("2")
    check_sound(player.record(300)[0])


def test_a_region_that_is_dragged_plays_over_and_over(shown):
    (player,) = shown(NOISES + "Player({'rain': rain}, RATE)").players()
    stage = player.root.locator(".course-player-stage")
    stage.wait_for()
    box = stage.bounding_box()
    across = [box["x"] + share * box["width"] for share in (0.4, 0.42)]
    player.page.mouse.move(across[0], box["y"] + 40)
    player.page.mouse.down()
    player.page.mouse.move(across[1], box["y"] + 40)
    player.page.mouse.up()
    region = player.ask("transport.region")
    length = region["end"] - region["start"]
    assert 0.3 < length < 0.7  # two hundredths of a picture of twenty seconds and its margins
    player.play()
    heard, rate = player.record(round(3000 * length))
    assert len(heard) > 2 * length * rate
    starts = range(0, len(heard) - 1024, 2048)
    found = [place(heard[start : start + 1024], player.buffer(0)) for start in starts]
    seconds = np.array([at / rate for at, alike in found if alike > 0.9])
    assert len(seconds) > 0.8 * len(found)  # not those that hold the jump back
    early = 0.1 * 1024 / rate  # a tenth of what is looked up may lie before the jump back
    assert seconds.min() > region["start"] - early and seconds.max() < region["end"]
    assert (np.diff(seconds) < 0).sum() >= 2


def test_blind_it_tells_only_after_the_pick(shown):
    lab = shown(NOISES + "player = Player({'rain': rain, 'hail': hail}, RATE, blind='Rain?', seed=1)\nplayer")
    (player,) = lab.players()
    assert player.labels() == ["A", "B"]
    assert "rain" not in player.root.inner_html() and player.root.locator("img").is_hidden()
    player.root.get_by_text("It is B").press("Enter")
    player.root.locator("img").wait_for()
    names = [label.split(": ")[1] for label in player.labels()]
    assert sorted(names) == ["hail", "rain"]
    assert f"You picked B: {names[1]}." in player.root.inner_text()
    assert lab.type_and_run("print(player.picked)") == names[1]


# --- Sliders ----------------------------------------------------------------------------------------------


def test_the_slider_of_codebooks_changes_what_is_heard(opened):
    lab = opened("02_sound_to_tokens")
    lab.run(last="slider")
    lab.page.get_by_role("button", name="14 codebooks", exact=True).wait_for(timeout=60_000)
    all_books = lab.players()[-1]
    assert all_books.labels() == ["original", "14 codebooks"]
    before = [all_books.buffer(i) for i in (0, 1)]
    lab.page.evaluate("""() => {
      window.labelsSeen = new Set();
      const look = () => {
        const buttons = document.querySelectorAll(".course-player-version");
        for (const { textContent } of buttons) labelsSeen.add(textContent);
      };
      new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
    }""")
    handle = lab.page.locator(".widget-slider .noUi-handle")
    handle.press("ArrowLeft")  # 13 codebooks, but the next move comes before they have become sound
    handle.press("Home")
    lab.page.get_by_role("button", name="1 codebooks", exact=True).wait_for(timeout=60_000)
    one_book = lab.players()[-1]
    after = [one_book.buffer(i) for i in (0, 1)]
    assert np.array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 0.01
    assert "13 codebooks" not in lab.page.evaluate("() => [...labelsSeen]")
    one_book.press("2")
    one_book.play()
    heard, _ = one_book.record(1000)
    check_sound(heard)
    assert place(heard, after[1])[1] > 0.99 > place(heard, before[1])[1]


def test_a_second_move_stops_the_first(shown):
    lab = shown(NOISES + SLOW)
    handle = lab.page.locator(".widget-slider .noUi-handle")
    handle.press("ArrowRight")
    handle.press("ArrowRight")
    lab.page.get_by_text("made 2", exact=True).wait_for()
    begun, stopped = json.loads(lab.type_and_run("print([begun, stopped])"))
    assert begun[0] == 0 and begun[-1] == 2  # the first was made before it was shown
    assert stopped == begun[1:-1]


SLOW_FIGURE = """
import time

import matplotlib.pyplot as plt

figure, ax = plt.subplots()
for _ in range(100):  # until the slider has moved
    time.sleep(0.1)
    if live.controls["number"].value == 2:
        break
time.sleep(1)
ax.set_title("whole")
print(live.controls["number"].value, plt.get_fignums())
"""


def test_a_slider_leaves_the_figure_of_a_running_cell_alone(shown):
    lab = shown(NOISES + SLOW)
    handle = lab.page.locator(".widget-slider .noUi-handle")
    handle.press("ArrowRight")  # a slider's first message still waits for the cells
    lab.type_and_run("print(live.controls['number'].value)")
    cell = lab.start(SLOW_FIGURE)
    handle.press("ArrowRight")
    lab.wait_for(cell)
    assert lab.text_of(cell) == "2 [1]"
    lab.cells.nth(cell).locator("img").wait_for()


# --- The mask editor --------------------------------------------------------------------------------------

ON_SCREEN = """
(canvas, [left, row, width, books, frames]) => {
  const picture = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const hidden = (book, frame) => {
    const x = Math.floor((left + (frame + 0.4) * width) * scale), y = Math.floor((book + 0.5) * row * scale);
    const at = 4 * (y * canvas.width + x);
    return Number(String(picture.slice(at, at + 3)) === "223,227,230");
  };
  const rowOf = (book) => Array.from({ length: frames }, (_, frame) => hidden(book, frame));
  return Array.from({ length: books }, (_, book) => rowOf(book));
}
"""


def test_cells_that_are_dragged_are_those_of_the_kernels_mask(opened):
    lab = opened("07_play")
    lab.run(last="editor")
    canvas = lab.page.locator(".course-grid canvas")
    fits = canvas.evaluate("canvas => canvas.offsetWidth <= canvas.parentElement.clientWidth")
    assert fits, "part of the four seconds is out of sight"
    mask = np.array(json.loads(lab.type_and_run("print(editor.mask[0].tolist())")))
    books, frames = mask.shape
    size = canvas.bounding_box()
    left, right, row = 74, 10, 18  # as drawn by grid.js
    width = (size["width"] - left - right) / frames

    def point(book: int, frame: int) -> tuple[float, float]:
        box = canvas.bounding_box()
        return box["x"] + left + (frame + 0.5) * width, box["y"] + (book + 0.5) * row

    # Drags that hide and that keep, backwards, out over the edge, and a single cell.
    drags = [((3, 20), (7, 30)), ((9, 50), (5, 41)), ((12, 60), (books + 1, 64)), ((0, 7), (0, 7))]
    for (book, frame), (book_to, frame_to) in drags:
        canvas.scroll_into_view_if_needed()
        lab.page.mouse.move(*point(book, frame))
        lab.page.mouse.down()
        lab.page.mouse.move(*point((book + book_to) // 2, (frame + frame_to) // 2))
        lab.page.mouse.move(*point(book_to, frame_to))
        lab.page.mouse.up()
        rows = slice(min(book, book_to), max(book, book_to) + 1)
        columns = slice(min(frame, frame_to), max(frame, frame_to) + 1)
        mask[rows, columns] = 1 - mask[book, frame]
    in_kernel = np.array(json.loads(lab.type_and_run("print(editor.mask[0].tolist())")))
    assert in_kernel.tolist() == mask.tolist()
    assert canvas.evaluate(ON_SCREEN, [left, row, width, books, frames]) == mask.tolist()


# --- Every notebook ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_cell_runs_by_keyboard(opened, notebook, request):
    lab = opened(notebook)
    lab.run()
    for player in lab.players() if "Player(" in lab.path.read_text(encoding="utf-8") else []:
        player.play()
        check_sound(player.record(1000)[0])
        player.press(" ")
    if folder := request.config.getoption("--pictures"):
        lab.keep_pictures(Path(folder))
    cells = [cell for cell in lab.saved().cells if cell.cell_type == "code" and cell.source]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [(cell.id, output) for cell in cells for output in cell.outputs]
    wrong = [(name, output) for name, output in outputs if output.output_type == "error"]
    noise = [(name, output.text) for name, output in outputs if output.get("name") == "stderr"]
    assert (wrong, noise) == ([], []), textwrap.shorten(str(wrong + noise), 2000)
    assert lab.page.get_by_text("Error displaying widget").count() == 0
