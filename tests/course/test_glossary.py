"""The glossary and the notebooks agree: a term's first use explains it and links to its entry.

A notebook takes part as soon as it has one link to the glossary; from then on every term that the glossary
says it explains must be linked there, and none of a later notebook may be used.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
GLOSSARY = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[([^\]]+)\]\(GLOSSARY\.md#([^)]+)\)")
ANNOUNCEMENTS = ("title", "objectives")  # cells that say what is to come, in words that are explained later
EVERYDAY = ("needs attention",)  # phrases in which a term's word is no term


@dataclass(frozen=True)
class Term:
    """An entry: its heading, what it says, and the notebook that explains it."""

    name: str
    text: str
    home: str

    @property
    def anchor(self):
        """As JupyterLab and the pages make it of the heading."""
        return self.name.replace(" ", "-")

    @property
    def used(self):
        """Finds the term in prose: the word or its plural, not a part of another term."""
        word = re.escape(self.name)
        longer = "".join(rf"(?<!{re.escape(lead)})" for lead in self.leads())
        return re.compile(rf"\b{longer}{word}s?\b", re.IGNORECASE)

    def leads(self):
        """What stands before this term in longer ones: 'residual ' before 'vector quantization'."""
        return [other.name[: -len(self.name)] for other in TERMS if other.name.endswith(f" {self.name}")]


def terms():
    for entry in GLOSSARY.split("\n### ")[1:]:
        name, _, text = entry.partition("\n")
        text, home = re.fullmatch(r"(.+) \*\[(\d\d)\]\(.+\)\*", text.strip(), re.DOTALL).groups()
        yield Term(name, text, home)


TERMS = list(terms())


@dataclass(frozen=True)
class Cell:
    """A cell of prose: its notebook's number, its id, its prose (see `plain`) and its links."""

    notebook: str
    id: str
    prose: str
    links: tuple[str, ...]


def prose_cells():
    """Every cell of prose, in the order of the course."""
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown" and cell.id not in ANNOUNCEMENTS:
                links = tuple(anchor for _, anchor in LINK.findall(cell.source))
                yield Cell(path.name[:2], cell.id, plain(cell.source), links)


def plain(source):
    """Prose without headings, tables, code, formulas and everyday phrases; of links only the words."""
    text = re.sub(r"^(#|\|).*$", "", source, flags=re.MULTILINE)
    text = re.sub(r"\$\$.+?\$\$|`[^`]*`|<code>.*?</code>", "", text, flags=re.DOTALL)
    text = re.sub(
        r"\[([^\]]+)\]\([^)]*\.ipynb[^)]*\)", "", text
    )  # a notebook's name may name what is to come
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return re.sub("|".join(EVERYDAY), "", text)


CELLS = list(prose_cells())
TAKING_PART = {cell.notebook for cell in CELLS if cell.links}
each_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.anchor)


def test_entries_are_short_and_in_the_order_of_the_course():
    assert len({term.name for term in TERMS}) == len(TERMS) > 40
    for term in TERMS:
        assert 1 <= len(re.findall(r"[.:](?:\s|$)", term.text)) <= 4 and len(term.text.split()) <= 45, (
            term.name
        )
    homes = [term.home for term in TERMS]
    assert homes == sorted(homes)


def test_the_links_of_the_glossary_lead_to_notebooks():
    here = {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    for number, name in re.findall(r"\[(\d\d)\]\((.+?)\)", GLOSSARY):
        assert name.startswith(f"{number}_") and name.endswith(".ipynb")
        assert name in here or not any(path.startswith(number) for path in here), name


def test_the_links_of_the_notebooks_lead_to_entries():
    anchors = {term.anchor for term in TERMS}
    assert {link for cell in CELLS for link in cell.links} <= anchors
    assert {"00", "01", "02", "03"} <= TAKING_PART


@each_term
def test_the_first_use_links_to_the_entry(term):
    uses = [cell for cell in CELLS if cell.notebook in TAKING_PART and term.used.search(cell.prose)]
    if term.home not in TAKING_PART:
        assert [f"{cell.notebook} {cell.id}" for cell in uses if cell.notebook < term.home] == []
        return
    assert uses, f"no notebook uses {term.name}"
    first = uses[0]
    assert first.notebook == term.home, f"{first.notebook} {first.id} uses it before {term.home} explains it"
    assert term.anchor in first.links, f"{first.notebook} {first.id} uses it first, and does not link to it"


def test_a_term_inside_a_longer_one_is_not_a_use():
    by_name = {term.name: term for term in TERMS}
    assert not by_name["vector quantization"].used.search("called residual vector quantization.")
    assert by_name["vector quantization"].used.search("That is **vector quantization**.")
    assert (
        by_name["codebook"].used.search("Codebooks are lists")
        and plain("`codebook` | x\n| codebook |") == " | x\n"
    )
