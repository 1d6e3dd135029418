"""What the commands do with a VampNet: `export`, `verify`, `page` and `vamp`."""

import argparse
import contextlib
import sys
from pathlib import Path

import numpy as np

from helpers.support import files
from helpers.support.arrays import load_array
from helpers.support.commands import Parser, add_models, from_bundle, graph_progress, progress, wrote_bundle
from helpers.support.errors import InputError, plain

RULES = ("periodic", "width", "roll", "prefix", "suffix", "onsets", "beats", "random", "dropout", "codebooks")
HOW = ("seed", "steps", "fine_steps", "temperature", "mask_temperature", "greedy", "typical_mass", "top_p")
LARGEST_MASK = 1 << 28  # bytes
HIGHEST_PLAYED = 96_000  # Hz; what every browser has to decode to
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
    from helpers.vampnet.weights import load_models

    models = load_models(arguments.checkpoints, arguments.lora)
    for report in models.reports.values():
        print(plain(report.summary()))
    with graph_progress(4) as on_graph:
        bundle = export_bundle(
            models, arguments.out, arguments.opset, arguments.external_data, on_graph, arguments.precision
        )
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
    from helpers.audio.loudness import LOWEST_METERED
    from helpers.page import summary, write_page
    from helpers.vampnet.pipeline import GRAPHS
    from helpers.vampnet.spec import read_spec
    from helpers.vampnet.vamp import PRESETS

    spec = read_spec(arguments.bundle)
    if not LOWEST_METERED <= spec.sample_rate <= HIGHEST_PLAYED:
        raise InputError(
            f"the models are at {spec.sample_rate} Hz, and a page plays {LOWEST_METERED} to {HIGHEST_PLAYED}."
        )
    content = {
        "spec": vars(spec),
        "graphs": GRAPHS,
        "presets": {name: vars(prompt) for name, prompt in PRESETS.items() if not prompt.onsets},
        "about": summary(arguments.bundle, GRAPHS),
    }
    out = write_page(arguments.bundle, arguments.out, GRAPHS, content)
    print(plain(f"wrote {out}: {out.stat().st_size / 1e6:.1f} MB; open it in a browser"))


def add_options(command: argparse.ArgumentParser) -> None:
    """What goes with --checkpoints of a VampNet alone."""
    lora = "VampNet: overlays to lay over the checkpoints"
    command.add_argument(
        "--lora", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help=lora
    )


def add_commands(choices: argparse._SubParsersAction) -> None:
    """`vamp`."""
    command: Parser = choices.add_parser("vamp", help="VampNet: keep some of a sound, generate the rest")
    command.set_defaults(run=vamp)
    command.add_argument("input", type=Path, metavar="IN.wav")
    command.add_argument("output", type=Path, metavar="OUT.wav")
    add_models(command)
    add_options(command)
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
    command.add_argument(
        "--tokens",
        type=Path,
        metavar="OUT.npz",
        help="write input, mask, masked and codes, all int64 (1, C, T)",
    )


def vamp(arguments: argparse.Namespace) -> None:
    """Keep some of a sound, generate the rest."""
    from helpers import audio as sound
    from helpers.vampnet.vamp import Prompt, vamp_audio

    sound.check_suffix(arguments.output)
    files.check_outputs([arguments.output, arguments.tokens], [arguments.input, arguments.mask])
    prompt = (
        Prompt(**{rule: getattr(arguments, rule) for rule in RULES})
        if arguments.mask is None
        else load_mask(arguments.mask)
    )
    pipeline = open_pipeline(arguments)
    audio, sample_rate = sound.load(arguments.input)
    with progress(unit="step") as bar:

        def on_step(step) -> None:
            bar.set_description(f"{step.stage} {step.chunk + 1}/{step.n_chunks}")
            bar.update()

        settings = {name: getattr(arguments, name) for name in HOW}
        vamp = vamp_audio(pipeline, audio, sample_rate, prompt, on_step=on_step, **settings)
    with contextlib.ExitStack() as both_or_none:
        if arguments.tokens:
            masked = np.where(vamp.mask == 1, pipeline.mask_token, vamp.codes_in)
            with open(both_or_none.enter_context(files.written_whole(arguments.tokens)), "wb") as file:
                np.savez_compressed(
                    file, input=vamp.codes_in, mask=vamp.mask, masked=masked, codes=vamp.codes_out
                )
        sound.save(arguments.output, vamp.audio, sample_rate)
    length, share = audio.shape[-1] / sample_rate, vamp.mask.mean()
    print(
        plain(f"wrote {arguments.output}: {length:.2f} s, {share:.0%} of {vamp.mask.size} tokens generated")
    )
    if vamp.missing_db > 1:
        print(
            f"note: it is {vamp.missing_db:.1f} dB quieter than the input, so that its peak stays at 1.",
            file=sys.stderr,
        )


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
