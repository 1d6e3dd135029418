"""Hand out a folder of pages on this computer, isolated: a page that is may compute on several threads."""

import functools
import http.server
import sys
from pathlib import Path

from helpers.support.errors import InputError

HERE = "127.0.0.1"  # nobody else's computer reaches it
ISOLATED = {  # what a browser asks for before a page may share memory between threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, each with the headers of ISOLATED."""

    def end_headers(self) -> None:
        for name, value in ISOLATED.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """A page says for itself what is wrong."""


def server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of the folder that has not begun; port 0 takes any that is free. Raises InputError."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a directory; name the one that holds the pages.")
    handler = functools.partial(Handler, directory=str(folder))
    try:
        return http.server.ThreadingHTTPServer((HERE, port), handler)
    except (OSError, OverflowError) as error:
        raise InputError(f"port {port} cannot be used here; choose another with --port.") from error


def run(folder: Path, port: int) -> None:
    """Hand out the folder until somebody presses Ctrl-C. Raises InputError."""
    with server(folder, port) as serving:
        print(f"{folder} is at http://{HERE}:{serving.server_port}/ until you press Ctrl-C", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print(file=sys.stderr)
