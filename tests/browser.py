"""JupyterLab in a real Chromium, used with keyboard and mouse: what the browser's tests drive."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
from scipy.signal import correlate

from course import LAB_OPTIONS

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120  # until the server answers
CELL_SECONDS = 600  # until one cell has run, on a busy computer
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# The recorder sits behind the player's last node, in the thread that makes the sound.
RECORDER = """
registerProcessor("recorder", class extends AudioWorkletProcessor {
  process([[samples]]) {
    if (samples) this.port.postMessage({ at: currentFrame, samples: samples.slice() });
    return true;
  }
});
"""
START_RECORDING = """
async (player, code) => {
  const { analyser } = player.transport, { context } = analyser;
  const module = () => URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  await (context.recorder ??= context.audioWorklet.addModule(module()));
  const node = new AudioWorkletNode(context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
  const recorded = (player.recorded = []);
  node.port.onmessage = ({ data }) => recorded.push(data);
  node.connect(context.destination); // first: a node that leads nowhere may be left out
  analyser.connect(node);
}
"""
TEXT_OF = """
window.textOf = (samples) => {
  const bytes = new Uint8Array(samples.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
"""
RECORDED = """
(player) => {
  const { recorded } = player;
  const follows = ({ at }, before) => at === before.at + before.samples.length;
  const begin = recorded.findLastIndex((block, i) => !i || !follows(block, recorded[i - 1]));
  const blocks = recorded.slice(Math.max(0, begin));
  const whole = new Float32Array(blocks.reduce((sum, { samples }) => sum + samples.length, 0));
  for (const { at, samples } of blocks) whole.set(samples, at - blocks[0].at);
  return [textOf(whole), player.transport.analyser.context.sampleRate];
}
"""
BUFFER = "(player, index) => textOf(player.transport.buffers[index].getChannelData(0))"

# --- The server -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A running JupyterLab: its folder, its address and token, and its log."""

    folder: Path
    url: str
    token: str
    log: Path

    def problems(self) -> list[str]:
        """Warnings, errors and tracebacks in the log so far."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if re.match(r"\[[WE] |Traceback|\w*Error\b|.*\| ERROR", line)]


def course_in(folder: Path) -> Path:
    """A copy of what the notebooks need; nothing that they write touches the course."""
    clutter = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.state")
    for name in ("notebooks", "helpers", "data", "web", "models", "workshop", "tests/golden"):
        shutil.copytree(ROOT / name, folder / name, ignore=clutter)
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy2(file, folder)
    return folder


@contextlib.contextmanager
def jupyterlab(folder: Path, state: Path) -> Iterator[Server]:
    """JupyterLab of this environment on a free port, with settings of its own, kept in `state`."""
    own = {name: str(state / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    own |= {f"JUPYTERLAB_{name}_DIR": str(state / name) for name in ("SETTINGS", "WORKSPACES")}
    log = state / "jupyter.log"
    news = state / "SETTINGS" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false"}', encoding="utf-8")  # else it asks, in front of the notebook
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--allow-root", *LAB_OPTIONS]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={folder}"],
            cwd=folder,
            env=os.environ | own,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        about = _about(process, state / "JUPYTER_RUNTIME_DIR", log)
        yield Server(folder, about["url"], about["token"], log)
    finally:
        process.terminate()
        process.wait(30)


def _about(process: subprocess.Popen, runtime: Path, log: Path) -> dict:
    """What the server writes about itself when it listens."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # still being written
                return json.loads(file.read_text(encoding="utf-8"))
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')}")


def chromium_path(playwright) -> str | None:
    """Playwright's own Chromium, or one that is installed; None without either."""
    own = playwright.chromium.executable_path
    return own if Path(own).is_file() else next(filter(None, map(shutil.which, CHROMIUMS)), None)


# --- A notebook -------------------------------------------------------------------------------------------


class Lab:
    """A notebook open in JupyterLab: keys, widgets, and what the console `said`."""

    def __init__(self, page, server: Server, notebook: str):
        self.page, self.server, self.said = page, server, []
        self.path = server.folder / "notebooks" / f"{notebook}.ipynb"
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.said.append(f"page: {error}"))
        page.add_init_script(TEXT_OF)
        place = f"lab/tree/notebooks/{notebook}.ipynb?reset&token={server.token}"
        page.goto(server.url + place)
        self.cells = page.locator(".jp-Notebook .jp-Cell")
        self.cells.first.wait_for(timeout=1000 * START_SECONDS)
        page.get_by_text("| Idle").wait_for(timeout=1000 * START_SECONDS)  # before, what is run gets lost

    def keep_pictures(self, folder: Path) -> None:
        """The whole notebook as it looks now, from the top: PNG files NAME_0.png, NAME_1.png and so on."""
        folder.mkdir(parents=True, exist_ok=True)
        self.page.set_viewport_size({"width": 1280, "height": 2400})
        pane = self.page.locator(".jp-WindowedPanel-outer").first
        seen, top = pane.evaluate("pane => pane.clientHeight"), 0
        while top < pane.evaluate("pane => pane.scrollHeight"):  # grows as cells come into sight
            pane.evaluate("(pane, top) => pane.scrollTo(0, top)", top)
            self.page.wait_for_timeout(1500)
            pane.screenshot(path=folder / f"{self.path.stem}_{top // seen}.png")
            top += seen

    def close(self) -> None:
        """Close the page and end its kernel, as File > Shut Down does."""
        self.page.close()
        for kernel in self._ask("GET", "api/kernels"):
            self._ask("DELETE", f"api/kernels/{kernel['id']}")

    def _ask(self, method: str, what: str) -> list | None:
        headers = {"Authorization": f"token {self.server.token}"}
        request = urllib.request.Request(self.server.url + what, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def run(self, last: str | None = None) -> None:
        """Shift+Enter from the first cell on, waiting for each, to the end or to the cell of this id."""
        self.select_first()
        for index, cell in enumerate(nbformat.read(self.path, as_version=4).cells):
            self.page.keyboard.press("Shift+Enter")
            if cell.cell_type == "code":
                self.wait_for(index)
            if cell.id == last:
                return

    def select_first(self) -> None:
        """Command mode on the first cell."""
        self.cells.first.click()
        self.page.keyboard.press("Escape")

    def wait_for(self, index: int) -> None:
        """Until a cell has its number: it has run."""
        prompt = self.cells.nth(index).locator(".jp-InputPrompt")
        self.page.wait_for_function(
            "prompt => /\\[\\d+\\]/.test(prompt.innerText)",
            arg=prompt.element_handle(),
            timeout=1000 * CELL_SECONDS,
        )

    def start(self, code: str) -> int:
        """Type code into a new cell below the selected one and run it; returns the cell's index."""
        keyboard = self.page.keyboard
        self.page.locator(".jp-Cell.jp-mod-active").focus()
        keyboard.press("b")
        index = self.page.evaluate(
            "() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')]"
            ".findIndex(cell => cell.classList.contains('jp-mod-active'))"
        )
        keyboard.press("Enter")
        keyboard.insert_text(code)
        keyboard.press("Control+Enter")
        return index

    def type_and_run(self, code: str) -> str:
        """The text that code in a new cell prints."""
        index = self.start(code)
        self.wait_for(index)
        return self.text_of(index)

    def text_of(self, index: int) -> str:
        """The text that a cell printed."""
        return self.cells.nth(index).locator(".jp-OutputArea-output pre").first.inner_text().strip()

    def saved(self) -> nbformat.NotebookNode:
        """The notebook as Ctrl+S leaves it on the disk."""
        before = self.path.stat().st_mtime_ns
        self.page.locator(".jp-Cell.jp-mod-active").focus()
        self.page.keyboard.press("Control+s")
        until = time.monotonic() + 60
        while self.path.stat().st_mtime_ns == before and time.monotonic() < until:
            self.page.wait_for_timeout(100)
        self.page.wait_for_timeout(500)  # the file is written in pieces
        return nbformat.read(self.path, as_version=4)

    def players(self) -> list["PlayerOnPage"]:
        """The players of the page, from the top, when all have their sound."""
        found = self.page.locator(".course-player")
        found.first.wait_for()
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.course-player')]"
            ".every(player => player.transport.buffers.length)"
        )
        return [PlayerOnPage(self.page, found.nth(i)) for i in range(found.count())]


# --- The player -------------------------------------------------------------------------------------------


class PlayerOnPage:
    """A player as a person has it before them: keys go to it, and what it sounds like is recorded."""

    def __init__(self, page, root):
        self.page, self.root = page, root

    def press(self, key: str) -> None:
        self.root.press(key)

    def ask(self, expression: str):
        """A JavaScript expression of `transport`."""
        return self.root.evaluate(f"({{ transport }}) => {expression}")

    def labels(self) -> list[str]:
        return self.root.locator(".course-player-version").all_text_contents()

    def times(self) -> tuple[float, float]:
        """The audio clock and the position, in seconds."""
        return self.ask("[transport.analyser.context.currentTime, transport.position]")

    def play(self) -> None:
        """Start by keyboard, and wait until the sound is under way."""
        self.press(" ")
        self.wait_for("transport.voices && transport.analyser.context.currentTime > transport.startedAt")

    def wait_for(self, expression: str) -> None:
        """Until a JavaScript expression of `transport` is true; asked from outside: pages may forbid it."""
        until = time.monotonic() + 30
        while not self.ask(expression):
            assert time.monotonic() < until, f"never: {expression}"
            self.page.wait_for_timeout(20)

    def buffer(self, index: int) -> np.ndarray:
        """The samples of a version, as the browser has them."""
        return np.frombuffer(base64.b64decode(self.root.evaluate(BUFFER, index)), "<f4")

    def start_recording(self) -> None:
        """From now on, while this transport plays on without a jump."""
        self.root.evaluate(START_RECORDING, RECORDER)

    def recorded(self) -> tuple[np.ndarray, int]:
        """What was heard without interruption up to now, (N,) float32, and its sample rate."""
        content, sample_rate = self.root.evaluate(RECORDED)
        return np.frombuffer(base64.b64decode(content), "<f4"), int(sample_rate)

    def record(self, milliseconds: int) -> tuple[np.ndarray, int]:
        """So much of what is heard now."""
        self.start_recording()
        self.page.wait_for_timeout(milliseconds)
        return self.recorded()


def place(piece: np.ndarray, version: np.ndarray) -> tuple[int, float]:
    """The sample of a version where a piece of sound is, and how alike the two are there, up to 1."""
    products = correlate(version, piece, "valid", method="fft")
    energy = np.concatenate([[0.0], np.cumsum(np.square(version, dtype=float))])
    norms = np.sqrt(energy[len(piece) :] - energy[: -len(piece)]) * np.linalg.norm(piece)
    # Without the norms, a louder place that is a little alike could win.
    alike = products / np.maximum(norms, 1e-9 * norms.max())
    at = int(alike.argmax())
    return at, float(alike[at])
