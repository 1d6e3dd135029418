"""Train the course's own checkpoint, or one of its parts.

    python -m data.music MUSIC/train --minutes 150 --split train
    python -m data.music MUSIC/valid --minutes 10 --split valid
    python -m workshop train vampnet all --music MUSIC --out models --minutes 240 --half

Faster on a processor with several cores, one worker a core; `--compile` needs a C++ compiler:

    torchrun --nproc-per-node 2 -m workshop train vampnet all --music MUSIC --out models --minutes 240 \
        --half --compile

Every part writes its best checkpoint, the metrics as CSV and a state from which the same command goes on
after an interruption.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from helpers import audio as sound
from helpers import checkpoints
from helpers.support import commands
from helpers.support.commands import LARGEST_SEED, Parser, number, whole
from helpers.support.config import LARGEST
from helpers.support.errors import InputError
from helpers.support.files import ROOT, written_whole
from helpers.vampnet.weights import transfer_codec, transfer_vampnet
from workshop.training import workers
from workshop.training.loop import Budget, Row, run
from workshop.vampnet.training import codec, decoder, transformer
from workshop.vampnet.training.codec import CodecTraining
from workshop.vampnet.training.lora import LoraTraining
from workshop.vampnet.training.ties import without_ties
from workshop.vampnet.training.tokens import Tokens, read_tokens
from workshop.vampnet.training.transformer import TransformerTraining

DATA = ROOT / "data"  # the clips that ship with the course
SHARES = {"codec": 0.6, "coarse": 0.2, "c2f": 0.2}  # of the time that `all` is given
RECIPES = {
    "codec": codec.Recipe(),
    "decoder": decoder.Recipe(),
    "coarse": transformer.COARSE,
    "c2f": transformer.C2F,
}
LORA = {"warm_up": 10, "check_chunks": 8}  # in place of the recipe's: an overlay has less to learn
LORAS = {"coarse": {"rate": 5e-3, "batch": 4} | LORA, "c2f": {"rate": 1.5e-2, "batch": 8} | LORA}
RANKS = {"coarse": 8, "c2f": 32}  # of the overlays


@dataclass(frozen=True)
class Job:
    """What all parts of one command share."""

    music: Path
    out: Path
    device: str
    dtype: torch.dtype
    compiled: bool
    bfloat16: bool
    versions: int
    start: Path | None

    def start_of(self, name: str) -> Path | None:
        """The checkpoint that a part goes on from, if any."""
        return self.start and self.start / f"{name}.pth"


def parser() -> Parser:
    """The command line."""
    command_line = Parser(
        prog="python -m workshop train vampnet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command_line.set_defaults(run=carry_out)
    parts = command_line.add_subparsers(dest="command", required=True)
    for name, text in (
        ("all", "codec, coarse and c2f, one after the other"),
        ("codec", "audio to tokens and back"),
        ("decoder", "a better decoder for a trained codec; its tokens keep their meaning"),
        ("coarse", "the first codebooks; needs codec.pth in --out"),
        ("c2f", "the other codebooks; needs codec.pth in --out"),
        ("lora", "an overlay for coarse and one for c2f; needs all three checkpoints in --out"),
    ):
        command = parts.add_parser(name, help=text)
        _add_common(command)
        if name in RECIPES or name == "all":
            command.add_argument("--compile", action="store_true", help="fuse steps, needs a C++ compiler")
        if name not in ("codec", "decoder"):
            _add_for_tokens(command)
        if name == "lora":
            command.add_argument("--name", required=True, help="of the style: NAME.coarse.pth, NAME.c2f.pth")
        else:
            command.add_argument(
                "--begin-with", type=Path, dest="start", metavar="DIR", help="checkpoints to go on from"
            )
        if name in RECIPES:
            _add_choices(command, RECIPES[name])
    return command_line


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--music", type=Path, required=True, help="a directory with train/ and valid/")
    command.add_argument("--out", type=Path, required=True, help="for checkpoints, metrics and states")
    length = command.add_mutually_exclusive_group(required=True)
    length.add_argument(
        "--minutes", type=number(1e-3, 1e6), help="of training, pauses of a resumed run not counted"
    )
    length.add_argument("--steps", type=whole(1, 10**9))
    command.add_argument("--half", action="store_true", help="store the weights as float16: half the size")
    command.set_defaults(compile=False, bfloat16=False, versions=1, start=None)


def _add_for_tokens(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--bfloat16", action="store_true", help="transformers: faster where the processor has bfloat16"
    )
    command.add_argument(
        "--versions", type=whole(1, 1000), default=1, help="how often each piece is turned into tokens (1)"
    )


def _add_choices(command: argparse.ArgumentParser, recipe: codec.Recipe | transformer.Recipe) -> None:
    for choice, default in _choices(recipe).items():
        flag = f"--{choice.replace('_', '-')}"
        if isinstance(default, bool):
            kind = {"action": "store_true"}
        elif isinstance(default, int):
            kind = {"type": whole(min(default, 1), LARGEST_SEED if choice == "seed" else LARGEST)}
        else:
            kind = {"type": number(0, 1e6)}
        command.add_argument(flag, default=default, help=f"see Recipe ({default})", **kind)


def _choices(recipe: codec.Recipe | transformer.Recipe) -> dict[str, int | float | bool]:
    """What of a recipe a command may change: its numbers and switches."""
    return {name: value for name, value in asdict(recipe).items() if isinstance(value, int | float)}


def train_codec(job: Job, recipe: codec.Recipe, budget: Budget) -> list[Row]:
    """Train codec.pth; the report of its transfer says whether the file can be read back."""
    path = job.out / "codec.pth"
    training = CodecTraining(recipe, job.music, job.device, job.dtype, job.compiled, job.start_of("codec"))
    rows = run(training, path, budget)
    if workers.is_first() and not (recipe.encoder_only or recipe.decoder_only):
        moved, close = without_ties(path, shipped_sounds(recipe))
        say(f"{moved} rows of the codebooks moved apart for the course's clips, {close} still close.")
    workers.wait_for_all()
    say(transfer_codec(checkpoints.read(path))[1].summary())
    return rows


def shipped_sounds(recipe: codec.Recipe) -> Iterator[torch.Tensor]:
    """The course's clips as the codec hears them, each (1, 1, N): whole, and three seconds of them."""
    hop = math.prod(recipe.encoder_rates)
    for path in sorted(DATA.rglob("*.flac")):
        audio, rate = sound.load(path)
        for cut in (audio, audio[:, rate : 4 * rate]):
            yield torch.from_numpy(sound.condition(cut, rate, recipe.sample_rate, hop).reshape(1, 1, -1))


