"""What threads that spin while they wait cost on a busy machine, and what they gain on an idle one.

    python -m workshop waiting vampnet --markdown models/vampnet/waiting.md

One run of the coarse transformer in PyTorch and in ONNX Runtime, on all cores, with threads that spin
long and with threads that soon sleep, in turn; first alone, then beside as many busy processes as there are
cores. In ONNX Runtime it is all or nothing.
"""

import argparse
import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from helpers.runtime.session import CPU
from helpers.support import commands, files
from helpers.support.commands import Parser, whole
from helpers.support.cores import n_cores
from helpers.support.tables import markdown_table
from helpers.vampnet.files import course_checkpoints
from workshop.bench import machine
from workshop.bench.worker import Run, Worker

SPINS = "GOMP_SPINCOUNT"  # how many rounds PyTorch's threads spin before they sleep, on Linux
WAITING = {"spin": "300000", "sleep": "20000"}  # what it is otherwise, and with the course
LIBRARIES = ("PyTorch", "ONNX Runtime")
FRAMES = 500
ROUNDS = 9


@dataclass(frozen=True)
class Waiting:
    """Median seconds of a run by library, by how threads wait, alone and beside busy processes."""

    seconds: dict[tuple[str, str, bool], float]

    def ratio(self, library: str, is_busy: bool) -> float:
        """How many times as fast it is if threads soon sleep."""
        return self.seconds[library, "spin", is_busy] / self.seconds[library, "sleep", is_busy]


def measure(home: Path, rounds: int = ROUNDS) -> Waiting:
    """Everything that the report says."""
    found = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for library in LIBRARIES:
            for name, rounds_to_spin in WAITING.items():
                with _environment({SPINS: rounds_to_spin}):
                    prepared = partial(prepare, library, name == "spin", home)
                    workers[library, name] = stack.enter_context(Worker(prepared))
        for is_busy in (False, True):
            with busy(n_cores() if is_busy else 0):
                runs = {key: [] for key in workers}
                for _ in range(rounds):
                    for key, worker in workers.items():
                        runs[key].append(worker.run().seconds)
            found |= {(*key, is_busy): float(np.median(seconds)) for key, seconds in runs.items()}
    return Waiting(found)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """What processes that are started meanwhile find."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but keep a core busy."""
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_turn, daemon=True) for _ in range(count)]
    for one in others:
        one.start()
    try:
        yield
    finally:
        for one in others:
            one.terminate()
            one.join()


def _turn() -> None:
    while True:
        pass


def prepare(library: str, spins: bool, home: Path) -> Run:
    """The coarse transformer on all cores, once."""
    import torch

    from helpers.vampnet.weights import load_models

    models = load_models(home)
    model = models.coarse
    codes = np.random.default_rng(0).integers(0, 1024, (1, model.config.n_codebooks, FRAMES))
    if library == "PyTorch":
        torch.set_num_threads(n_cores())
        given = torch.from_numpy(codes)

        def run() -> dict[str, float]:
            with torch.inference_mode():
                model(given)
            return {}

        return run
    session = _session(models, spins)

    def run_graph() -> dict[str, float]:
        session.run(None, {"codes": codes})
        return {}

    return run_graph


def _session(models, spins: bool):
    """The transformer's graph; `OnnxGraph` never spins, so this one is opened by hand."""
    import onnxruntime

    from helpers.export.bundle import save_graph
    from helpers.export.graph import to_onnx
    from helpers.vampnet.graphs import graphs_to_export

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coarse.onnx"
        save_graph(to_onnx(graphs_to_export(models)["coarse"]), path)
        return onnxruntime.InferenceSession(path, options, providers=[CPU])


def markdown(found: Waiting) -> str:
    """The report."""
    rows = [
        (library, "beside busy processes" if is_busy else "alone",
         *(f"{1000 * found.seconds[library, name, is_busy]:.0f}" for name in WAITING),
         f"{found.ratio(library, is_busy):.2f}")
        for library in LIBRARIES for is_busy in (False, True)
    ]  # fmt: skip
    headings = ("library", "machine", "threads spin (ms)", "they soon sleep (ms)", "times as fast")
    versions = machine.listed(machine.versions())
    return (
        f"# Threads that wait, {date.today()}\n\n"
        f"{machine.processor()}, {n_cores()} cores and as many threads; {versions}. The course's coarse "
        f"transformer on {FRAMES} frames, medians of runs in turn.\n\n{markdown_table(headings, rows)}\n"
    )


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop waiting vampnet", description=__doc__.partition("\n")[0])
    command.add_argument("--checkpoints", type=Path, metavar="DIR", help="default: the course's")
    command.add_argument("--rounds", type=whole(1, 1000), default=ROUNDS, metavar="N", help="%(default)s")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the report")
    command.set_defaults(run=run_waiting)
    return command


def run_waiting(arguments: argparse.Namespace) -> None:
    files.check_outputs([arguments.markdown])
    text = markdown(measure(arguments.checkpoints or course_checkpoints(), arguments.rounds))
    print(text, end="")
    if arguments.markdown:
        files.write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
