"""What the commands do with a VampNet: `export`, `verify`, `page` and `vamp`."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from helpers.batch import Work, encode_file, like_the_sound, one_array_of_codes
from helpers.support import files
from helpers.support.arrays import load_array
from helpers.support.commands import (
    Parser,
    add_models,
    from_bundle,
    graph_progress,
    progress,
    wrote_bundle,
    wrote_page,
)
from helpers.support.errors import InputError, plain

RULES = ("periodic", "width", "roll", "prefix", "suffix", "onsets", "beats", "random", "dropout", "codebooks")
HOW = ("seed", "steps", "fine_steps", "temperature", "mask_temperature", "greedy", "typical_mass", "top_p")
LARGEST_MASK = 1 << 28  # bytes
NUMBERS = {  # options of `vamp`: type, default, what it is called, what it means
    "how to generate": (
        ("seed", int, 0, "N", "of the noise"),
        ("steps", int, 12, "N", "coarse steps"),
        ("fine-steps", int, 2, "N", "fine steps"),
        ("temperature", float, 1.0, "X", "of the choice of tokens"),
        ("mask-temperature", float, 10.5, "X", "of the choice what to redo"),
        ("typical-mass", float, None, "X", "typical filtering to this mass"),
        ("top-p", float, None, "X", "nucleus filtering to this mass"),
    ),
    "what to keep": (
        ("periodic", int, 7, "N", "every N-th frame; 0 for none"),
        ("width", int, 1, "N", "of each of those, in frames"),
        ("roll", int, 0, "N", "move them N frames to the right"),
        ("codebooks", int, 3, "N", "keep only in the first N codebooks"),
        ("prefix", float, 0.0, "S", "the first S seconds"),
        ("suffix", float, 0.0, "S", "the last S seconds"),
        ("onsets", int, 0, "W", "W frames on either side of each onset"),
        ("beats", float, 0.0, "S", "S seconds from each beat on"),
        ("random", float, 1.0, "P", "generate only this share of places"),
        ("dropout", float, 0.0, "P", "give up this share of the kept places"),
    ),
}


def export(arguments: argparse.Namespace) -> None:
    """Checkpoints to a bundle of four graphs."""
    from helpers.vampnet.graphs import export_bundle
    from helpers.vampnet.weights import CODEC, load_models

    models = load_models(arguments.checkpoints, arguments.lora)
    for report in models.reports.values():
        n_shared = sum(source.startswith(CODEC) for source in report.sources)
        shared = f"; {n_shared} of them are codebooks in the codec's file" * bool(n_shared)
        print(plain(report.summary() + shared))
    with graph_progress(4 + arguments.one_file) as on_graph:
        bundle = export_bundle(
            models, arguments.out, arguments.opset, arguments.external_data, on_graph, arguments.precision,
            arguments.one_file,
        )  # fmt: skip
    print(wrote_bundle(bundle, arguments.opset, arguments.precision))


def verify(arguments: argparse.Namespace):
    """The certificate of a bundle."""
    from helpers.vampnet.proof import verify_bundle

    with progress(unit="comparison") as bar:
        return verify_bundle(
            arguments.checkpoints, arguments.bundle, arguments.lora, lambda row: bar.update()
        )


def page(arguments: argparse.Namespace) -> None:
    """A bundle as one file that plays it in a browser."""
    from helpers.page import write_page
    from helpers.vampnet.page import page_of

    print(wrote_page(write_page(arguments.bundle, arguments.out, page_of(arguments.bundle))))


def add_options(command: argparse.ArgumentParser) -> None:
    """What goes with --checkpoints of a VampNet alone."""
    lora = "VampNet: overlays to lay over the checkpoints"
    command.add_argument(
        "--lora", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help=lora
    )


def add_export_options(command: argparse.ArgumentParser) -> None:
    """What goes with `export` of a VampNet alone."""
    add_options(command)
    one_file = "VampNet: the whole vamp in one graph as well, vamp.onnx"
    command.add_argument("--one-file", action="store_true", help=one_file)


def add_commands(choices: argparse._SubParsersAction) -> None:
    """`vamp`."""
    command: Parser = choices.add_parser("vamp", help="VampNet: keep some of a sound, generate the rest")
    command.set_defaults(run=vamp)
    command.add_argument("input", type=Path, metavar="IN.wav")
    command.add_argument("output", type=Path, metavar="OUT.wav")
    add_models(command)
    add_options(command)
    add_knobs(command)
    command.add_argument(
        "--tokens",
        type=Path,
        metavar="OUT.npz",
        help="write input, mask, masked and codes, all int64 (1, C, T)",
    )


def add_knobs(command: argparse.ArgumentParser) -> None:
    """What to keep of a sound, and how to generate the rest."""
    for title, options in NUMBERS.items():
        group = command.add_argument_group(title)
        for name, kind, default, called, means in options:
            means += " (default: off)" if default is None else " (default: %(default)s)"
            group.add_argument(f"--{name}", type=kind, default=default, metavar=called, help=means)
    group.add_argument("--greedy", action="store_true", help="the most probable tokens, no noise")
    group.add_argument(
        "--mask",
        type=Path,
        metavar="MASK.npy",
        help="instead of all these: an array (C, T) or (1, C, T), 1 = generate",
    )


def vamp(arguments: argparse.Namespace) -> None:
    """Keep some of a sound, generate the rest."""
    from helpers import audio as sound

    sound.check_suffix(arguments.output)
    files.check_outputs([arguments.output, arguments.tokens], [arguments.input, arguments.mask])
    options = vars(arguments)
    prompt = what_to_keep(options)
    pipeline = open_pipeline(arguments)
    with progress(unit="step") as bar:

        def on_step(step) -> None:
            bar.set_description(f"{step.stage} {step.chunk + 1}/{step.n_chunks}")
            bar.update()

        vamped, sample_rate = vamp_file(
            pipeline, prompt, options, arguments.input, arguments.output, arguments.tokens, on_step
        )
    length, share = vamped.audio.shape[-1] / sample_rate, vamped.mask.mean()
    print(
        plain(f"wrote {arguments.output}: {length:.2f} s, {share:.0%} of {vamped.mask.size} tokens generated")
    )
    if note := quieter(vamped.missing_db):
        print(f"note: {note}", file=sys.stderr)


def vamp_file(
    pipeline, prompt, options: Mapping, source: Path, output: Path, tokens: Path | None = None, on_step=None
):
    """Vamp one file into another, both or none written; the `Vamp` and its rate. `options` has HOW."""
    from helpers import audio as sound
    from helpers.vampnet.vamp import vamp_audio

    audio, sample_rate = sound.load(source)
    settings = {name: options[name] for name in HOW}
    vamped = vamp_audio(pipeline, audio, sample_rate, prompt, on_step=on_step, **settings)
    with contextlib.ExitStack() as both_or_none:
        if tokens:
            masked = np.where(vamped.mask == 1, pipeline.mask_token, vamped.codes_in)
            with open(both_or_none.enter_context(files.written_whole(tokens)), "wb") as file:
                np.savez_compressed(
                    file, input=vamped.codes_in, mask=vamped.mask, masked=masked, codes=vamped.codes_out
                )
        sound.save(output, vamped.audio, sample_rate)
    return vamped, sample_rate


def quieter(missing_db: float) -> str | None:
    """What is to be said where the peak kept a vamp from being as loud as its input."""
    if missing_db <= 1:
        return None
    return f"it is {missing_db:.1f} dB quieter than the input, so that its peak stays at 1."


def what_to_keep(options: Mapping):
    """The `Prompt` that the options make, or the mask that they name."""
    from helpers.vampnet.vamp import Prompt

    if options["mask"] is not None:
        return load_mask(options["mask"])
    return Prompt(**{rule: options[rule] for rule in RULES})


# --- a folder of files


def add_batch_knobs(command: argparse.ArgumentParser) -> None:
    """The same as for one."""
    add_knobs(command)
    command.add_argument(
        "--tokens", action="store_true", help="beside each sound OUT.npz: input, mask, masked and codes"
    )


def open_vamps(bundle: Path, options: Mapping) -> Callable[..., str | None]:
    """What vamps one file, as `vamp` does. Raises InputError for impossible options."""
    from helpers.vampnet.decoding import Settings
    from helpers.vampnet.pipeline import Pipeline
    from helpers.vampnet.vamp import Prompt

    prompt, pipeline = what_to_keep(options), Pipeline.open(bundle, options["provider"], threads=1)
    knobs = {name: options[name] for name in HOW if name not in ("seed", "steps", "fine_steps")}
    for steps in (options["steps"], options["fine_steps"]):
        Settings(steps, **knobs)
    if isinstance(prompt, Prompt):  # a second of silence shows whether the rules can be followed
        silence = np.zeros((1, pipeline.sample_rate), np.float32)
        frames = -(-pipeline.sample_rate // pipeline.hop)
        shape = (1, pipeline.n_codebooks, frames)
        prompt.mask(pipeline, shape, silence, pipeline.sample_rate, options["seed"])
    return partial(_vamp_one, pipeline, prompt, options)


def _vamp_one(pipeline, prompt, options: Mapping, *paths: Path) -> str | None:
    return quieter(vamp_file(pipeline, prompt, options, *paths)[0].missing_db)


def open_encoder(bundle: Path, options: Mapping) -> Callable[..., None]:
    """What turns one file into tokens, as `Pipeline.encode` does."""
    from helpers.vampnet.pipeline import Pipeline

    return partial(encode_file, Pipeline.open(bundle, options["provider"], threads=1).encode)


WORKS = {  # what `batch` can do with a folder
    "vamp": Work(open_vamps, like_the_sound, add_batch_knobs, (*RULES, *HOW, "mask", "tokens")),
    "encode": Work(open_encoder, one_array_of_codes),
}


def open_pipeline(arguments: argparse.Namespace):
    """The pipeline that --bundle or --checkpoints names."""
    if from_bundle(arguments, ("lora",)):
        from helpers.vampnet.pipeline import Pipeline

        return Pipeline.open(arguments.bundle, arguments.provider)
    from helpers.vampnet.reference import TorchPipeline

    return TorchPipeline.open(arguments.checkpoints, arguments.lora)


def load_mask(path: Path) -> np.ndarray:
    """The array in a .npy file; never a pickle."""
    try:
        return load_array(path, LARGEST_MASK)
    except InputError as error:
        raise InputError(f"{error} Save a mask with numpy.save, as whole numbers 0 and 1.") from error
