"""What the commands do with a classifier: `export`, `verify`, `classify`, and `batch` with a folder."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from helpers.batch import Work
from helpers.batch.folder import SOUNDS, find
from helpers.classify import selections
from helpers.classify.events import events
from helpers.support import files
from helpers.support.commands import (
    Parser,
    add_models,
    from_bundle,
    graph_progress,
    number,
    progress,
    wrote_bundle,
)
from helpers.support.errors import InputError, plain

DIGITS = 7  # of a score in JSON: all that float32 has


def export(arguments: argparse.Namespace) -> None:
    """A checkpoint to a bundle of one graph."""
    from helpers.classify.graphs import GRAPHS, export_bundle
    from helpers.classify.weights import load_models

    models = load_models(arguments.checkpoints, arguments.model, arguments.labels)
    print(plain(models.report.summary()))
    with graph_progress(len(GRAPHS)) as on_graph:
        bundle = export_bundle(
            models, arguments.out, arguments.opset, arguments.external_data, on_graph, arguments.precision
        )
    print(wrote_bundle(bundle, arguments.opset, arguments.precision))
    if models.labels[0] == "0":
        print("note: the labels have no names; give a CSV of them with --labels.")


def verify(arguments: argparse.Namespace):
    """The certificate of a bundle."""
    from helpers.classify.proof import verify_bundle

    with progress(unit="comparison") as bar:
        return verify_bundle(
            arguments.checkpoints, arguments.bundle, arguments.model, arguments.labels,
            lambda row: bar.update(),
        )  # fmt: skip


def page(arguments: argparse.Namespace) -> None:
    """There is no page for it yet. Raises InputError."""
    raise InputError(
        "a page plays a vampnet or a musicgen, and this bundle is a classifier; use it with classify."
    )


def add_options(command: argparse.ArgumentParser) -> None:
    """What goes with --checkpoints of a classifier alone."""
    command.add_argument(
        "--model",
        metavar="NAME",
        help="classifiers: which architecture it is, where the file's name does not say",
    )
    command.add_argument("--labels", type=Path, metavar="CSV", help="classifiers: what the labels are called")


add_export_options = add_options  # `export` takes no more


def add_commands(choices: argparse._SubParsersAction) -> None:
    """`classify`."""
    command: Parser = choices.add_parser("classify", help="what is to be heard in recordings")
    command.set_defaults(run=classify)
    command.add_argument("inputs", type=Path, nargs="+", metavar="IN.wav", help="files, or folders of them")
    add_models(command)
    add_options(command)
    how = command.add_argument_group("what to say")
    how.add_argument("--top", type=int, default=5, metavar="N", help="so many labels (default: %(default)s)")
    add_windows(how)
    how.add_argument("--json", type=Path, metavar="FILE", help="write every score of every label")
    how.add_argument(
        "--selections", type=Path, metavar="FILE.txt",
        help="write what is heard from when to when, as Raven's selection table",
    )  # fmt: skip
    how.add_argument(
        "--threshold", type=number(0, 1), default=0.5, metavar="X",
        help="from which score on a label is heard (default: %(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="JSON, thresholds by label; others take --threshold"
    )


def add_windows(group: argparse._ActionsContainer) -> None:
    """How a long recording is cut."""
    group.add_argument(
        "--window", type=float, metavar="S", help="each so many seconds, instead of of the whole"
    )
    group.add_argument("--hop", type=float, metavar="S", help="how far windows lie apart (default: --window)")


def hop_of(window: float | None, hop: float | None) -> float | None:
    """How far windows lie apart: as long as they are, where nothing else is said."""
    return window if hop is None else hop


def check_windows(window: float | None, hop: float | None) -> None:
    """Raise InputError for a hop of no window."""
    if hop is not None and window is None:
        raise InputError("--hop goes with --window.")


def classify(arguments: argparse.Namespace) -> int:
    """Say what is to be heard in recordings, whole or window after window: 0 if all could be read, else 1.

    Of several, one that cannot be read is a line, and the others go on. Raises InputError for a single one.
    """
    check_windows(arguments.window, arguments.hop)
    if arguments.top < 1:
        raise InputError("--top should be at least 1.")
    if arguments.selections and arguments.window is None:
        raise InputError("--selections goes with --window: an event has a beginning and an end.")
    paths = recordings(arguments.inputs)
    files.check_outputs([arguments.json, arguments.selections], [*paths, arguments.thresholds])
    pipeline = open_pipeline(arguments)
    thresholds = selections.read_thresholds(arguments.thresholds, pipeline.labels, arguments.threshold)
    found = []
    with progress(total=len(paths), unit="file") as bar:
        for path in paths:
            try:
                said = list(heard(pipeline, path, arguments.window, arguments.hop))
            except InputError as error:
                if len(paths) == 1:
                    raise
                bar.clear()
                print(f"error: {plain(error)}", file=sys.stderr)
                continue
            found.append({"file": str(path), "windows": said})
            bar.clear()
            print("\n".join(map(plain, lines(path, said, pipeline.labels, arguments.top))))
            bar.update()
    if arguments.json:
        rate = pipeline.sample_rate
        files.write_json(arguments.json, {"sample_rate": rate, "labels": pipeline.labels, "files": found})
    if arguments.selections:
        heard_in = [selected(one["file"], one["windows"], arguments.window, thresholds) for one in found]
        selections.write(arguments.selections, heard_in, pipeline.labels, pipeline.sample_rate)
    return 0 if len(found) == len(paths) else 1


def recordings(inputs: Sequence[Path]) -> list[Path]:
    """The files named, and those in and below folders that are named. Raises InputError for an empty one."""
    paths = []
    for path in inputs:
        if not path.is_dir():
            paths.append(path)
            continue
        inside = [path / name for name in find(path).sounds]
        if not inside:
            raise InputError(f"{path} holds no recordings ({', '.join(SOUNDS)}).")
        paths += inside
    return paths


def heard(pipeline, path: Path, window: float | None, hop: float | None) -> Iterator[dict]:
    """The windows of a file, or all of it as one: start and end in seconds, a score a label."""
    from helpers import audio as sound

    audio, rate = sound.load(path)
    seconds = audio.shape[-1] / rate
    if window is None:
        yield _window(0.0, seconds, pipeline.scores(audio, rate)[0])
        return
    audio = sound.resample(sound.mono(audio), rate, pipeline.sample_rate)
    for start, scores in pipeline.stream([audio], window=window, hop=hop_of(window, hop)):
        yield _window(start, min(start + window, seconds), scores)


def selected(path: str, said: Sequence[dict], window: float, thresholds: np.ndarray) -> selections.Recording:
    """The events of a file's windows."""
    scored = ((one["start"], np.array(one["scores"])) for one in said)
    return selections.Recording(path, said[-1]["end"], events(scored, window, thresholds))


