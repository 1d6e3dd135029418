"""The commands: `python -m helpers inspect | download | export | verify | vamp`.

A mistake of the user's is one line on stderr and exit status 2, Ctrl-C is 130, a failed verification 1.
Each command imports what it needs when it runs: `vamp --bundle` never imports PyTorch.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.support import commands, files
from helpers.support.commands import Parser, progress
from helpers.support.errors import InputError


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(
        prog="python -m helpers", description="Take VampNet from its PyTorch checkpoint to ONNX, and play it."
    )
    choices = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    command = choices.add_parser("inspect", help="tell what a .pth or .onnx file holds")
    command.add_argument("file", type=Path, metavar="FILE")
    command.set_defaults(run=run_inspect)

    command = choices.add_parser("download", help="fetch public weights; without a name, list them")
    command.add_argument("name", nargs="?", metavar="NAME")
    command.add_argument("--to", type=Path, metavar="DIR", help="the directory to fetch into")
    command.set_defaults(run=run_download)

    command = choices.add_parser("export", help="checkpoints to a bundle of four ONNX graphs")
    add_checkpoints(command, required=True)
    command.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the directory to write")
    command.add_argument(
        "--precision",
        default="fp32",
        metavar="NAME",
        help="fp32, fp16 (weights stored so), int8 (small and fast), int8-block, int4 (default: %(default)s)",
    )
    command.add_argument("--opset", type=int, default=23, metavar="N", help="17 to 23 (default: %(default)s)")
    command.add_argument(
        "--external-data", action="store_true", help="put the weights beside the graphs, in NAME.onnx.data"
    )
    command.set_defaults(run=run_export)

    command = choices.add_parser("verify", help="compare a bundle with its checkpoints")
    add_checkpoints(command, required=True)
    command.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as a certificate")
    command.set_defaults(run=run_verify)

    add_vamp(choices.add_parser("vamp", help="keep some of a sound, generate the rest"))
    return top


def add_checkpoints(command: argparse.ArgumentParser, required: bool) -> None:
    """--checkpoints and what goes with it."""
    command.add_argument(
        "--checkpoints",
        type=Path,
        required=required,
        metavar="DIR",
        help="holds codec.pth, coarse.pth, c2f.pth",
    )
    command.add_argument(
        "--lora",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="overlays to lay over them",
    )


def add_vamp(command: argparse.ArgumentParser) -> None:
    """The options of `vamp`."""
    command.set_defaults(run=run_vamp)
    command.add_argument("input", type=Path, metavar="IN.wav")
    command.add_argument("output", type=Path, metavar="OUT.wav")
    models = command.add_argument_group("models (one of --bundle and --checkpoints)")
    models.add_argument("--bundle", type=Path, metavar="BUNDLE")
    add_checkpoints(models, required=False)
    models.add_argument(
        "--provider",
        action="append",
        metavar="NAME",
        help="an ONNX Runtime execution provider, preferred first",
    )
    how = command.add_argument_group("how to generate")
    how.add_argument("--seed", type=int, default=0, metavar="N")
    how.add_argument("--steps", type=int, default=12, metavar="N", help="coarse steps (default: %(default)s)")
    how.add_argument(
        "--fine-steps", type=int, default=2, metavar="N", help="fine steps (default: %(default)s)"
    )
    how.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="of the choice of tokens (default: %(default)s)",
    )
    how.add_argument(
        "--mask-temperature",
        type=float,
        default=10.5,
        metavar="X",
        help="of the choice what to redo (default: %(default)s)",
    )
    how.add_argument("--greedy", action="store_true", help="the most probable tokens, no noise")
    how.add_argument(
        "--typical-mass", type=float, metavar="X", help="typical filtering to this mass (default: off)"
    )
    how.add_argument("--top-p", type=float, metavar="X", help="nucleus filtering to this mass (default: off)")
    keep = command.add_argument_group("what to keep")
    keep.add_argument(
        "--periodic",
        type=int,
        default=7,
        metavar="N",
        help="every N-th frame; 0 for none (default: %(default)s)",
    )
    keep.add_argument(
        "--width", type=int, default=1, metavar="N", help="of each of those, in frames (default: %(default)s)"
    )
    keep.add_argument("--roll", type=int, default=0, metavar="N", help="move them N frames to the right")
    keep.add_argument(
        "--codebooks",
        type=int,
        default=3,
        metavar="N",
        help="keep only in the first N codebooks (default: %(default)s)",
    )
    keep.add_argument("--prefix", type=float, default=0.0, metavar="S", help="the first S seconds")
    keep.add_argument("--suffix", type=float, default=0.0, metavar="S", help="the last S seconds")
    keep.add_argument(
        "--onsets", type=int, default=0, metavar="W", help="W frames on either side of each onset"
    )
    keep.add_argument("--beats", type=float, default=0.0, metavar="S", help="S seconds from each beat on")
    keep.add_argument(
        "--random",
        type=float,
        default=1.0,
        metavar="P",
        help="generate only this share of places (default: all)",
    )
    keep.add_argument(
        "--dropout", type=float, default=0.0, metavar="P", help="give up this share of the kept places"
    )
    keep.add_argument(
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


def run_inspect(arguments: argparse.Namespace) -> None:
    from helpers.vampnet.inspection import describe

    print(describe(arguments.file))


def run_download(arguments: argparse.Namespace) -> None:
    from helpers import download

    if arguments.name is None:
        print(download.available())
        return
    if arguments.to is None:
        raise InputError("say where to put it: --to DIR.")
    download.download(arguments.name, arguments.to)


def run_export(arguments: argparse.Namespace) -> None:
    from helpers.export.graph import check_opset
    from helpers.quantize import check_precision
    from helpers.vampnet.graphs import export_bundle
    from helpers.vampnet.weights import load_models

    check_precision(arguments.precision)
    check_opset(arguments.opset)
    models = load_models(arguments.checkpoints, arguments.lora)
    for report in models.reports.values():
        print(report.summary())
    with progress(total=4, unit="graph") as bar:

        def on_graph(name: str) -> None:
            bar.set_description(name)
            bar.update()

        bundle = export_bundle(
            models, arguments.out, arguments.opset, arguments.external_data, on_graph, arguments.precision
        )
    megabytes = sum(path.stat().st_size for path in bundle.iterdir()) / 1e6
    print(f"wrote {bundle}: four graphs, opset {arguments.opset}, {arguments.precision}, {megabytes:.1f} MB")


def run_verify(arguments: argparse.Namespace) -> int:
    from helpers.vampnet.proof import verify_bundle

    with progress(unit="comparison") as bar:
        certificate = verify_bundle(
            arguments.checkpoints, arguments.bundle, arguments.lora, lambda row: bar.update()
        )
    print(certificate)
    if arguments.json:
        files.write_json(arguments.json, certificate.to_json())
    return 0 if certificate.passed else 1


def run_vamp(arguments: argparse.Namespace) -> None:
    from helpers import audio as sound
    from helpers.vampnet.vamp import Prompt, vamp_audio

    sound.check_suffix(arguments.output)
    if arguments.output.is_dir():
        raise InputError(f"{arguments.output} is a directory; name a file to write.")
    if arguments.tokens == arguments.output:
        raise InputError("--tokens and the output are the same file; give them two names.")
    pipeline = open_pipeline(arguments)
    audio, sample_rate = sound.load(arguments.input)
    rules = (
        "periodic",
        "width",
        "roll",
        "prefix",
        "suffix",
        "onsets",
        "beats",
        "random",
        "dropout",
        "codebooks",
    )
    prompt = (
        Prompt(**{rule: getattr(arguments, rule) for rule in rules})
        if arguments.mask is None
        else load_mask(arguments.mask)
    )
    how = (
        "seed",
        "steps",
        "fine_steps",
        "temperature",
        "mask_temperature",
        "greedy",
        "typical_mass",
        "top_p",
    )
    with progress(unit="step") as bar:

        def on_step(step) -> None:
            bar.set_description(f"{step.stage} {step.chunk + 1}/{step.n_chunks}")
            bar.update()

        vamp = vamp_audio(
            pipeline,
            audio,
            sample_rate,
            prompt,
            on_step=on_step,
            **{name: getattr(arguments, name) for name in how},
        )
    with contextlib.ExitStack() as both_or_none:
        if arguments.tokens:
            masked = np.where(vamp.mask == 1, pipeline.mask_token, vamp.codes_in)
            file = open(both_or_none.enter_context(files.written_whole(arguments.tokens)), "wb")
            with file:
                np.savez_compressed(
                    file, input=vamp.codes_in, mask=vamp.mask, masked=masked, codes=vamp.codes_out
                )
        sound.save(arguments.output, vamp.audio, sample_rate)
    share = vamp.mask.mean()
    print(
        f"wrote {arguments.output}: {audio.shape[-1] / sample_rate:.2f} s, "
        f"{share:.0%} of {vamp.mask.size} tokens generated"
    )
    if vamp.missing_db > 1:
        print(
            f"note: it is {vamp.missing_db:.1f} dB quieter than the input, so that its peak stays at 1.",
            file=sys.stderr,
        )


def open_pipeline(arguments: argparse.Namespace):
    """The pipeline that --bundle or --checkpoints names."""
    if (arguments.bundle is None) == (arguments.checkpoints is None):
        raise InputError("name the models with one of --bundle BUNDLE and --checkpoints DIR.")
    if arguments.bundle is not None:
        if arguments.lora:
            raise InputError(
                "--lora goes with --checkpoints; in a bundle the overlays are already folded in."
            )
        from helpers.vampnet.pipeline import Pipeline

        return Pipeline.open(arguments.bundle, arguments.provider)
    if arguments.provider:
        raise InputError("--provider goes with --bundle; PyTorch runs on the processor here.")
    from helpers.vampnet.reference import TorchPipeline

    return TorchPipeline.open(arguments.checkpoints, arguments.lora)


def load_mask(path: Path) -> np.ndarray:
    """The array in a .npy file; never a pickle."""
    try:
        mask = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read the mask {path}: {error.strerror or 'not a .npy file'}.") from error
    except (ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not a mask: save one with numpy.save, as whole numbers 0 and 1."
        ) from error
    if not isinstance(mask, np.ndarray):
        mask.close()
        raise InputError(f"{path} is not a mask but an archive; save the mask alone with numpy.save.")
    return mask


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    return commands.main(parser(), argv)


if __name__ == "__main__":
    commands.leave(main())
