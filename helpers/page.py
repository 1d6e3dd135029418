"""A bundle as one HTML file that plays it in a browser: from a double click, without server or network.

The file has everything inside: the modules of `web/`, the widgets' own JavaScript, ONNX Runtime Web, and the
graphs, as gzip in base64. A bundle may be a stranger's, so nothing of it is ever markup or script: what it
says of itself is JSON in an element that no browser runs, and the page's policy lets one script run, known by
its SHA-256, and no connection be made.
"""

import base64
import hashlib
import html
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from helpers.runtime.manifest import changed_files, described_files, load_manifest
from helpers.support.errors import InputError, plain
from helpers.support.files import ROOT, check_outputs, written_whole

WEB = ROOT / "web"
WIDGETS = Path(__file__).parent / "lesson" / "widgets"
LARGEST = 300_000_000  # bytes of a bundle; browsers stop taking text at about twice that
PIECE = 3 << 20  # bytes; a multiple of three needs no padding in base64
LOWEST_PLAYED, HIGHEST_PLAYED = 8_000, 96_000  # Hz; what every browser has to decode to
ENTRIES = ("worker.js", "page.js")  # the first starts in the models' thread, the last in the page
IMPORTED = r'from "\.[\w./]*/([\w.]+)"'
LICENCES = ("LICENSE", "ThirdPartyNotices.txt")  # of the runtime
STYLES = ("player.css", "grid.css", "style.css")


@dataclass(frozen=True)
class Page:
    """What a room has of its own on a page.

    home: its folder in `web/`. title, says: what stands on top; how: over the knobs; verb: on the button.
    graphs: those of the bundle that it plays. content: what its script is told of the models, as JSON.
    own_first: whether its part of the page stands before the sound that is opened.
    """

    home: str
    title: str
    says: str
    how: str
    verb: str
    graphs: Sequence[str]
    content: Mapping[str, object]
    own_first: bool = False


def write_page(bundle: str | os.PathLike, out: str | os.PathLike, page: Page) -> Path:
    """Write the page that plays a bundle; returns its path.

    Raises InputError: for a bundle that is damaged, incomplete, over LARGEST, or has its weights beside its
    graphs.
    """
    out = Path(out)
    check_outputs([out])
    paths = _graph_files(Path(bundle), page.graphs)
    content = page.content | {"graphs": page.graphs, "about": _about(bundle, page.graphs)}
    script = _script(page.home)
    style = "\n".join(_text(name, page.home) for name in STYLES)
    own = _text("own.html", page.home)
    parts = {
        "policy": _policy(script, style),
        "style": style,
        "first": own if page.own_first else "",
        "own": "" if page.own_first else own,
        "script": script,
        **{name: html.escape(getattr(page, name)) for name in ("title", "says", "how", "verb")},
    }
    with written_whole(out) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for piece in re.split(r"(\{\w+\})", _text("page.html", page.home)):
            name = piece.strip("{}")
            if piece == "{data}":
                _write_data(file, paths, content)
            else:
                file.write(parts.get(name, piece) if piece.startswith("{") else piece)
    return out


def check_rate(sample_rate: int) -> None:
    """Raise InputError for models at a rate (Hz) that no browser plays."""
    if not LOWEST_PLAYED <= sample_rate <= HIGHEST_PLAYED:
        raise InputError(
            f"the models are at {sample_rate} Hz, and a page plays {LOWEST_PLAYED} to {HIGHEST_PLAYED}."
        )


