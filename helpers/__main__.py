"""The commands: `python -m helpers inspect | download | export | verify | evaluate | bench | vamp`.

A mistake of the user's is one line on stderr and exit status 2, Ctrl-C is 130, a failed verification 1.
Each command imports what it needs when it runs: `vamp --bundle` never imports PyTorch.
"""

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers import files
from helpers.errors import InputError, Notice

INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> None:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may hold characters that a plain terminal lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say to programmers
            warnings.simplefilter("default", Notice)
            warnings.showwarning = lambda message, *where: print(f"note: {message}", file=sys.stderr)
            status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        return failed(str(error))
    except MemoryError:
        return failed("not enough memory for this; close other programs or use a shorter input.")
    except ModuleNotFoundError as error:
        return failed(f"{error.name} is needed for this; install it with `pip install {error.name}`.")
    except BrokenPipeError:  # whoever read the output has heard enough
        nowhere = os.open(os.devnull, os.O_WRONLY)  # or Python complains again as it exits
        os.dup2(nowhere, sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        return failed(f"cannot write the output: {error.strerror or error}.")
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return INTERRUPTED


def failed(message: str) -> int:
    """Say in one line what the user can mend; the exit status for it."""
    print("error:", " ".join(message.split("\n")), file=sys.stderr)
    return 2


def progress(**options: object):
    """A progress bar on stderr where that is a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(disable=None, leave=False, **options)


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(
        prog="python -m helpers", description="Take VampNet from its PyTorch checkpoint to ONNX, and play it."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    command = commands.add_parser("inspect", help="tell what a .pth or .onnx file holds")
    command.add_argument("file", type=Path, metavar="FILE")
    command.set_defaults(run=run_inspect)

    command = commands.add_parser("download", help="fetch public weights; without a name, list them")
    command.add_argument("name", nargs="?", metavar="NAME")
    command.add_argument("--to", type=Path, metavar="DIR", help="the directory to fetch into")
    command.set_defaults(run=run_download)

    command = commands.add_parser("export", help="checkpoints to a bundle of four ONNX graphs")
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

    command = commands.add_parser("verify", help="compare a bundle with its checkpoints")
    add_checkpoints(command, required=True)
    command.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result as a certificate")
    command.set_defaults(run=run_verify)

    command = commands.add_parser("evaluate", help="score a checkpoint on music it has not heard")
    add_checkpoints(command, required=False)
    command.add_argument(
        "--clips", type=Path, metavar="DIR", help="held-out clips (default: those that come with the course)"
    )
    command.add_argument(
        "--style-clips", type=Path, metavar="DIR", help="clips of the style that the overlays were trained on"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every score of every clip")
    command.add_argument("--quick", action="store_true", help="a rough look: few clips, cut short")
    command.add_argument(
        "--strict", action="store_true", help="exit with status 1 if a requirement is not met"
    )
    command.add_argument(
        "--record-opus",
        type=Path,
        metavar="FILE",
        help="only measure Opus on the clips and write its figures",
    )
    command.set_defaults(run=run_evaluate)

    command = commands.add_parser("bench", help="time PyTorch and ONNX Runtime side by side")
    command.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="holds the three files (default: the course's)"
    )
    command.add_argument(
        "--bundle",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="made from them, one a precision (default: fp32 and int8, exported for the occasion)",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every round of every version")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the report")
    command.add_argument("--picture", type=Path, metavar="FILE.png", help="draw it")
    command.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="of sound (default: %(default)s)"
    )
    command.add_argument("--rounds", type=int, default=7, metavar="N", help="default: %(default)s")
    command.add_argument("--threads", type=int, metavar="N", help="for every version (default: one a core)")
    command.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    command.set_defaults(run=run_bench)

    add_vamp(commands.add_parser("vamp", help="keep some of a sound, generate the rest"))
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
    from helpers.inspection import describe

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
    from helpers.export import check_opset, export_bundle
    from helpers.quantize import check_precision
    from helpers.transfer import load_models

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
    from helpers.verify import verify_bundle

    with progress(unit="comparison") as bar:
        certificate = verify_bundle(
            arguments.checkpoints, arguments.bundle, arguments.lora, lambda row: bar.update()
        )
    print(certificate)
    if arguments.json:
        files.write_json(arguments.json, certificate.to_json())
    return 0 if certificate.passed else 1


def run_evaluate(arguments: argparse.Namespace) -> int:
    from helpers.checkpoints import course_checkpoints
    from helpers.evaluate import opus
    from helpers.evaluate.clips import COURSE_CLIPS, load_clips
    from helpers.evaluate.evaluation import evaluate

    if arguments.style_clips and not arguments.lora:
        raise InputError("--style-clips goes with --lora; name the overlays to score on them.")
    with progress(unit="clip") as bar:

        def on_progress(what: str) -> None:
            bar.set_description(what)
            bar.update()

        if arguments.record_opus:
            clips = load_clips(arguments.clips or COURSE_CLIPS)
            opus.record(arguments.record_opus, clips, lambda: on_progress("Opus"))
            print(f"wrote {arguments.record_opus}: Opus on {len(clips)} clips")
            return 0
        evaluation = evaluate(
            arguments.checkpoints or course_checkpoints(),
            arguments.clips,
            arguments.lora,
            arguments.style_clips,
            arguments.quick,
            on_progress,
        )
    print(evaluation)
    if arguments.json:
        files.write_json(arguments.json, evaluation.to_json())
    return 1 if arguments.strict and not evaluation.passed else 0


def run_bench(arguments: argparse.Namespace) -> None:
    from helpers.bench import report
    from helpers.bench.benchmark import bench

    for name, least in (("seconds", 0.1), ("rounds", 1), ("threads", 1)):
        value = getattr(arguments, name)
        if value is not None and not least <= value <= 1000:
            raise InputError(f"--{name} is {value:g}; it should lie between {least:g} and 1000.")
    with progress(unit="step") as bar:

        def on_progress(what: str) -> None:
            bar.set_description(what)
            bar.update()

        found = bench(
            arguments.checkpoints,
            arguments.bundle,
            arguments.seconds,
            arguments.rounds,
            arguments.threads,
            not arguments.no_compile,
            on_progress,
        )
    text = report.markdown(found)
    print(text, end="")
    if arguments.json:
        files.write_json(arguments.json, found.to_json())
    if arguments.markdown:
        files.write_text(arguments.markdown, text)
    if arguments.picture:
        report.draw(found, arguments.picture)


def run_vamp(arguments: argparse.Namespace) -> None:
    from helpers import audio as sound
    from helpers.vamp import Prompt, vamp_audio

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
        from helpers.runtime import Pipeline

        return Pipeline.open(arguments.bundle, arguments.provider)
    if arguments.provider:
        raise InputError("--provider goes with --bundle; PyTorch runs on the processor here.")
    from helpers.vampnet import TorchPipeline

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


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:
        sys.stderr.flush()
        os._exit(status)  # Python would end itself by a signal if the interrupt came while it was in exec()
    sys.exit(status)
