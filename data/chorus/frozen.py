"""What the test is composed by, as it was when the first score was taken: a score of another is another's.

The audio's hash is that of 16-bit samples where they were scored; another processor may round a few of them
the other way.
"""

import hashlib
from pathlib import Path

import numpy as np

SOURCES = ("compose.py", "places.py", "species.py")
SOURCE = "712d2a87872645e41ce8099bf8881bcc6ad0ae12d0ed10dffd07c5f71fa8d89a"
AUDIO = "7d712635a3223db7f080e0b7953fcdf2787f903bcefbd48e4c2f82478acb31d6"
WHEN = "2026-11-26"


def source_hash() -> str:
    """SHA-256 of the program that composes, as text."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def audio_hash(clips: np.ndarray) -> str:
    """SHA-256 of clips (n, N) as 16-bit samples."""
    return hashlib.sha256(np.round(clips * 32767).astype("<i2").tobytes()).hexdigest()
