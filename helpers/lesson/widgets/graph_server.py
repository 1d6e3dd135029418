"""netron's page for ONNX files, served to this computer's browser, and unable to reach anything else.

netron is a page of static files (its package, MIT licence) that draws a model. Its own server is not used:
the page stops working 180 days after its release, asks a server on the internet in which country it is read,
and reports usage. Served as from netron's source tree, with the version 0.0.0 and no date, by netron's own
rules it has no age and reports nothing; GUEST answers its question; POLICY holds whatever else it tries.
"""

import functools
import hashlib
import importlib.util
import re
import secrets
import socketserver
import threading
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"  # nobody on the network can ask
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json",
         ".png": "image/png", ".ico": "image/x-icon"}  # fmt: skip
SHOWN = "graph.onnx"  # what every file is called in its address: its own name may hold a # or a ?
LARGEST_WEIGHT = 4_000_000  # bytes of one weight; a browser need not hold a gigabyte to draw a graph
# Runs before netron's scripts. Cookies belong to the computer, not to a port: JupyterLab's could be read, and
# netron's would stay. Its question whether it may report counts as answered, as no report could leave. And a
# graph that has been drawn does not take the keyboard away from the notebook, where the reader goes on.
GUEST = """
Object.defineProperty(document, "cookie", { get: () => "consent=asked", set: () => {} });
const focus = HTMLElement.prototype.focus;
HTMLElement.prototype.focus = function (...options) {
  if (document.hasFocus()) focus.apply(this, options);
};
"""
OWN = {"guest.js": GUEST, "alive": "yes"}


def netron_folder() -> Path | None:
    """Where netron's page lies; None if the package is not installed."""
    found = importlib.util.find_spec("netron")
    return Path(found.submodule_search_locations[0]) if found else None


class GraphServer(ThreadingHTTPServer):
    """Serves netron with the files that were given to `add`, until the process ends. Raises OSError."""

    daemon_threads = True

    def __init__(self, netron: Path):
        super().__init__((HOST, 0), _Page)  # 0: any port that is free
        self.netron, self.files = netron, {}
        self.secret = secrets.token_urlsafe(16)  # other users of this computer can't guess it
        threading.Thread(target=self.serve_forever, daemon=True, name="netron").start()

    def server_bind(self) -> None:
        """Bind, without the look-up of the computer's name that HTTPServer makes on the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, *_: object) -> None:
        """Say nothing: a browser that leaves early would put a traceback into the notebook."""

    def add(self, path: Path) -> str:
        """The address of the page that shows an ONNX file; the same for the same file."""
        path = path.resolve()
        key = hashlib.sha256(str(path).encode()).hexdigest()[:12]
        self.files[key] = path
        return f"http://{HOST}:{self.server_port}/{self.secret}/{key}.html"

    def content(self, name: str) -> bytes | None:
        """What is served under a name; None for all but netron's own files and those that were added."""
        key = re.split("[./]", name)[0]
        path = self.files.get(key)
        if path is not None and name == f"{key}.html":
            return page((self.netron / "index.html").read_text(encoding="utf-8"), key, path.name).encode()
        if path is not None and name == f"{key}/{SHOWN}":
            return without_large_weights(path) if path.is_file() else None
        if name in OWN:
            return OWN[name].encode()
        known = re.fullmatch(r"[\w-]+(\.\w+)", name)
        there = known and known[1] in KINDS and name != "index.html" and (self.netron / name).is_file()
        return (self.netron / name).read_bytes() if there else None


@functools.cache
def server(netron: Path) -> GraphServer:
    """The one server of this process."""
    return GraphServer(netron)


class _Page(BaseHTTPRequestHandler):
    """Answers GET for /SECRET/NAME."""

    server: GraphServer

    def do_GET(self) -> None:
        _, secret, name = f"{unquote(urlsplit(self.path).path)}//".split("/", 2)
        name = name.rstrip("/")
        content = self.server.content(name) if secret == self.server.secret else None
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Type", KINDS.get(Path(name).suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        if name == "alive":
            self.send_header("Access-Control-Allow-Origin", "*")  # the notebook asks, from its own port
        elif name.endswith((".js", ".css")):
            self.send_header("Cache-Control", "max-age=3600")  # once for all graphs of a notebook
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing: it would land in the notebook."""


def page(html: str, key: str, name: str) -> str:
    """netron's page, told which file to open, and as it is in netron's source tree: no release, no date."""
    about = f'<meta name="version" content="0.0.0">\n<meta name="file" content="{key}/{SHOWN}">'
    about += f'\n<meta name="identifier" content="{escape(name)}">\n<script src="guest.js"></script>'
    html = re.sub(r'<meta name="date"[^>]*>', "", html)
    return re.sub(r'<meta name="version"[^>]*>', lambda _: about, html)


def without_large_weights(path: Path) -> bytes:
    """An ONNX file in which each weight over LARGEST_WEIGHT is only named, with its type and its shape."""
    import onnx  # the other widgets don't need it

    model = onnx.load(path, load_external_data=False)
    for weight in model.graph.initializer:
        if len(weight.raw_data) > LARGEST_WEIGHT:
            weight.ClearField("raw_data")
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(key="location", value="left out")
    return model.SerializeToString()
