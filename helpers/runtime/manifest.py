"""`bundle.json`: what a bundle says of itself."""

import json
import os
from pathlib import Path

from helpers.support.errors import InputError

MANIFEST = "bundle.json"


def load_manifest(bundle: str | os.PathLike) -> dict:
    """The content of a bundle's `bundle.json`. Raises InputError."""
    path = Path(bundle) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{bundle} is not a bundle: cannot read {MANIFEST} ({error.strerror}); make one with export."
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged: it is not JSON; export the bundle again.") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path} is damaged: it is not a JSON object; export the bundle again.")
    return manifest
