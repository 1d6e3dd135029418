"""The names of a classifier's labels, from a table."""

import csv
import io
import os
from pathlib import Path

from helpers.classify.spec import LONGEST_LABEL
from helpers.support.errors import InputError

LARGEST = 8 << 20  # bytes; AudioSet's 527 labels take fifteen thousand
NAMES = ("display_name", "label", "name")  # what the column of names may be called
INDICES = ("index", "id")


def numbered(n_labels: int) -> tuple[str, ...]:
    """Labels that nobody named."""
    return tuple(map(str, range(n_labels)))


def read_labels(path: str | os.PathLike, n_labels: int) -> tuple[str, ...]:
    """The labels of a CSV file, in the order of its index where it has one.

    A table with a heading (`display_name`, `label` or `name` is the column that counts, as in AudioSet's
    `class_labels_indices.csv`), or one name a line. Raises InputError for another number of them.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist; name a CSV, a label a line.")
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise InputError(f"{path} is no file of labels; name a CSV, a label a line.")
        rows = [row for row in csv.reader(io.StringIO(path.read_text("utf-8-sig")), strict=True) if row]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no CSV text in UTF-8.") from error
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((heading.index(name) for name in NAMES if name in heading), None)
    index = next((heading.index(name) for name in INDICES if name in heading), None)
    if column is not None:
        rows = rows[1:]
    elif any(len(row) > 1 for row in rows):
        raise InputError(f"{path}: none of its columns is called {', '.join(NAMES)}.")
    if len(rows) != n_labels:
        raise InputError(f"{path} names {len(rows)} labels, the model has {n_labels}.")
    try:
        if column is not None and index is not None:
            rows = sorted(rows, key=lambda row: int(row[index]))
            found, first = [int(row[index]) for row in rows], int(rows[0][index])
            if first not in (0, 1) or found != list(range(first, first + n_labels)):
                raise InputError(f"{path}: its index leaves out a number, or has one twice.")
        labels = tuple(row[column or 0].strip() for row in rows)
    except InputError:
        raise
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}: a row has too few columns, or an index that is no number.") from error
    if not all(0 < len(label) <= LONGEST_LABEL for label in labels):
        raise InputError(f"{path}: a label is empty, or longer than {LONGEST_LABEL} characters.")
    return labels
