"""A line that says how far long work has come, in a notebook."""

from collections.abc import Collection, Iterator
from typing import TypeVar

from IPython.display import DisplayHandle, display

T = TypeVar("T")


class _Line:
    """Text that is shown as it is."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def watched(items: Collection[T], what: str) -> Iterator[T]:
    """The items one by one; a line below the cell says which is under way."""
    line = display(_Line(f"{what}: 0 of {len(items)}"), display_id=True) or DisplayHandle()
    for i, item in enumerate(items, 1):
        line.update(_Line(f"{what}: {i} of {len(items)} ..."))
        yield item
    line.update(_Line(f"{what}: {len(items)} of {len(items)}"))