def _graph_files(bundle: Path, graphs: Sequence[str]) -> dict[str, Path]:
    """The files of a bundle's graphs, by name, that are what its manifest says."""
    described = described_files(bundle, load_manifest(bundle))
    paths = {name: bundle / f"{name}.onnx" for name in graphs}
    for path in paths.values():
        if not path.is_file():
            raise InputError(f"{bundle} is not a complete bundle: {path.name} is missing; export it again.")
        if path.with_name(f"{path.name}.data").exists():
            raise InputError(f"{bundle} has weights beside its graphs; export it without --external-data.")
    size = sum(path.stat().st_size for path in paths.values())
    if size > LARGEST:
        raise InputError(
            f"{bundle} has {size / 1e6:.0f} MB and a page takes {LARGEST / 1e6:.0f}; "
            "export it with --precision int8, or play it with the commands."
        )
    for problem in changed_files(
        bundle, {path.name: described.get(path.name, "") for path in paths.values()}
    ):
        raise InputError(f"{bundle}: {problem}; export the bundle again.")
    return paths


def _text(name: str, home: str) -> str:
    """A file of a room's page, wherever it lies."""
    for folder in (WEB / home, WEB, WEB / "runtime", WIDGETS):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise InputError(f"{WEB / name} is missing: the page is made from the course's folder.")


def modules(home: str) -> dict[str, str]:
    """The JavaScript of a room's page: name -> source, each behind those that it imports."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in found:
            text = _text(name, home)
            for imported in re.findall(IMPORTED, text):
                add(imported)
            found[name] = text

    for name in ENTRIES:
        add(name)
    return found


def _as_json(content: object) -> str:
    """JSON that can stand in a script element: no `<` could end it, or begin a comment."""
    return json.dumps(content).replace("<", "\\u003c")


def _script(home: str) -> str:
    """The one script of the page: all modules as strings, and what starts them."""
    return f"const MODULES = {_as_json(list(modules(home).items()))};\n{_text('loader.js', home)}"


def _policy(script: str, style: str) -> str:
    """The content security policy: one script, one style, and what these make themselves."""

    def known(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    rules = {
        "default-src": "'none'",
        "script-src": f"{known(script)} blob: 'wasm-unsafe-eval'",
        "style-src": known(style),
        "worker-src": "blob:",
        "img-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return html.escape("; ".join(f"{name} {value}" for name, value in rules.items()), quote=False)


def _write_data(file: TextIO, paths: Mapping[str, Path], content: Mapping[str, object]) -> None:
    """The page's data, each in an element that no browser runs."""
    file.write(f'<script type="application/json" id="bundle">{_as_json(content)}</script>\n')
    licence = "\n\n".join((WEB / "runtime" / name).read_text(encoding="utf-8") for name in LICENCES)
    file.write(f'<script type="application/json" id="runtime-licence">{_as_json(licence)}</script>\n')
    runtime = (WEB / "runtime" / "ort.wasm.gz").read_bytes()
    _write_element(file, "runtime", [base64.b64encode(runtime).decode()])
    for name, path in paths.items():
        _write_element(file, f"graph-{name}", _packed(path))


def _write_element(file: TextIO, name: str, pieces: Iterator[str] | Sequence[str]) -> None:
    file.write(f'<script type="application/gzip" id="{html.escape(name)}">')
    file.writelines(pieces)
    file.write("</script>\n")


def _packed(path: Path) -> Iterator[str]:
    """A file as gzip in base64, piece by piece."""
    squeeze, rest = zlib.compressobj(6, wbits=31), b""
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            rest += squeeze.compress(piece)
            n_whole = len(rest) // 3 * 3
            yield base64.b64encode(rest[:n_whole]).decode()
            rest = rest[n_whole:]
    yield base64.b64encode(rest + squeeze.flush()).decode()


def _about(bundle: str | os.PathLike, graphs: Sequence[str]) -> dict[str, str]:
    """What a page says about its models: name -> one line that only shows characters."""
    manifest = load_manifest(bundle)
    stored, tools = manifest.get("precision"), manifest.get("tools")
    told = {
        "model": manifest.get("model"),
        "bundle": Path(bundle).resolve().name,
        **{name: stored.get(name) for name in graphs if isinstance(stored, dict)},
        "made with": ", ".join(f"{tool} {version}" for tool, version in tools.items())
        if isinstance(tools, dict)
        else None,
    }
    return {name: plain(text) for name, text in told.items() if text is not None}
