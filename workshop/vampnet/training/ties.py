"""Moves rows of the codebooks apart where a shipped clip lies exactly between two of them.

A frame that is equally near to two rows gets one or the other by the last bit of a sum, and two programs
add in different orders: PyTorch and ONNX Runtime would name different tokens, both of them right. On the
course's own clips there shall be no such frame. It must be done before tokens are made for the transformers.
"""

import copy
import os
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers import checkpoints
from helpers.vampnet.codec import Codec
from helpers.vampnet.weights import transfer_codec
from workshop.vampnet.training.saving import write_checkpoint

CLOSE = 3e-6  # of the frame's length: several times what float32 loses on the way
ROUNDS = 60
STEP = 2**-9  # share of a coordinate that a row loses, twice as much each time: two steps of a float16
LONGEST_STEP = 0.5


@torch.no_grad()
def close_calls(codec: Codec, frames: Tensor) -> list[tuple[int, int]]:
    """(codebook, row) of the later row of each two that are CLOSE; frames: the encoder's, (1, width, T)."""
    found, residual = [], frames
    for i, book in enumerate(codec.quantizer.quantizers):
        lengths = book.in_proj(residual).norm(dim=1)[0]
        best = book.similarities(residual)[0].topk(2, dim=-1)
        close = (best.values[:, 0] - best.values[:, 1]) < CLOSE * lengths
        found += [(i, row) for row in best.indices[close].amax(-1).tolist()]
        residual = residual - book.decode(best.indices[None, :, 0])
    return found


@torch.no_grad()
def part_rows(codec: Codec, clips: Iterable[Tensor]) -> tuple[int, int]:
    """Move rows of the codec's tables until no frame of the clips (1, 1, N) is a close call.

    How many rows moved, and how many are still close: a coarse little codec may be beyond help.
    """
    exact = copy.deepcopy(codec).double()
    frames = [exact.encoder(clip.double()) for clip in clips]
    moved = Counter()
    for _ in range(ROUNDS):
        rows = {row for one in frames for row in close_calls(exact, one)}
        if not rows:
            break
        for i, row in rows:
            codebook = codec.quantizer.quantizers[i].codebook
            _turn_away(codebook, row, min(LONGEST_STEP, STEP * 2 ** moved[i, row]))
            exact.quantizer.quantizers[i].codebook[row] = codebook[row].double()
        moved.update(rows)
    return len(moved), len(rows)


def _turn_away(codebook: Tensor, row: int, share: float) -> None:
    """Shorten a large coordinate of this row by a share of it, so that its direction is another."""
    largest = F.normalize(codebook[row], dim=0).abs().topk(2).indices[1]  # the first may be the constant
    codebook[row, largest] *= 1 - share
    codebook[row, largest] = codebook[row, largest].half().float()


def without_ties(path: str | os.PathLike, clips: Iterable[Tensor]) -> tuple[int, int]:
    """Do it to the checkpoint of a codec, which keeps everything else to the bit; the same two counts."""
    checkpoint = checkpoints.read(path)
    codec, _ = transfer_codec(checkpoint)
    counts = part_rows(codec, clips)
    tensors = dict(checkpoint.tensors)
    for i, book in enumerate(codec.quantizer.quantizers):
        name = f"quantizer.quantizers.{i}.codebook.weight"
        tensors[name] = book.codebook.detach().to(tensors[name].dtype)
    write_checkpoint(path, {"state_dict": tensors, "metadata": {"kwargs": checkpoint.kwargs}})
    return counts
