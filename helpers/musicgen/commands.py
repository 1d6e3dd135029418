"""What the commands do with a MusicGen: `export`, `verify`, `page` and `generate`."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from helpers.batch import Work, encode_file, like_the_sound, one_array_of_codes
from helpers.support import files
from helpers.support.commands import (
    Parser,
    add_models,
    from_bundle,
    graph_progress,
    progress,
    wrote_bundle,
    wrote_page,
)
from helpers.support.errors import plain

NUMBERS = (  # options of `generate`: type, default, what it is called, what it means
    ("seconds", float, 10.0, "S", "of the whole, the prompt included"),
    ("guidance", float, 3.0, "X", "how far to follow the text; 1 is the model itself"),
    ("temperature", float, 1.0, "X", "of the choice of tokens; 0 is --greedy"),
    ("top-k", int, 250, "N", "choose among so many tokens; 0 for all"),
    ("top-p", float, 0.0, "X", "instead, among those that make up this much; 0 for off"),
    ("seed", int, 0, "N", "of the noise"),
)
HOW = ("seconds", "guidance", "temperature", "top_k", "top_p", "greedy", "seed")


def export(arguments: argparse.Namespace) -> None:
    """Checkpoints to a bundle of five graphs."""
    from helpers.musicgen.graphs import GRAPHS, export_bundle
    from helpers.musicgen.weights import load_models

    models = load_models(arguments.checkpoints, arguments.text_encoder, arguments.codec)
    for report in models.reports.values():
        print(plain(report.summary()))
    with graph_progress(len(GRAPHS)) as on_graph:
        bundle = export_bundle(
            models, arguments.out, arguments.opset, arguments.external_data, on_graph, arguments.precision
        )
    print(wrote_bundle(bundle, arguments.opset, arguments.precision))
    if models.tokenizer is None:
        print("note: the checkpoint has no tokenizer, so the bundle takes no --text.")


def verify(arguments: argparse.Namespace):
    """The certificate of a bundle."""
    from helpers.musicgen.proof import verify_bundle

    with progress(unit="comparison") as bar:
        return verify_bundle(
            arguments.checkpoints, arguments.bundle, arguments.text_encoder, arguments.codec,
            lambda row: bar.update(),
        )  # fmt: skip


def page(arguments: argparse.Namespace) -> None:
    """A bundle as one file that plays it in a browser."""
    from helpers.musicgen.page import page_of
    from helpers.page import write_page

    print(wrote_page(write_page(arguments.bundle, arguments.out, page_of(arguments.bundle))))


def add_options(command: argparse.ArgumentParser) -> None:
    """What goes with --checkpoints of a MusicGen alone."""
    for name, what in (("--text-encoder", "T5"), ("--codec", "EnCodec")):
        means = f"MusicGen: the {what} that the checkpoint only names, if it is not inside or beside it"
        command.add_argument(name, type=Path, metavar="DIR", help=means)


add_export_options = add_options  # `export` takes no more


def add_commands(choices: argparse._SubParsersAction) -> None:
    """`generate`."""
    command: Parser = choices.add_parser("generate", help="MusicGen: music from a text, or a sound goes on")
    command.set_defaults(run=generate)
    command.add_argument("output", type=Path, metavar="OUT.wav")
    add_models(command)
    add_options(command)
    command.add_argument("--prompt", type=Path, metavar="IN.wav", help="a recording that goes on")
    add_knobs(command)
    command.add_argument(
        "--tokens", type=Path, metavar="OUT.npz", help="write prompt and codes, both int64 (1, K, T)"
    )


def add_knobs(command: argparse.ArgumentParser) -> None:
    """What it should be, and how to generate it."""
    command.add_argument("--text", metavar="T", help="what it should sound like")
    how = command.add_argument_group("how to generate")
    for name, kind, default, called, means in NUMBERS:
        means += " (default: %(default)s)"
        how.add_argument(f"--{name}", type=kind, default=default, metavar=called, help=means)
    how.add_argument("--greedy", action="store_true", help="the most probable tokens, no noise")


def generate(arguments: argparse.Namespace) -> None:
    """Music from a text, from a recording that goes on, or from both."""
    from helpers import audio as sound

    sound.check_suffix(arguments.output)
    files.check_outputs([arguments.output, arguments.tokens], [arguments.prompt])
    pipeline = open_pipeline(arguments)
    with progress(unit="column") as bar:

        def on_step(step) -> None:
            bar.total = step.n_columns
            bar.update(step.column - bar.n)

        made = generate_file(
            pipeline, vars(arguments), arguments.prompt, arguments.output, arguments.tokens, on_step
        )
    length, given = (n / pipeline.frame_rate for n in (made.codes.shape[-1], made.prompt_frames))
    print(plain(f"wrote {arguments.output}: {length:.2f} s, {given:.2f} s of them the prompt"))
    if note := clipped(made.audio):
        print(f"note: {note}", file=sys.stderr)


def generate_file(
    pipeline, options: Mapping, prompt: Path | None, output: Path, tokens: Path | None = None, on_step=None
):
    """What `generate` writes into a file; the `Made`. `options` has HOW; both files or none are written."""
    from helpers import audio as sound

    audio, rate = (None, None) if prompt is None else sound.load(prompt)
    settings = {name: options[name] for name in HOW}
    made = pipeline.generate(options["text"], audio, rate, on_step=on_step, **settings)
    with contextlib.ExitStack() as both_or_none:
        if tokens:
            given = made.codes[:, :, : made.prompt_frames]
            with open(both_or_none.enter_context(files.written_whole(tokens)), "wb") as file:
                np.savez_compressed(file, prompt=given, codes=made.codes)
        sound.save(output, made.audio, pipeline.sample_rate)
    return made


def clipped(audio: np.ndarray) -> str | None:
    """What is to be said of samples that no file can hold."""
    count = int((np.abs(audio) > 1).sum())
    return f"{count} of its {audio.size} samples were beyond full scale and are clipped." if count else None


def open_pipeline(arguments: argparse.Namespace):
    """The pipeline that --bundle or --checkpoints names."""
    if from_bundle(arguments, ("text_encoder", "codec")):
        from helpers.musicgen.pipeline import Pipeline

        return Pipeline.open(arguments.bundle, arguments.provider)
    from helpers.musicgen.reference import TorchPipeline

    return TorchPipeline.open(arguments.checkpoints, arguments.text_encoder, arguments.codec)


# --- a folder of files


def add_batch_knobs(command: argparse.ArgumentParser) -> None:
    """The same as for one, whose prompt is each of the folder's sounds."""
    add_knobs(command)
    command.add_argument("--tokens", action="store_true", help="beside each sound OUT.npz: prompt and codes")


def open_generations(bundle: Path, options: Mapping) -> Callable[..., str | None]:
    """What goes on from one file, as `generate --prompt` does. Raises InputError for impossible options."""
    from helpers.musicgen.pipeline import Pipeline

    pipeline = Pipeline.open(bundle, options["provider"], threads=1)
    pipeline.stream(
        options["text"], **{name: options[name] for name in HOW}
    )  # checks them, and begins nothing
    return partial(_generate_one, pipeline, options)


def _generate_one(pipeline, options: Mapping, *paths: Path) -> str | None:
    return clipped(generate_file(pipeline, options, *paths).audio)


def open_encoder(bundle: Path, options: Mapping) -> Callable[..., None]:
    """What turns one file into tokens, as `Pipeline.encode` does."""
    from helpers.musicgen.pipeline import Pipeline

    return partial(encode_file, Pipeline.open(bundle, options["provider"], threads=1).encode)


WORKS = {  # what `batch` can do with a folder
    "generate": Work(open_generations, like_the_sound, add_batch_knobs, ("text", *HOW, "tokens")),
    "encode": Work(open_encoder, one_array_of_codes),
}
