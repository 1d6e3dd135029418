"""Checks of notebook 11, Inside MusicGen."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers import checkpoints
from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number
from helpers.musicgen.files import GOLDEN, LANGUAGE

WIDTH, LAYERS, BOOKS, CODES = 1536, 48, 4, 2048  # of the public medium model


@exercise
def other_name(function: Callable[[str], str]) -> str:
    """A tensor's name in Hugging Face's form -> audiocraft's, for the whole language model but q, k and v."""
    theirs = checkpoints.read_dict(GOLDEN / "audiocraft" / LANGUAGE)["best_state"]
    ours = checkpoints.read_safetensors([GOLDEN / "hf" / "model.safetensors"])
    names = [
        one for one in ours if one.startswith("decoder.") and not any(f".{p}_proj." in one for p in "qkv")
    ]
    n_right = 0
    for name in names:
        answer = called(function, name)
        if answer not in theirs:
            raise Wrong(f"{name} became {answer!r}, a name that audiocraft's file does not have.")
        if ours[name].shape != theirs[answer].shape:
            raise Wrong(f"{name} became {answer}, which has another shape.")
        if not torch.equal(ours[name], theirs[answer].float()):
            raise Wrong(f"{name} became {answer}: the same shape, but other numbers.")
        n_right += 1
    return f"{n_right} names, each with the same numbers behind it."


@exercise
def split(function: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> str:
    """GPT-2's c_attn weight (D, 3 D) -> weights of three nn.Linear, each (D, D)."""
    weight = torch.randn(6, 18, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    answer = called(function, weight)
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Wrong("return three weights: of queries, keys and values.")
    for kind, found, wanted in zip(("queries", "keys", "values"), answer, (x @ weight).chunk(3, dim=1)):
        if not isinstance(found, Tensor) or found.shape != (6, 6):
            raise Wrong(f"the weight of {kind} should be (6, 6) here.")
        if torch.allclose(x @ found, wanted, atol=1e-5):
            raise Wrong(f"the weight of {kind} is not turned: nn.Linear multiplies with its transpose.")
        if not torch.allclose(x @ found.T, wanted, atol=1e-5):
            raise Wrong(
                f"with the weight of {kind}, nn.Linear gives other numbers than x @ c_attn has there."
            )
    return "columns into rows: many ports fail on this one letter, T."


@exercise
def medium_size(millions: float) -> str:
    """How many million numbers MusicGen medium's language model has."""
    answer, layer = number(millions), 16 * WIDTH**2 + 6 * WIDTH
    rest = BOOKS * (2 * CODES + 1) * WIDTH + 2 * WIDTH
    explain(
        answer,
        {
            "a part of the layer is missing: two attentions, and two matrices in the feed-forward part.": (
                (LAYERS * (layer - 4 * WIDTH**2) + rest) / 1e6
            ),
            "that is one layer.": layer / 1e6,
            "the answer is in millions.": LAYERS * layer + rest,
            "those are bytes, not numbers.": 4 * (LAYERS * layer + rest) / 1e6,
        },
    )
    if abs(answer - (LAYERS * layer + rest) / 1e6) < 0.2:
        return "in half precision two bytes each: 3.7 GB, before anything is downloaded."
    if close(answer, LAYERS * layer / 1e6):
        raise Wrong("close: the layers are there. Tables, heads and the last norm are still missing.")
    raise Wrong("count a layer first, and compare with the cell above for the course's model.")
