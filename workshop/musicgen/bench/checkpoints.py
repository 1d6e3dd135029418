"""A MusicGen of random weights, as large as the public `musicgen-small`, to time where no file is at hand.

    python -m workshop checkpoints musicgen DIR [--layers N] [--seed N]

It has the format of Hugging Face and goes through the same code. What comes out of it is noise, but reading
a weight takes as long as with a trained one.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from helpers.musicgen.codec import Codec, CodecConfig
from helpers.musicgen.language_model import LanguageConfig, LanguageModel
from helpers.musicgen.text_encoder import TextConfig, TextEncoder
from helpers.support import commands
from helpers.support.commands import LARGEST_SEED, Parser, whole
from helpers.support.files import check_outputs
from workshop.musicgen.training.language import make_tokenizer
from workshop.musicgen.training.saving import TENSORS, save

CODEC = CodecConfig(
    sample_rate=32000, n_filters=64, ratios=(8, 5, 4, 4), n_residual=1, dilation_base=2, compress=2,
    kernel=7, residual_kernel=3, last_kernel=7, n_lstm=2, dimension=128, n_codebooks=4, codebook_size=2048,
    edges="constant",
)  # fmt: skip
LANGUAGE = {"width": 1024, "n_heads": 16, "feed_forward": 4096, "n_codebooks": 4, "codebook_size": 2048}
TEXT = {
    "vocab_size": 32128, "width": 768, "inner": 768, "n_heads": 12, "feed_forward": 3072, "n_buckets": 32,
    "max_distance": 128, "eps": 1e-6, "projected": 1024,
}  # fmt: skip
LAYERS = {"language": 24, "text": 12}  # of the public model
LONGEST = 1500  # frames: thirty seconds


def write(directory: str | os.PathLike, n_layers: int | None = None, seed: int = 0) -> Path:
    """Write the directory; the same seed gives the same weights.

    n_layers: of the language model and of the text encoder (None: 24 and 12, as in the public one: 1.3 GB).
    """
    torch.manual_seed(seed)
    depth = LAYERS if n_layers is None else dict.fromkeys(LAYERS, n_layers)
    language = LanguageModel(LanguageConfig(**LANGUAGE, n_layers=depth["language"]))
    text = TextEncoder(TextConfig(**TEXT, n_layers=depth["text"]))
    save(directory, Codec(CODEC).eval(), language, text, make_tokenizer(), LONGEST)
    return Path(directory)


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop checkpoints musicgen", description=__doc__)
    command.add_argument("directory", type=Path, metavar="DIR", help="where to write it")
    command.add_argument("--layers", type=whole(1, 1000), metavar="N", help="default: as in the public model")
    command.add_argument("--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N")
    command.set_defaults(run=run_checkpoints)
    return command


def run_checkpoints(options: argparse.Namespace) -> None:
    check_outputs([options.directory / TENSORS])
    directory = write(options.directory, options.layers, options.seed)
    megabytes = (directory / TENSORS).stat().st_size / 1e6
    print(f"wrote {directory}: a MusicGen of random weights, {megabytes:.0f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
