"""Clips through the codec: as tokens, and as it gives them back."""

from dataclasses import dataclass

import numpy as np
import torch

from helpers.audio.clips import Clip
from helpers.vampnet.codec import Codec
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.vamp import whole_frames

OTHER_STYLES = ("music_box",)  # of the course's clips: a style that the training music leaves out


@dataclass(frozen=True)
class Encoded:
    """A clip through the codec: tokens int64 (1, C, T), and the sound of all of them (1, 1, M) float32."""

    clip: Clip
    codes: np.ndarray
    rebuilt: np.ndarray

    @property
    def name(self) -> str:
        return self.clip.name


def tokens_of(pipeline: TorchPipeline, clip: Clip) -> np.ndarray:
    """The clip's tokens, int64 (1, C, T), as `vamp` reads them."""
    return pipeline.encode(whole_frames(pipeline, clip.audio, clip.sample_rate), clip.sample_rate)


def encode(pipeline: TorchPipeline, clip: Clip) -> Encoded:
    """The clip through the codec and back."""
    codes = tokens_of(pipeline, clip)
    return Encoded(clip, codes, decode_books(pipeline.codec, codes, pipeline.n_codebooks))


def decode_books(codec: Codec, codes: np.ndarray, n_books: int) -> np.ndarray:
    """The sound of the first `n_books` codebooks of (B, C, T), the others left out: (B, 1, M) float32."""
    with torch.inference_mode():
        tokens = torch.from_numpy(np.ascontiguousarray(codes))
        books = codec.quantizer.quantizers[:n_books]
        return codec.decoder(sum(book.decode(tokens[:, i]) for i, book in enumerate(books))).numpy()
