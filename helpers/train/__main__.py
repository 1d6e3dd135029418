"""Train the course's own checkpoint."""

import argparse
import sys
from pathlib import Path

import torch

from helpers import checkpoints
from helpers.errors import InputError
from helpers.train.codec import CodecTraining, Recipe
from helpers.train.loop import Budget, run
from helpers.transfer import transfer_codec

CHOICES = ("encoder_dim", "decoder_dim", "batch", "frames", "plain", "rate", "seed")  # of the recipe


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="python -m helpers.train", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True)
    codec = commands.add_parser("codec", help="audio to tokens and back")
    codec.add_argument("--music", type=Path, required=True, help="a directory with train/ and valid/")
    codec.add_argument("--out", type=Path, required=True, help="for codec.pth, metrics.csv and state.pt")
    length = codec.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="of training, the pauses of a resumed run not counted")
    length.add_argument("--steps", type=int)
    codec.add_argument("--half", action="store_true", help="store the weights as float16: half the size")
    for name in CHOICES:
        flag, default = f"--{name.replace('_', '-')}", getattr(Recipe, name)
        codec.add_argument(flag, type=type(default), default=default, help=f"see Recipe ({default})")
    return whole


def recipe(options: argparse.Namespace) -> Recipe:
    """The recipe with what the command changes of it."""
    return Recipe(**{name: getattr(options, name) for name in CHOICES})


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parser().parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        budget = Budget(options.steps, options.minutes)
        dtype = torch.float16 if options.half else torch.float32
        training = CodecTraining(recipe(options), options.music, device, dtype)
        last = run(training, options.out, "codec.pth", budget)[-1]
        _, report = transfer_codec(checkpoints.read(options.out / "codec.pth"))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues.", file=sys.stderr)
        return 130
    print(", ".join(f"{name} {value:.4g}" for name, value in last.items()))
    print(report.summary())
    return 0


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # denormal numbers, which small gradients become, are slow on many CPUs
    sys.exit(main())
