"""Checkpoints with random weights, as large as the public VampNet, to time where no real file is at hand.

    python -m workshop checkpoints vampnet DIR [--layers N] [--seed N]

They have the real file format and go through the same code. What comes out of them is noise, but a product
of matrices takes as long as with trained weights.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from helpers.support import commands
from helpers.support.commands import LARGEST_SEED, Parser, whole
from helpers.support.files import check_outputs
from helpers.vampnet.codec import CodecConfig
from helpers.vampnet.transformer import VampNetConfig
from workshop.vampnet.training.codec import trainable_codec
from workshop.vampnet.training.saving import save_codec, save_vampnet
from workshop.vampnet.training.transformer import trainable_vampnet

CODEC = {
    "encoder_dim": 64, "encoder_rates": [2, 4, 8, 12], "decoder_dim": 512, "decoder_rates": [12, 8, 4, 2],
    "n_codebooks": 14, "codebook_size": 1024, "codebook_dim": 8, "sample_rate": 44100,
}  # fmt: skip
TRANSFORMER = {"n_heads": 20, "latent_dim": 8, "embedding_dim": 1280, "vocab_size": 1024}
TRANSFORMERS = {  # by file: what sets the two apart
    "coarse": {"n_layers": 20, "n_codebooks": 4, "n_conditioning_codebooks": 0},
    "c2f": {"n_layers": 16, "n_codebooks": 14, "n_conditioning_codebooks": 4},
}


def write(directory: str | os.PathLike, n_layers: int | None = None, seed: int = 0) -> Path:
    """Write codec.pth, coarse.pth and c2f.pth into a directory; the same seed gives the same weights.

    n_layers: of both transformers (None: 20 and 16, as in the public files: 2.4 GB together).
    """
    directory = Path(directory)
    layers = {} if n_layers is None else {"n_layers": n_layers}
    kwargs = {name: TRANSFORMER | differing | layers for name, differing in TRANSFORMERS.items()}
    configs = {name: VampNetConfig.from_kwargs(described) for name, described in kwargs.items()}
    torch.manual_seed(seed)
    codec = trainable_codec(CodecConfig.from_kwargs(CODEC))
    save_codec(directory / "codec.pth", codec, CODEC)
    tables = [book.codebook.detach() for book in codec.quantizer.quantizers]
    counts = frequencies(CODEC["n_codebooks"], CODEC["codebook_size"], seed)
    for name, config in configs.items():
        model = trainable_vampnet(config, tables[: config.n_codebooks], counts)
        save_vampnet(directory / f"{name}.pth", model, kwargs[name])
    return directory


def frequencies(n_codebooks: int, codebook_size: int, seed: int) -> np.ndarray:
    """(C, V): the k-th most frequent code of each codebook k times as rare as the first (Zipf).

    Were all equally likely, the first choices of random weights would hardly differ from the second ones,
    and nothing could be said of what rounding does to a choice.
    """
    rng, ranks = np.random.default_rng(seed), np.arange(1, codebook_size + 1)
    return np.stack([rng.permutation(codebook_size * 100 / ranks) for _ in range(n_codebooks)])


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop checkpoints vampnet", description=__doc__)
    command.add_argument("directory", type=Path, metavar="DIR", help="where to write the three files")
    command.add_argument(
        "--layers",
        type=whole(1, 1000),
        metavar="N",
        help="of both transformers (default: 20 and 16, as in the public)",
    )
    command.add_argument("--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N")
    command.set_defaults(run=run_checkpoints)
    return command


def run_checkpoints(options: argparse.Namespace) -> None:
    check_outputs(options.directory / f"{name}.pth" for name in ("codec", *TRANSFORMERS))
    directory = write(options.directory, options.layers, options.seed)
    megabytes = sum((directory / f"{name}.pth").stat().st_size for name in ("codec", *TRANSFORMERS)) / 1e6
    print(f"wrote {directory}: three checkpoints of random weights, {megabytes:.0f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