def train_decoder(job: Job, recipe: decoder.Recipe, budget: Budget) -> list[Row]:
    """Train the decoder of the codec.pth to begin with; codec.pth in `out` has the same tokens."""
    if job.start is None:
        raise InputError("there is no codec whose decoder could be trained; name one with --begin-with DIR.")
    path = job.out / "codec.pth"
    rows = run(decoder.DecoderTraining(recipe, job.music, job.start_of("codec"), job.dtype), path, budget)
    say(transfer_codec(checkpoints.read(path))[1].summary())
    return rows


def train_transformer(job: Job, name: str, recipe: transformer.Recipe, budget: Budget) -> list[Row]:
    """Train coarse.pth or c2f.pth on tokens of the codec.pth beside it; count the codes on the way."""
    path, codec_path = job.out / f"{name}.pth", job.out / "codec.pth"
    train, valid = tokens(job, job.out / "tokens")
    if workers.is_first():
        with written_whole(job.out / "unigram.npz") as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, counts=train.counts())
    training = TransformerTraining(
        recipe,
        codec_path,
        train,
        valid,
        job.device,
        job.dtype,
        job.bfloat16,
        job.compiled,
        job.start_of(name),
    )
    rows = run(training, path, budget)
    workers.wait_for_all()
    say(transfer_vampnet(checkpoints.read(path), checkpoints.read(codec_path))[1].summary())
    return rows


def train_lora(job: Job, name: str, style: str, budget: Budget) -> list[Row]:
    """Train the overlay of one transformer on the music of a style."""
    train, valid = tokens(job, job.out / "tokens" / style)
    recipe = replace(RECIPES[name], **LORAS[name])
    training = LoraTraining(
        recipe, RANKS[name], job.out, name, train, valid, job.device, job.dtype, job.bfloat16
    )
    return run(training, job.out / f"{style}.{name}.pth", budget)


def tokens(job: Job, cache: Path) -> tuple[Tokens, Tokens]:
    """The music for training and for checking, as tokens of the codec in `out`."""

    def read() -> tuple[Tokens, Tokens]:
        return (
            read_tokens(job.out / "codec.pth", job.music / "train", cache / "train.npz", job.versions),
            read_tokens(job.out / "codec.pth", job.music / "valid", cache / "valid.npz"),
        )

    made = read() if workers.is_first() else None
    workers.wait_for_all()
    return made or read()  # the others find what the first one made


def say(text: str) -> None:
    """Print, once for all workers."""
    if workers.is_first():
        print(text)


def carry_out(options: argparse.Namespace) -> None:
    """Run the command with all workers."""
    with workers.started():
        _train(options)


def _train(options: argparse.Namespace) -> None:
    """Train each part; print its last metrics."""
    job = Job(
        options.music,
        options.out,
        "cuda" if torch.cuda.is_available() else "cpu",
        torch.float16 if options.half else torch.float32,
        options.compile,
        options.bfloat16,
        options.versions,
        options.start,
    )
    for name, part in _parts(options):
        budget = Budget(options.steps, options.minutes * part if options.minutes else None)
        if options.command == "lora":
            rows = train_lora(job, name, options.name, budget)
        elif name == "decoder":
            rows = train_decoder(job, _recipe(options, name), budget)
        elif name == "codec":
            rows = train_codec(job, _recipe(options, name), budget)
        else:
            rows = train_transformer(job, name, _recipe(options, name), budget)
        if rows:
            say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in rows[-1].items()))


def _parts(options: argparse.Namespace) -> Sequence[tuple[str, float]]:
    """What the command trains, and each part's share of the minutes."""
    if options.command == "all":
        return list(SHARES.items())
    if options.command == "lora":
        return [("coarse", 0.5), ("c2f", 0.5)]
    return [(options.command, 1.0)]


def _recipe(options: argparse.Namespace, name: str) -> codec.Recipe | transformer.Recipe:
    """The recipe with what the command changes of it."""
    recipe = RECIPES[name]
    changes = {choice: getattr(options, choice) for choice in _choices(recipe) if hasattr(options, choice)}
    return replace(recipe, **changes)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return commands.main(parser(), arguments, stopped="stopped; the same command continues.")
