"""What every test may ask for: the golden arrays, made by the public implementation itself."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The directory with the golden checkpoints and arrays."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden(golden_dir):
    """The golden arrays by name."""
    with np.load(golden_dir / "expected.npz") as arrays:
        return dict(arrays)