def _window(start: float, end: float, scores: np.ndarray) -> dict:
    return {
        "start": round(start, 4),
        "end": round(end, 4),
        "scores": [float(f"{x:.{DIGITS}g}") for x in scores],
    }


def lines(path: Path, said: Sequence[dict], labels: Sequence[str], top: int) -> Iterator[str]:
    """What is printed of one file: the first labels of each window."""
    yield f"{path}: {said[-1]['end']:.2f} s"
    for window in said:
        scores = np.array(window["scores"])
        best = np.argsort(-scores, kind="stable")[:top]
        if len(said) == 1:
            yield from (f"  {scores[i]:.3f}  {labels[i]}" for i in best)
        else:
            span = f"{window['start']:8.2f} - {window['end']:.2f} s"
            yield f"  {span}  " + "  ".join(f"{scores[i]:.3f} {labels[i]}" for i in best)


def open_pipeline(arguments: argparse.Namespace):
    """The pipeline that --bundle or --checkpoints names."""
    if from_bundle(arguments, ("model", "labels")):
        from helpers.classify.pipeline import Pipeline

        return Pipeline.open(arguments.bundle, arguments.provider)
    from helpers.classify.reference import TorchPipeline

    return TorchPipeline.open(arguments.checkpoints, arguments.model, arguments.labels)


# --- a folder ---------------------------------------------------------------------------------------------


def open_classifier(bundle: Path, options: Mapping) -> Callable[..., None]:
    """What writes the scores of one file as JSON, as `classify --json` has them for each of its files."""
    from helpers.classify.pipeline import Pipeline

    check_windows(options["window"], options["hop"])
    pipeline = Pipeline.open(bundle, options["provider"], threads=1)
    window, hop = options["window"], hop_of(options["window"], options["hop"])
    list(pipeline.stream([], window=window, hop=hop))  # raises for what no sound could be cut into
    return partial(write_scores, pipeline, options)


def write_scores(pipeline, options: Mapping, source: Path, output: Path) -> None:
    """The windows of one file, and what their scores are of."""
    windows = list(heard(pipeline, source, options["window"], options["hop"]))
    about = {"sample_rate": pipeline.sample_rate, "labels": pipeline.labels}
    files.write_json(output, about | {"windows": windows})


def one_file_of_scores(name: str, options: Mapping) -> tuple[str, ...]:
    """Beside the sound's own name, so that a.wav and a.mp3 stay two files."""
    return (f"{name}.json",)


WORKS = {  # what `batch` can do with a folder
    "classify": Work(open_classifier, one_file_of_scores, add_windows, ("window", "hop")),
}
