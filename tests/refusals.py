"""How a refusal looks, wherever it comes from: an InputError, one line that a terminal can show."""

import contextlib
from collections.abc import Iterator

import pytest

from helpers.support.errors import InputError


@contextlib.contextmanager
def refused(*fragments: str) -> Iterator[None]:
    """The block must raise an InputError of one printable line that contains every fragment."""
    with pytest.raises(InputError) as caught:
        yield
    message = str(caught.value)
    assert message.isprintable() and message.endswith((".", "?")), repr(message)
    for fragment in fragments:
        assert fragment in message, message
