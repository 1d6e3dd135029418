"""What the pages' search looks through: each section of each page, its heading and its words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from nbformat import NotebookNode

HEADING = re.compile(r"^(#{1,4}) +(.+)$")


@dataclass(frozen=True)
class Section:
    """A heading, what stands under it, and where: the page's title and its address with the place in it."""

    page: str
    heading: str
    address: str
    words: str


def sections(notebook: NotebookNode, address: str) -> Iterator[Section]:
    """The sections of a page's prose, in order; `address` is the page's."""
    title, heading, anchor, words = "", "", "", []
    for line in _prose(notebook):
        found = HEADING.match(line)
        if not found:
            words.append(line)
            continue
        if heading:
            yield Section(title, heading, address + anchor, plain(" ".join(words)))
        heading, words = plain(found[2]), []
        title = title or heading
        anchor = "#" + found[2].replace(" ", "-")  # as the pages make it of a heading
    if heading:
        yield Section(title, heading, address + anchor, plain(" ".join(words)))


def _prose(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from cell.source.splitlines()


def plain(markdown: str) -> str:
    """The words, without marks, addresses and tags."""
    text = re.sub(r"<[^>]*>|\$\$.*?\$\$", " ", markdown)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`|]+|-{3,}", " ", text).split())


def as_data(found: Mapping[str, NotebookNode]) -> list[dict[str, str]]:
    """All sections of all pages by address, for the page's script."""
    return [asdict(one) for address, notebook in found.items() for one in sections(notebook, address)]
