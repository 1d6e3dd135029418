"""A tokenizer's file as plain data: what another language needs to make the same ids of a text."""

import base64
from pathlib import Path

from helpers.runtime.tokenizer import END, LARGEST_FILE
from helpers.support.errors import InputError, first_line
from helpers.support.libraries import library

UNIGRAM = 1  # a model's type (Kudo 2018), and then those of its pieces
NORMAL, UNKNOWN, CONTROL, UNUSED = 1, 2, 3, 5


def tables(path: Path, vocab_size: int) -> dict:
    """What a SentencePiece model of the unigram kind knows, as JSON can hold it.

    pieces: [text, id, score]; unknown, end: ids; charsmap: how characters are made alike, base64;
    dummy_prefix, remove_extra: whether a space is put in front, and others are dropped. Raises InputError for
    another file, and for one with what `web/musicgen/tokenizer.js` does not do.
    """
    if path.suffix != ".model":
        raise InputError(
            f"{path.name} is a tokenizer that a page cannot read, and spiece.model one that it can: "
            "put that into the checkpoint's directory and export it again."
        )
    model = _parsed(path)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    is_known = (
        trainer.model_type == UNIGRAM
        and normalizer.escape_whitespaces
        and not (trainer.byte_fallback or trainer.treat_whitespace_as_suffix)
        and all(piece.type in (NORMAL, UNKNOWN, CONTROL, UNUSED) for piece in model.pieces)
    )
    unknown = [i for i, piece in enumerate(model.pieces) if piece.type == UNKNOWN]
    if not is_known or len(unknown) != 1:
        raise InputError(f"{path} is a SentencePiece model of another kind than T5's; a page reads no other.")
    if len(model.pieces) > vocab_size:
        raise InputError(f"{path} has ids that the text encoder does not know: not its tokenizer.")
    return {
        "pieces": [[one.piece, i, one.score] for i, one in enumerate(model.pieces) if one.type == NORMAL],
        "unknown": unknown[0],
        "end": END,
        "charsmap": base64.b64encode(normalizer.precompiled_charsmap).decode(),
        "dummy_prefix": normalizer.add_dummy_prefix,
        "remove_extra": normalizer.remove_extra_whitespaces,
    }


def _parsed(path: Path):
    """The message in a model's file."""
    messages = library("sentencepiece.sentencepiece_model_pb2")
    model = messages.ModelProto()
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is too large for a tokenizer.")
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except InputError:
        raise
    except Exception as error:  # the library's own kinds
        raise InputError(f"{path} is damaged or not a tokenizer ({first_line(error)}).") from error
    return model
