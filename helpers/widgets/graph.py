"""An ONNX file as a picture to click on: netron, which serves itself on this computer."""

import contextlib
import io
import os
from pathlib import Path

import netron
from IPython.display import IFrame

from helpers.errors import InputError


def graph(path: str | os.PathLike, height: int = 480) -> IFrame:
    """A frame with the graph of an ONNX file, served to this computer only. Raises InputError."""
    path = Path(path).resolve()
    if not path.is_file():
        raise InputError(f"there is no file {path}; export the graph first.")
    with contextlib.redirect_stderr(io.StringIO()):  # it announces its address
        host, port = netron.start(str(path), address=("localhost", 0), browse=False)
    return IFrame(f"http://{host}:{port}", width="100%", height=height)
