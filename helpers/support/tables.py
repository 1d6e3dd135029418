"""A table that prints in a terminal and in a notebook."""

import html
from collections.abc import Iterable, Sequence

from helpers.support.errors import plain

SCROLLS_FROM = 20  # rows; a longer table scrolls in a notebook, where hundreds of rows would bury the text
LONGEST_WORD = 20  # letters that a column keeps together


class Table:
    """Base of reports: `headings`, `cells()` and `summary()` become text and HTML.

    A dataclass that inherits from this one needs `repr=False`, or its own `repr` hides the table.
    """

    headings: Sequence[str] = ()

    def cells(self) -> list[Sequence[str]]:
        """The rows as text, one string a heading."""
        raise NotImplementedError

    def summary(self) -> str:
        """One line that says what the table comes to."""
        raise NotImplementedError

    def __str__(self) -> str:
        rows = [[plain(cell) for cell in row] for row in (self.headings, *self.cells())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.headings))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, self.summary()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = self.cells()
        body = "".join(_html_row(row, "td") for row in rows)
        scroll = (
            f" style='max-height:{SCROLLS_FROM * 1.6:.0f}em;overflow:auto'"
            if len(rows) > SCROLLS_FROM
            else ""
        )
        return (
            f"<p>{html.escape(self.summary())}</p><div{scroll}>"
            f"<table><thead>{_html_row(self.headings, 'th')}</thead><tbody>{body}</tbody></table></div>"
        )


def _html_row(cells: Iterable[str], tag: str) -> str:
    row = "".join(
        f"<{tag} style='text-align:left{_wrapping(cell)}'>{html.escape(cell)}</{tag}>" for cell in cells
    )
    return f"<tr>{row}</tr>"


def _wrapping(cell: str) -> str:
    """A tensor's long name may go on in the next line: else the table is wider than the page."""
    return ";overflow-wrap:anywhere" if any(len(word) > LONGEST_WORD for word in cell.split()) else ""


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.2f} MB"
