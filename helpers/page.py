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
from pathlib import Path
from typing import TextIO

from helpers.runtime.manifest import changed_files, described_files, load_manifest
from helpers.support.errors import InputError, plain
from helpers.support.files import ROOT, check_outputs, written_whole

WEB = ROOT / "web"
WIDGETS = Path(__file__).parent / "lesson" / "widgets"
LARGEST = 300_000_000  # bytes of a bundle; browsers stop taking text at about twice that
PIECE = 3 << 20  # bytes; a multiple of three needs no padding in base64
# Each after those that it imports.
MODULES = (
    "ort.js", "noise.js", "sampling.js", "decoding.js", "masks.js", "windows.js", "loudness.js",
    "pipeline.js", "worker.js", "models.js", "widget.js", "palette.js", "picture.js", "grid.js", "player.js",
    "wav.js", "knobs.js", "tokens.js", "listening.js", "settings.js", "page.js",
)  # fmt: skip
STYLES = ("player.css", "grid.css", "style.css")


def write_page(
    bundle: str | os.PathLike, out: str | os.PathLike, graphs: Sequence[str], content: Mapping[str, object]
) -> Path:
    """Write the page that plays `graphs` of a bundle; returns its path.

    content: what the page's script is told of the models, as JSON. Raises InputError: for a bundle that is
    damaged, incomplete, over LARGEST, or has its weights beside its graphs.
    """
    out = Path(out)
    check_outputs([out])
    paths = _graph_files(Path(bundle), graphs)
    script = _script()
    style = "\n".join(_text(name) for name in STYLES)
    parts = {
        "policy": _policy(script, style),
        "title": "Vamp",
        "style": style,
        "data": None,
        "script": script,
    }
    with written_whole(out) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for piece in re.split(r"(\{\w+\})", _text("page.html")):
            name = piece.strip("{}")
            if name == "data":
                _write_data(file, paths, content)
            else:
                file.write(parts.get(name, piece) if piece.startswith("{") else piece)
    return out


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


def _text(name: str) -> str:
    """A file of the page's own, wherever it lies."""
    for home in (WEB, WEB / "runtime", WIDGETS):
        if (home / name).is_file():
            return (home / name).read_text(encoding="utf-8")
    raise InputError(f"{WEB / name} is missing: the page is made from the course's folder.")


def _as_json(content: object) -> str:
    """JSON that can stand in a script element: no `<` could end it, or begin a comment."""
    return json.dumps(content).replace("<", "\\u003c")


def _script() -> str:
    """The one script of the page: all modules as strings, and what starts them."""
    modules = [(name, _text(name)) for name in MODULES]
    return f"const MODULES = {_as_json(modules)};\n{_text('loader.js')}"


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
    licence = f"{_text('LICENSE')}\n\n{_text('ThirdPartyNotices.txt')}"
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


def summary(bundle: str | os.PathLike, graphs: Sequence[str]) -> dict[str, str]:
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
