"""What runs the course's VampNet besides ONNX Runtime: who takes it, what comes out, how fast.

    python -m workshop runtimes vampnet --markdown models/vampnet/runtimes.md

Each runtime gets each graph in a process of its own, with ONNX Runtime beside it: it may crash, and two of
them in one process may not bear each other. None of them is needed by the course; `pip install` names below.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from helpers.audio.clips import load_clips
from helpers.runtime.session import Graph, OnnxGraph
from helpers.support import commands, files
from helpers.support.commands import Parser, whole
from helpers.support.errors import first_line, plain
from helpers.support.tables import markdown_table
from helpers.vampnet.files import course_checkpoints
from helpers.vampnet.graphs import export_bundle, graphs_to_export
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.weights import load_models
from workshop.bench import machine
from workshop.vampnet.bench.conversions import FRAMES, RUNTIMES, Part

GRAPHS = ("codec_encoder", "coarse", "codec_decoder")  # c2f is coarse's architecture again
ROUNDS, LIMIT = 15, 900


@dataclass(frozen=True)
class Outcome:
    """What became of one graph in one runtime; None for what was not reached, and why in `note`.

    n_bytes: of its files. share: of tokens equal to ONNX Runtime's. difference: the largest between samples
    of a decoder's sound. any_length: whether half the input gives what ONNX Runtime gives. ratio: its
    processor time to ONNX Runtime's, medians.
    """

    runtime: str
    version: str = ""
    graph: str = ""
    n_bytes: int | None = None
    share: float | None = None
    difference: float | None = None
    any_length: bool | None = None
    ratio: float | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Its row."""
        same = "" if self.share is None else "all" if self.share == 1 else f"{self.share:.2%}"
        if self.difference is not None:
            same = f"sound within {self.difference:.0e}"
        return (
            self.runtime, self.version, self.graph, "no" if self.n_bytes is None else "yes", same,
            "" if self.any_length is None else "any" if self.any_length else "the converted one",
            "" if self.n_bytes is None else f"{self.n_bytes / 1e6:.1f}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            plain(self.note).replace("|", "\\|"),
        )  # fmt: skip


HEADINGS = ("runtime", "version", "graph", "converts", "tokens equal", "length", "MB",
            "time, ONNX Runtime's = 1", "note")  # fmt: skip


def compared(graph: str, theirs: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """Share of equal tokens, or the difference of sounds. Raises ValueError for another shape."""
    if theirs.shape != ours.shape:
        raise ValueError(f"the shape is {theirs.shape}, ONNX Runtime's is {ours.shape}")
    if graph == "codec_decoder":
        return {"difference": float(np.abs(theirs - ours).max())}
    if graph != "codec_encoder":  # logits
        theirs, ours = theirs.argmax(-1), ours.argmax(-1)
    return {"share": float((theirs == ours).mean())}


def takes(part: Part, theirs: Graph, ours: Graph, whole_input: Mapping[str, float]) -> bool:
    """Whether half the input comes out as near to ONNX Runtime's as the whole; an error is a no."""
    try:
        found = compared(part.name, theirs(part.shorter), ours(part.shorter))
    except Exception:  # whatever kind: it does not take this length
        return False
    if "share" in found:
        return found["share"] > whole_input["share"] - 0.05
    return found["difference"] < max(10 * whole_input["difference"], 1e-4)


def processor_seconds(run: Graph, given: np.ndarray) -> float:
    """Of all threads: what else the machine does counts less than on the clock."""
    start = time.process_time()
    run(given)
    return time.process_time() - start


def attempt(name: str, part: Part, rounds: int) -> Outcome:
    """One graph in one runtime, in this process; an error ends it and is its note."""
    torch.set_num_threads(1)
    found = Outcome(name, version(RUNTIMES[name].packages[0]), part.name)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # converters warn of themselves and of one another
        try:
            theirs = RUNTIMES[name].convert(part, Path(folder))
            written = [one for one in Path(folder).rglob("*") if one.is_file()]
            found = replace(found, n_bytes=sum(one.stat().st_size for one in written))
            if theirs is None:
                return replace(found, note="converted, not run: it runs on Apple's systems only")
            ours = OnnxGraph(part.onnx, threads=1)
            same = compared(part.name, theirs(part.given), ours(part.given))
            found = replace(found, **same)
            runs = [[processor_seconds(run, part.given) for run in (theirs, ours)] for _ in range(rounds)]
            their_seconds, our_seconds = np.median(runs, axis=0)
            found = replace(found, ratio=float(their_seconds / our_seconds))
            # Last: a runtime that has refused a length may not take the right one again.
            return replace(found, any_length=takes(part, theirs, ours, same))
        except Exception as error:  # whatever kind: what a runtime can't do is what the table is for
            return replace(found, note=f"{type(error).__name__}: {first_line(error)}")


def parts(home: Path, bundle: Path) -> list[Part]:
    """The graphs of GRAPHS, on one of the course's clips; a third of coarse's tokens are MASK."""
    models, pipeline = load_models(home), Pipeline.open(bundle, threads=1)
    audio = np.resize(load_clips()[0].conditioned(pipeline.sample_rate), (1, 1, FRAMES * pipeline.hop))
    # ONNX Runtime's int64 is numpy's longlong, which LiteRT and OpenVINO don't know.
    codes = pipeline.encode(audio, pipeline.sample_rate, condition=False).astype(np.dtype("int64"))
    masked = codes[:, : models.coarse.config.n_codebooks].copy()
    masked[np.random.default_rng(0).random(masked.shape) < 1 / 3] = models.coarse.config.vocab_size
    given = {"codec_encoder": audio, "coarse": masked, "codec_decoder": codes}
    graphs = graphs_to_export(models)
    return [Part(name, graphs[name].module.eval(), bundle / f"{name}.onnx", given[name]) for name in GRAPHS]


def tried(name: str, given: Sequence[Part], rounds: int, limit: float) -> Iterator[Outcome]:
    """A runtime's rows; one that says so where it is not installed. limit: seconds that a graph may take."""
    try:
        found = [version(package) for package in RUNTIMES[name].packages][0]
    except PackageNotFoundError:
        yield Outcome(name, note=f"not installed: pip install {' '.join(RUNTIMES[name].packages)}")
        return
    spawn = multiprocessing.get_context("spawn")
    for part in given:
        receiver, sender = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_attempt_there, args=(sender, name, part, rounds))
        process.start()
        sender.close()
        try:
            late = Outcome(name, found, part.name, note=f"not done after {limit:g} s")
            yield receiver.recv() if receiver.poll(limit) else late
        except EOFError:
            yield Outcome(name, found, part.name, note="it ended its process")
        finally:
            process.kill()
            process.join()
            receiver.close()


