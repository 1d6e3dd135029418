"""A classifier in PyTorch behind the methods of the runtime."""

import os

from helpers.classify.pipeline import Pipeline
from helpers.classify.weights import Models, load_models
from helpers.transfer import on_numpy


class TorchPipeline(Pipeline):
    """The runtime's methods with PyTorch underneath."""

    def __init__(self, models: Models):
        self.models = models
        super().__init__(models.spec, {"classifier": on_numpy(models.classifier)})

    @classmethod
    def open(
        cls, path: str | os.PathLike, model: str | None = None, labels: str | os.PathLike | None = None
    ) -> "TorchPipeline":
        """Load a checkpoint, see `weights.load_models`."""
        return cls(load_models(path, model, labels))
