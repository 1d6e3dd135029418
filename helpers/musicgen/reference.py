"""MusicGen in PyTorch behind the methods of the runtime: on the same noise it gives the same tokens."""

import os

import numpy as np
import torch

from helpers.musicgen.graphs import CodecDecoder, CodecEncoder, CodecHalf, FastLanguage, TextKeys
from helpers.musicgen.pipeline import Pipeline
from helpers.musicgen.weights import Models, load_models
from helpers.runtime.tokenizer import Tokenizer
from helpers.transfer import on_numpy


class TorchPipeline(Pipeline):
    """The runtime's methods with PyTorch underneath."""

    def __init__(self, models: Models):
        self.models = models
        channels = models.spec.channels
        graphs = {
            "encodec_encoder": in_windows(CodecEncoder(models.codec, channels), models),
            "encodec_decoder": in_windows(CodecDecoder(models.codec, channels), models),
            "text_encoder": on_numpy(models.text),
            "lm_text": on_numpy(TextKeys(models.language)),
            "lm": on_numpy(FastLanguage(models.language)),
        }
        tokenizer = Tokenizer(models.tokenizer, models.spec.vocab_size) if models.tokenizer else None
        super().__init__(models.spec, graphs, tokenizer)

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike,
        text_encoder: str | os.PathLike | None = None,
        codec: str | os.PathLike | None = None,
    ) -> "TorchPipeline":
        """Load a directory of either family, and the directories of what it only names."""
        return cls(load_models(directory, text_encoder, codec))


def in_windows(half: CodecHalf, models: Models):
    """One direction of the codec as a function of arrays; what a graph has defaults for may be left out."""
    config, channels = models.codec.config, half.channels

    def run(x: np.ndarray, **more: np.ndarray) -> tuple[np.ndarray, ...]:
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in more.items()}
        state = torch.zeros(config.n_lstm, len(x), channels, config.width)
        nothing = {"left": torch.zeros(0), "right": torch.zeros(0),
                   "kept": torch.zeros(len(x), channels, config.width, 0),
                   "hidden": state, "cell": state}  # fmt: skip
        with torch.inference_mode():
            return tuple(one.numpy() for one in half(torch.from_numpy(x), **(nothing | given)))

    return run