def _attempt_there(sender: Connection, name: str, part: Part, rounds: int) -> None:
    sender.send(attempt(name, part, rounds))


REST = """\
## Installing them

Each has its extra in `pyproject.toml`, and each installs beside the course's PyTorch. LiteRT's converter and
Core ML's tools want different releases of one package, as pip says: `xdsl 0.28.0 requires
typing-extensions<4.13,>=4.7, but you have typing-extensions 4.16.0 which is incompatible.`
Give one of them an environment of its own.
ONNX Runtime's token arrays are numpy's `longlong`, which LiteRT and OpenVINO refuse: copy them
with `array.astype("int64")` first. LiteRT's graphs take 32-bit tokens of one length.

## Small boards: not run

Nobody has run the course on these; this is what to try first.

- **Raspberry Pi 4 or 5, 64-bit system**: `pip install numpy onnxruntime`, then `helpers/` and a bundle made
  elsewhere with `export --precision int8`. Expect several times a laptop's time: measure before you promise.
  LiteRT's graphs are made on a PC too; there `ai-edge-litert` alone runs them.
- **Jetson**: the same on its processor. Its GPU needs NVIDIA's own build of ONNX Runtime for its JetPack,
  then `helpers.open(bundle, providers=["CUDAExecutionProvider"])`; compare the tokens with the processor's.
- **A microcontroller**: no. The weights alone are tens of megabytes.
"""


def markdown(outcomes: Sequence[Outcome], home: Path) -> str:
    """The report."""
    versions = machine.listed(machine.versions())
    load = machine.load()
    busy = "" if load is None else f" The machine was busy (load {load:.1f} on {os.cpu_count()} cores)."
    return (
        f"# Other runtimes, {date.today()}\n\n"
        f"Checkpoints in `{home.name}`, {FRAMES} frames of one clip, {machine.processor()}; {versions}. "
        "Tokens are the encoder's codes and the most likely token of coarse's logits, compared with ONNX "
        "Runtime's on the same input. Time is processor time of one run on one thread, the median of runs in "
        f"turn with ONNX Runtime's in the same process; below 1 is faster.{busy}\n\n"
        f"{markdown_table(HEADINGS, [one.cells() for one in outcomes])}\n\n{REST}"
    )


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop runtimes vampnet", description=__doc__.partition("\n")[0])
    command.add_argument("--checkpoints", type=Path, metavar="DIR", help="default: the course's")
    command.add_argument("--bundle", type=Path, metavar="DIR", help="theirs, float32; default: made anew")
    command.add_argument("--only", nargs="+", choices=RUNTIMES, metavar="NAME", help="; ".join(RUNTIMES))
    command.add_argument("--rounds", type=whole(1, 1000), default=ROUNDS, metavar="N", help="%(default)s")
    command.add_argument(
        "--limit", type=whole(1, 100_000), default=LIMIT, metavar="SECONDS", help="for a graph; %(default)s"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the report")
    command.set_defaults(run=run_runtimes)
    return command


def run_runtimes(arguments: argparse.Namespace) -> None:
    files.check_outputs([arguments.markdown])
    home = arguments.checkpoints or course_checkpoints()
    with tempfile.TemporaryDirectory() as folder:
        bundle = arguments.bundle or export_bundle(load_models(home), Path(folder) / "bundle")
        given = parts(home, bundle)
        names = arguments.only or RUNTIMES
        outcomes = []
        for name in names:
            for one in tried(name, given, arguments.rounds, arguments.limit):
                outcomes.append(one)
                print(*filter(None, one.cells()), sep=", ", flush=True)
    text = markdown(outcomes, home)
    print(text, end="")
    if arguments.markdown:
        files.write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
