"""VampNet in PyTorch behind the methods of the runtime: on the same noise it gives the same tokens."""

import os
from collections.abc import Iterable

from helpers.transfer import on_numpy
from helpers.vampnet.codec import Codec
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.transformer import VampNet
from helpers.vampnet.weights import pipeline_spec


class TorchPipeline(Pipeline):
    """The runtime's methods with PyTorch underneath: on the same noise it gives the same tokens."""

    def __init__(self, codec: Codec, coarse: VampNet, c2f: VampNet):
        self.codec, self.coarse_model, self.c2f_model = codec, coarse, c2f
        functions = {
            "codec_encoder": codec.encode,
            "codec_decoder": codec.decode,
            "coarse": coarse,
            "c2f": c2f,
        }
        super().__init__(
            pipeline_spec(codec.config, coarse.config, c2f.config),
            {name: on_numpy(f) for name, f in functions.items()},
        )

    @classmethod
    def open(cls, directory: str | os.PathLike, loras: Iterable[str | os.PathLike] = ()) -> "TorchPipeline":
        """Load `codec.pth`, `coarse.pth` and `c2f.pth` from a directory, LoRA overlays laid over them."""
        from helpers.vampnet.weights import (
            load_models,  # transfer builds these models, so it can't be imported above
        )

        models = load_models(directory, loras)
        return cls(models.codec, models.coarse, models.c2f)
