"""The executed notebooks as pages: each an HTML file that needs no network and no other file.

Runs in the course's environment: `python course.py build`.
"""

import base64
import html
import io
import json
import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbclient
import nbformat
from matplotlib import mathtext
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from helpers.support import commands
from helpers.support.commands import Parser
from helpers.support.errors import InputError, first_line
from helpers.support.files import written_whole
from teaching.search import as_data

ROOT = Path(__file__).resolve().parents[1]
HERE, WIDGETS, NOTEBOOKS = ROOT / "teaching", ROOT / "helpers" / "lesson" / "widgets", ROOT / "notebooks"
START, GLOSSARY, MAP_CELL = "00_start_here", "GLOSSARY", "map"
TITLE = "Audio models everywhere"
CELL_SECONDS = 600
PREPARE = """import sys

sys.path.insert(0, {root!r})
from teaching.in_page import show_in_pages

show_in_pages()
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<nav><a href="index.html">{course}</a></nav>
<main>
{body}
</main>
{script}
</body>
</html>
"""


GITHUB = "https://github.com/"
ELSEWHERE = """<p class="elsewhere">Open it where it runs: <a href="{binder}">Binder</a> (takes minutes to
start), <a href="{colab}">Colab</a> (first run a cell with
<code>!git clone --depth 1 {repository} course</code>, then <code>%cd course</code> and
<code>!pip install -c requirements.lock .</code>), or on your own computer, with
<a href="{repository}">the course</a> and <code>python course.py</code>.</p>
"""
SEARCH = """<section class="search">
<label for="search">Search the course</label> <input id="search" type="search" autocomplete="off">
<p id="found-count" role="status"></p>
<ol id="found"></ol>
<script type="application/json" id="sections">{data}</script>
<script type="module">
{script}</script>
</section>
"""


def build(to: Path, notebooks: Sequence[Path]) -> None:
    """Execute the notebooks, write a page for each, the glossary and an index. Raises InputError."""
    names, elsewhere = [path.stem for path in notebooks], Elsewhere(repository())
    texts = {}
    for path in notebooks:
        started = time.monotonic()
        notebook = executed(path)
        page = as_page(notebook, [*names, GLOSSARY], elsewhere.links(path.name))
        write(to / f"{path.stem}.html", page)
        texts[f"{path.stem}.html"] = notebook
        print(f"{path.stem}: {time.monotonic() - started:.0f} s, {len(page) / 1e6:.1f} MB", flush=True)
    glossary = NOTEBOOKS / f"{GLOSSARY}.md"
    if glossary.is_file():
        texts[f"{GLOSSARY}.html"] = text = prose(glossary.read_text(encoding="utf-8"))
        write(to / f"{GLOSSARY}.html", as_page(text, names))
    write(to / "index.html", as_page(index(), [*names, GLOSSARY], after=search_form(texts)))
    print(f"Open {to / 'index.html'}")


def executed(path: Path) -> NotebookNode:
    """The notebook after a run in which widgets became HTML. Raises InputError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PREPARE.format(root=str(ROOT))))
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        message = f"{path.name} stopped: {error.ename}: {first_line(error.evalue)}"
        raise InputError(f"{message}; run it in JupyterLab to see where.") from error
    del notebook.cells[0]
    return notebook


def prose(text: str) -> NotebookNode:
    """A text as a notebook of one cell, so that it becomes a page like the others."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])


def index() -> NotebookNode:
    """The course's title and its map, which the first notebook has."""
    cells = nbformat.read(NOTEBOOKS / f"{START}.ipynb", as_version=4).cells
    course_map = next(cell.source for cell in cells if cell.id == MAP_CELL)
    course_map = re.sub(r"^\| (00 [^|]+) \|", rf"| [\1]({START}.ipynb) |", course_map, flags=re.MULTILINE)
    glossary = f"\n\n[The glossary]({GLOSSARY}.md) says what the words mean."
    return prose(f"# {TITLE}\n\n{course_map}{glossary}")


