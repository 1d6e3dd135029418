"""The course's helper package: from a PyTorch checkpoint to sound from ONNX Runtime; README.md is its plan.

Importing the package imports nothing else; each module names what it needs. It only says, where the user has
not, two things that libraries read when they are imported: import it before them.
"""

import os
from collections.abc import Sequence

# ONNX Runtime reports its use to its maker over the network, unless it finds this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# On Linux PyTorch's threads spin long while they wait for one another, and starve whatever else runs. So many
# rounds cost an idle machine next to nothing: see models/vampnet/waiting.md.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def open(bundle: str | os.PathLike, providers: Sequence[str] | None = None):
    """The Pipeline of a bundle, whichever model it holds: it runs on ONNX Runtime. Raises InputError.

    providers: ONNX Runtime's execution providers, the preferred first; None = CPU.
    """
    from helpers import rooms

    return rooms.door(rooms.of_bundle(bundle), "pipeline").Pipeline.open(bundle, providers)
