"""An omni in PyTorch behind the methods of the runtime."""

import os

from helpers.omni.graphs import MODULES
from helpers.omni.pipeline import Pipeline
from helpers.omni.weights import Models, load_models
from helpers.transfer import on_numpy


class TorchPipeline(Pipeline):
    """The runtime's methods with PyTorch underneath."""

    def __init__(self, models: Models):
        self.models = models
        graphs = {name: on_numpy(kind(models)) for name, kind in MODULES.items()}
        super().__init__(models.config.spec, graphs)

    @classmethod
    def open(cls, directory: str | os.PathLike) -> "TorchPipeline":
        """Load a checkpoint."""
        return cls(load_models(directory))
