"""Text into ids of word pieces, with the tokenizer's own file. The library is imported when first used."""

import base64
import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.support.errors import InputError, first_line
from helpers.support.files import parse_json
from helpers.support.libraries import library

END, PADDING = 1, 0  # T5's ids for the end of a text, and for what fills up a shorter one
LONGEST_TEXT = 4000  # characters
LARGEST_FILE = 64 << 20  # bytes; T5's has one or two million


class Tokenizer:
    """A SentencePiece model (`spiece.model`) or a `tokenizer.json`; `vocab_size` is the text encoder's."""

    def __init__(self, path: Path, vocab_size: int):
        self.path, self.vocab_size = path, vocab_size

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """ids and mask, both int64 (B, L): each text ends with END, shorter ones are filled up."""
        return padded([self._ids(text) for text in texts])

    def _ids(self, text: str) -> list[int]:
        if len(text) > LONGEST_TEXT:
            raise InputError(f"a text has {len(text)} characters; {LONGEST_TEXT} are the most.")
        encode = self._encode
        with _failing_as(f"{self.path.name} cannot read this text"):
            ids = encode(text)
        if not all(0 <= one < self.vocab_size for one in ids):
            raise InputError(f"{self.path} has ids that the text encoder does not know: not its tokenizer.")
        return ids

    @cached_property
    def _encode(self):
        is_sentencepiece = self.path.suffix == ".model"
        package = library("sentencepiece" if is_sentencepiece else "tokenizers")
        with _failing_as(f"{self.path} is damaged or not a tokenizer"):
            content = self._content()
            if is_sentencepiece:
                pieces = package.SentencePieceProcessor(model_proto=content)
                return lambda text: [*pieces.encode(text), END]
            _check_tables(parse_json(content).get("normalizer"))
            whole = package.Tokenizer.from_str(content.decode())
            whole.no_padding()
            whole.no_truncation()
            return lambda text: whole.encode(text).ids

    def _content(self) -> bytes:
        try:
            if not self.path.is_file():  # nobody may ever write into a pipe
                raise InputError(f"there is no file {self.path}; if its bundle was moved, open it there.")
            if self.path.stat().st_size > LARGEST_FILE:
                raise InputError(f"{self.path} is too large for a tokenizer.")
            return self.path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}.") from error


@contextlib.contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Both libraries raise kinds without a public name; a panic in Rust is not even an `Exception`."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what} ({first_line(error)}).") from error


def _check_tables(normalizer: object) -> None:
    """Raise ValueError for a table of characters that claims more than it holds.

    `tokenizers` would reserve memory for the claim, and end the whole process where there is not so much.
    """
    if not isinstance(normalizer, dict):
        return
    for one in normalizer.get("normalizers") or ():
        _check_tables(one)
    if normalizer.get("type") == "Precompiled":
        table = base64.b64decode(normalizer["precompiled_charsmap"])
        if not 0 < int.from_bytes(table[:4], "little") <= len(table) - 4:
            raise ValueError("its table of characters is cut off")


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids of texts -> ids and mask, both int64 (B, L): shorter ones are filled up, and masked there by 0."""
    ids = np.full((len(rows), max(map(len, rows))), PADDING, np.int64)
    for row, found in zip(ids, rows):
        row[: len(found)] = found
    lengths = np.array([len(row) for row in rows])
    return ids, (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
