"""Stage A: the thinker alone. Pictures are spelled in words: it learns to answer before it can see.

What it reaches here is what it can do with a perfect eye; the last stage is measured against it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data.world.items import Item, item
from data.world.sentences import KINDS
from helpers.layers import NEVER
from helpers.omni.spec import ANSWER, END, N_SPECIAL, PICTURE, QUESTION
from workshop.omni.training.stage import Stage

IGNORED = -100  # a target that nobody is asked for


class Batch(NamedTuple):
    """Items of several lengths, padded on the left: so distances, which rotary positions tell, stay right."""

    ids: Tensor  # int64 (B, S)
    targets: Tensor  # int64 (B, S): the next word where that is the answer's, else IGNORED
    padding: Tensor  # (B, 1, 1, 1, S): what to add to scores


def numbered(words: Sequence[str], text: str) -> list[int]:
    """Words as the model numbers them."""
    return [N_SPECIAL + words.index(word) for word in text.split()]


def spelled_ids(words: Sequence[str], one: Item) -> tuple[list[int], list[int]]:
    """An item in numbers: what stands before the answer, and the answer with its end."""
    picture = [PICTURE, *numbered(words, one.spelled)] if one.scene is not None else []
    question = [QUESTION, *numbered(words, one.question), ANSWER]
    return picture + question, [*numbered(words, one.answer), END]


def padded(pairs: Sequence[tuple[list[int], list[int]]]) -> Batch:
    """Prompts and answers as one batch. The question is given: only the answer is asked for."""
    longest = max(len(prompt) + len(answer) - 1 for prompt, answer in pairs)
    ids = np.full((len(pairs), longest), END)
    targets = np.full((len(pairs), longest), IGNORED)
    bias = np.zeros((len(pairs), longest), np.float32)
    for row, (prompt, answer) in enumerate(pairs):
        given = [*prompt, *answer[:-1]]
        ids[row, longest - len(given) :] = given
        targets[row, longest - len(answer) :] = answer
        bias[row, : longest - len(given)] = NEVER
    return Batch(
        torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(bias)[:, None, None, None]
    )


class ThinkerStage(Stage):
    """What `workshop.training.loop` runs."""

    part = "thinker"

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        return self._nll([item("train", i, self.recipe.seed) for i in numbers])

    def _nll(self, items: Sequence) -> dict[str, Tensor]:
        logits, targets = self._logits(items)
        return {"nll": F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)}

    def _logits(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        return self._answered([spelled_ids(self.config.words, one) for one in items])

    def _answered(self, pairs: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
        batch = padded(pairs)
        soft = torch.zeros(*batch.ids.shape, self.config.thinker.width)
        return self.model(batch.ids, soft, padding=batch.padding)[0], batch.targets

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Shares of held-out answers without a mistake, of all and of each kind; "score" is the rest.

        An answer whose every word is the most probable one after the right words before it is what the most
        probable words give, one after the other: one pass tells.
        """
        self.model.eval()
        rows = {}
        for split, mark in (("valid", ""), ("unseen", "unseen_")):
            items = [item(split, i) for i in range(self.recipe.check_items)]
            right = self._right(items)
            for kind in KINDS:
                of_kind = right[[one.kind == kind for one in items]]
                rows[f"{mark}{kind}"] = float(of_kind.mean()) if len(of_kind) else float("nan")
            rows[f"{mark}all"] = float(right.mean())
        return rows | {"score": 1 - rows["all"]}

    def _right(self, items: Sequence) -> np.ndarray:
        """Whether each answer is right to the last word, (n,)."""
        right = []
        for first in range(0, len(items), self.recipe.batch):
            logits, targets = self._logits(items[first : first + self.recipe.batch])
            agrees = (logits.argmax(-1) == targets) | (targets == IGNORED)
            right.append(agrees.all(1).numpy())
        return np.concatenate(right)