@dataclass(frozen=True)
class Elsewhere:
    """Where a notebook can be opened; nowhere while nobody has said where the course is."""

    repository: str

    def links(self, notebook: str) -> str:
        """A line of HTML, or nothing."""
        if not self.repository:
            return ""
        place = self.repository.removeprefix(GITHUB)
        binder = f"https://mybinder.org/v2/gh/{place}/main?labpath=notebooks/{notebook}"
        colab = f"https://colab.research.google.com/github/{place}/blob/main/notebooks/{notebook}"
        return ELSEWHERE.format(
            repository=html.escape(self.repository), binder=html.escape(binder), colab=html.escape(colab)
        )


def repository(project: Path = ROOT / "pyproject.toml") -> str:
    """The course's address on GitHub, from the one place that says it, or "". Raises InputError."""
    address = (
        tomllib.loads(project.read_text(encoding="utf-8"))
        .get("tool", {})
        .get("course", {})
        .get("repository", "")
    )
    if address and not re.fullmatch(re.escape(GITHUB) + r"[\w.-]+/[\w.-]+", address):
        raise InputError(f"{project.name}: tool.course.repository should be {GITHUB}OWNER/NAME, or empty.")
    return address


def search_form(texts: Mapping[str, NotebookNode]) -> str:
    """A field to search all pages with, what it looks through, and its script."""
    data = json.dumps(as_data(texts)).replace("<", "\\u003c")  # no `<` can end the element
    return SEARCH.format(data=data, script=(HERE / "search.js").read_text(encoding="utf-8"))


def as_page(notebook: NotebookNode, pages: Sequence[str], before: str = "", after: str = "") -> str:
    """A whole HTML file; links to the notebooks and texts in `pages` lead to their pages.

    before, after: HTML round the notebook's own.
    """
    exporter = HTMLExporter(template_name="basic", embed_images=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"path": str(NOTEBOOKS)}})
    body = re.sub(r"\$\$(.+?)\$\$", lambda found: formula(html.unescape(found[1])), body, flags=re.DOTALL)
    names = "|".join(map(re.escape, pages))
    body = re.sub(rf'href="({names})\.(?:ipynb|md)(#[^"]*)?"', r'href="\1.html\2"', body)
    heading = re.search(r"^# (.+)", notebook.cells[0].source, re.MULTILINE)
    has_player = 'class="page-player"' in body
    return PAGE.format(
        title=html.escape(heading[1]) if heading else TITLE,
        course=TITLE,
        style=style(has_player),
        body=before + body + after,
        script=f"<script type='module'>\n{script()}</script>" if has_player else "",
    )


def formula(tex: str) -> str:
    """A displayed formula as a picture, because the program that sets it in JupyterLab is not in a page."""
    file = io.BytesIO()
    try:
        mathtext.math_to_image(f"${' '.join(tex.split())}$", file, format="svg")
    except ValueError:  # matplotlib knows less of TeX
        return f"<pre>{html.escape(tex)}</pre>"
    picture = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="formula" alt="{html.escape(tex)}" src="data:image/svg+xml;base64,{picture}">'


def style(has_player: bool) -> str:
    sheets = [(HERE / "page.css").read_text(encoding="utf-8"), HtmlFormatter().get_style_defs(".highlight")]
    if has_player:
        sheets.append((WIDGETS / "player.css").read_text(encoding="utf-8"))
    return "\n".join(sheets)


def script() -> str:
    """The notebooks' own player, and what stands in for a kernel."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (WIDGETS / "player.js", HERE / "page.js"))


def write(path: Path, page: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages into the directory that the command line names."""
    parser = Parser(prog="teaching.pages", description=__doc__)
    parser.add_argument("to", type=Path, metavar="DIR")
    parser.set_defaults(run=lambda options: build(options.to, sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))))
    return commands.main(parser, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
