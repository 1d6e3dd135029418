"""A table that prints in a terminal and in a notebook."""

import html
from collections.abc import Iterable, Sequence


class Table:
    """Base of reports: `headings`, `cells()` and `summary()` become text and HTML."""

    headings: Sequence[str] = ()

    def cells(self) -> list[Sequence[str]]:
        """The rows as text, one string a heading."""
        raise NotImplementedError

    def summary(self) -> str:
        """One line that says what the table comes to."""
        raise NotImplementedError

    def __str__(self) -> str:
        rows = [self.headings, *self.cells()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.headings))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, self.summary()])

    def _repr_html_(self) -> str:
        body = "".join(_html_row(row, "td") for row in self.cells())
        return (
            f"<p>{html.escape(self.summary())}</p><div style='max-height:24em;overflow:auto'>"
            f"<table><thead>{_html_row(self.headings, 'th')}</thead><tbody>{body}</tbody></table></div>"
        )


def _html_row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag} style='text-align:left'>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
