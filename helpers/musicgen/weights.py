"""MusicGen's weights, out of its files into its modules."""

import os
from dataclasses import dataclass
from pathlib import Path

from helpers.musicgen.codec import Codec
from helpers.musicgen.language_model import LanguageModel
from helpers.musicgen.names import walk_codec, walk_language, walk_text
from helpers.musicgen.sources import Part, Sources
from helpers.musicgen.spec import Spec
from helpers.musicgen.text_encoder import TextEncoder
from helpers.support.files import sha256
from helpers.transfer import Transfer, TransferReport, built, check_depth


@dataclass(frozen=True)
class Models:
    """The three models of a MusicGen, how their weights got there, and from which files."""

    language: LanguageModel
    codec: Codec
    text: TextEncoder
    spec: Spec
    reports: dict[str, TransferReport]
    files: dict[str, Path]
    tokenizer: Path | None

    def sha256(self) -> dict[str, str]:
        """Of every file that numbers came from."""
        return {name: sha256(path) for name, path in self.files.items()}


def load_models(
    directory: str | os.PathLike,
    text_encoder: str | os.PathLike | None = None,
    codec: str | os.PathLike | None = None,
) -> Models:
    """Read, build and fill all three models. Raises InputError that names the file and the tensor."""
    sources = Sources.of(directory, text_encoder, codec)
    moved = {
        "language": transfer_language(sources.language),
        "codec": transfer_codec(sources.codec),
        "text": transfer_text(sources.text),
    }
    models = {name: model for name, (model, _) in moved.items()}
    reports = {name: report for name, (_, report) in moved.items()}
    return Models(
        **models, spec=sources.spec(), reports=reports, files=sources.files, tokenizer=sources.tokenizer
    )


def transfer_language(part: Part) -> tuple[LanguageModel, TransferReport]:
    """Build the language model and fill it."""
    check_depth(part.path, 10 * part.config.n_layers + 2 * part.config.n_codebooks, part.tensors)
    model = built(part.path, LanguageModel, part.config)
    move = Transfer(part.called, model, part.tensors)
    walk_language(move, part.config, part.names)
    move.leave(part.names / "model.decoder.embed_positions.weights", "waves that the model computes itself")
    return model, move.finish()


def transfer_codec(part: Part) -> tuple[Codec, TransferReport]:
    """Build the codec and fill it."""
    config, names = part.config, part.names
    check_depth(part.path, 2 * len(config.ratios) * (config.n_residual + 1) + 8 * config.n_lstm, part.tensors)
    codec = built(part.path, Codec, config)
    move = Transfer(part.called, codec, part.tensors)
    walk_codec(move, config, names)
    for name in part.tensors:
        _, inside, rest = name.partition(f"{names.quantizer}.")
        book, _, kind = rest.partition(f".{names.book}.")
        if inside and kind in ("embed_avg", "cluster_size", "inited"):
            move.leave(name, "kept for training only")
        elif inside and kind == "embed" and book.isdecimal() and int(book) >= config.n_codebooks:
            move.leave(name, "of a codebook that the language model does not speak")
    return codec, move.finish()


def transfer_text(part: Part) -> tuple[TextEncoder, TransferReport]:
    """Build the text encoder, with its projection, and fill it."""
    names = part.names
    check_depth(part.path, 8 * part.config.n_layers, part.tensors)
    model = built(part.path, TextEncoder, part.config)
    move = Transfer(part.called, model, part.tensors)
    embedding = next((one for one in EMBEDDINGS if names / one in part.tensors), EMBEDDINGS[0])
    walk_text(move, part.config, names, embedding, part.projection)
    for name in part.tensors:
        if name in [names / one for one in EMBEDDINGS if one != embedding]:
            move.leave(name, f"the same table as {embedding}")
        elif name.startswith((names / "decoder.", names / "lm_head.")):
            move.leave(name, "of T5's decoder, which MusicGen does not have")
    return model, move.finish()


EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")
