"""Checks of notebook 90, Train a small codec."""

from collections.abc import Callable

import torch

from helpers.lesson.checks.tensors import expect, of_shape
from helpers.lesson.checks.verdict import Wrong, called, exercise

BOOKS, SIZE, FRAMES = 3, 16, 40


@exercise
def straight_through(pass_on: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> str:
    """A function of frames and the rows chosen for them: the rows' values, the frames' gradient."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 8, 5, generator=generator, requires_grad=True)
    rows = torch.randn(2, 8, 5, generator=generator, requires_grad=True)
    weights = torch.randn(2, 8, 5, generator=generator)
    said = f"frames and rows are {tuple(frames.shape)}, and so is the result; the function gave"
    answer = of_shape(called(pass_on, frames, rows), frames.shape, said)
    mistakes = {
        "the frames come back as they were: the decoder would never hear a row.": frames,
        "the rows' difference is missing: begin with the frames, and add what leads to the rows.": (
            rows - frames
        ),
    }
    if not expect(answer, rows, mistakes, lambda one, other: torch.allclose(one, other, atol=1e-5)):
        raise Wrong("the values should be those of the rows, whatever the frames are.")
    if not answer.requires_grad:
        raise Wrong("the values are right, but no gradient passes: everything was detached.")
    gradient, to_rows = torch.autograd.grad((answer * weights).sum(), (frames, rows), allow_unused=True)
    if gradient is None or not gradient.any():
        raise Wrong("the values are right, but the gradient ends at the rows; the frames learn nothing.")
    if not torch.allclose(gradient, weights, atol=1e-5):
        raise Wrong("the gradient that reaches the frames should be that of the result, unchanged.")
    if to_rows is not None and to_rows.any():
        raise Wrong("the rows get the gradient too; they have a loss of their own. Detach the difference.")
    return "the decoder hears the rows, and the encoder learns as if it had been heard itself."


@exercise
def in_use(count: Callable[[torch.Tensor], list[int]]) -> str:
    """A function of codes (B, C, T) that gives how many different codes each codebook uses, C numbers."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, SIZE, (2, BOOKS, FRAMES), generator=generator)
    codes[:, 0] %= 5
    codes[0, 1], codes[1, 1] = codes[0, 1] % 4, codes[1, 1] % 4 + 8
    result = called(count, codes)
    try:
        answer = torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"the function gave a {type(result).__name__}; {BOOKS} numbers are wanted.") from error
    if answer.shape != (BOOKS,):
        raise Wrong(f"there are {BOOKS} codebooks, so {BOOKS} numbers; the function gave {answer.shape}.")
    right = [len(codes[:, i].unique()) for i in range(BOOKS)]
    mistakes = {
        "that is how many tokens each codebook has; count the different ones.": [codes[:, 0].numel()] * BOOKS,
        "that is the largest code, and the numbers below it need not all occur.": [
            int(codes[:, i].max()) for i in range(BOOKS)
        ],
        "that is the largest code and one more; the numbers below it need not all occur.": [
            int(codes[:, i].max()) + 1 for i in range(BOOKS)
        ],
        "that is how many are not in use.": [SIZE - n for n in right],
        "that counts over all codebooks; each is asked for by itself.": [len(codes.unique())] * BOOKS,
        "that counts in the first clip only; take all of the batch.": [
            len(codes[0, i].unique()) for i in range(BOOKS)
        ],
        "that adds up the clips: a code that both use counts once.": [
            sum(len(codes[j, i].unique()) for j in range(2)) for i in range(BOOKS)
        ],
    }
    expected = {why: torch.tensor(value) for why, value in mistakes.items()}
    if expect(answer, torch.tensor(right), expected, lambda one, other: one.tolist() == other.tolist()):
        return "a code that never occurs costs bits and says nothing."
    raise Wrong("torch.unique gives the different values of a tensor; take those of each codebook.")
