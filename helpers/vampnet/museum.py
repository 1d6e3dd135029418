"""The museum of failures: what earlier attempts lost, as switches to flip.

Every damage keeps all shapes, so nothing crashes; only numbers and ears can tell.
"""

import copy

import numpy as np
import torch
from torch import nn

from helpers.runtime.session import Graph
from helpers.support.errors import InputError
from helpers.vampnet.transformer import VampNet

PIECES = ("embedding", "position bias", "later frames", "classifier's order", "one layer")


def without(piece: str, model: VampNet) -> VampNet:
    """A copy of a transformer that has lost one of PIECES. Raises InputError for another name."""
    if piece == "embedding":
        return with_random_embeddings(model)
    model = copy.deepcopy(model)
    if piece == "position bias":
        nn.init.zeros_(model.position_bias.weight)
    elif piece == "later frames":
        model.position_bias = OneSided(model.position_bias)
    elif piece == "classifier's order":
        _read_code_by_code(model)
    elif piece == "one layer":
        del model.layers[len(model.layers) // 2]
    else:
        raise InputError(f"there is no piece {piece!r}; choose one of {', '.join(PIECES)}.")
    return model


class OneSided(nn.Module):
    """A position bias that hides from each frame what comes after it, as in a model for writing onwards."""

    def __init__(self, bias: nn.Module):
        super().__init__()
        self.bias = bias

    def forward(self, n_frames: int) -> torch.Tensor:
        later = torch.ones(n_frames, n_frames, dtype=torch.bool).triu(1)  # query, key
        return self.bias(n_frames).masked_fill(later, -torch.inf)


def _read_code_by_code(model: VampNet) -> None:
    """Take the classifier's rows as all codes of book 0, then all of book 1: they are the other way round."""
    rows = torch.arange(len(model.classifier.weight)).view(model.config.n_predicted, -1).T.flatten()
    model.classifier.weight.data = model.classifier.weight.data[rows]
    model.classifier.bias.data = model.classifier.bias.data[rows]


def in_pieces_of(n_frames: int, graph: Graph) -> Graph:
    """What is put round a transformer's graph that was exported for `n_frames` alone: cut, pad, put together.

    codes int64 (B, C, T) -> logits (B, P, T, V). Each piece is all the graph sees of the music; the last one
    is filled up with token 0.
    """

    def run(codes: np.ndarray) -> np.ndarray:
        length = codes.shape[-1]
        padded = np.pad(codes, [(0, 0), (0, 0), (0, -length % n_frames)])
        pieces = np.split(padded, padded.shape[-1] // n_frames, axis=-1)
        return np.concatenate([graph(piece) for piece in pieces], axis=2)[:, :, :length]

    return run


def with_random_embeddings(model: VampNet, seed: int = 0) -> VampNet:
    """The model with noise for its token table: the codec's rows and MASK, each codebook at its own scale.

    This is what loading a checkpoint without the codec's tables amounts to.
    """
    changed = copy.deepcopy(model)
    rows = changed.embedding.table.data.unflatten(0, (model.config.n_codebooks, -1))
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed))
    scale = rows.square().mean((1, 2), keepdim=True).sqrt()
    changed.embedding.table.data = (noise * scale).flatten(0, 1)
    return changed
