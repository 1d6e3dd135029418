"""Stage C: the eye learns three things at once, each from pictures of its own.

Captions: of a batch of pictures and as many captions, which belong together (Radford et al. 2021). Cells: the
colour and the shape in each. Signs: three digits. Contrast alone hardly teaches shapes, and cells alone teach
that what was never seen together cannot be; the pictures to practise cells by have things without a name.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.world.items import item, practice, signpost
from data.world.pictures import render
from data.world.scenes import Sign, draw_scene
from data.world.sentences import caption
from helpers.omni.configs import DIGITS
from helpers.omni.eye import Captions, Seen
from helpers.omni.spec import SOFT
from workshop.omni.training.stage import Stage
from workshop.omni.training.thinker import numbered

IGNORED = -1  # the label of what has no name
NO_SIGN = 10  # where a digit is asked for
SHARES = {"captions": 3, "signs": 4}  # one in so many of a batch
HOTTEST = 4.6  # logarithm of the largest factor of similarities: 100


def stacked(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 (64, 64, 3) each -> (B, 3, 64, 64), 0 to 1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def captioned(i: int, seed: int) -> tuple[np.ndarray, str]:
    """Picture i of those that are compared with captions, and its own."""
    rng = np.random.default_rng((9, seed, i))
    scene = draw_scene(rng)
    return render(scene, rng), caption(scene)


def digits_of(sign: Sign | None) -> tuple[int, ...]:
    return (NO_SIGN,) * DIGITS if sign is None else sign.digits


class EyeStage(Stage):
    """What `workshop.training.loop` runs."""

    part = "eye"

    def beside(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            return Captions(self.config)

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        seed = self.recipe.seed
        pictures, colours, shapes, passing = zip(*(practice(i, seed) for i in numbers))
        signs = [signpost(i, seed) for i in numbers[:: SHARES["signs"]]]
        shown = [captioned(i, seed) for i in numbers[:: SHARES["captions"]]]
        all_pictures = [*pictures, *(picture for picture, _ in (*signs, *shown))]
        seen = self.model(stacked(all_pictures))
        n_read = len(pictures) + len(signs)
        all_signs = [*passing, *(scene.sign for _, scene in signs)]
        return {
            "colour": cells_loss(seen.colours[: len(pictures)], colours),
            "shape": cells_loss(seen.shapes[: len(pictures)], shapes),
            "digit": digits_loss(seen.digits[:n_read], all_signs),
            "contrast": self._contrast(seen.summary[n_read:], [text for _, text in shown]),
        }

    def _contrast(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """Each picture's own caption among all, and each caption's picture; two that say the same are one."""
        said = self._said(texts)
        heat = self.scaffold.temperature.clamp(max=HOTTEST).exp()
        similar = heat * F.normalize(pictures.float(), dim=-1) @ said.T
        same = torch.tensor([[one == other for other in texts] for one in texts]).float()
        same = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(similar, same) + F.cross_entropy(similar.T, same)) / 2

    def _said(self, texts: Sequence[str]) -> Tensor:
        """Captions where they are compared, (B, CONTRAST), of length 1."""
        ids = [numbered(self.config.words, text) for text in texts]
        longest = max(map(len, ids))
        words = torch.tensor([one + [SOFT] * (longest - len(one)) for one in ids])
        return F.normalize(self.scaffold(words).float(), dim=-1)

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Held-out things with colour and shape right, signs read to the last digit; "score": what is wrong.

        The score is of combinations that training may see: the unseen ones choose nothing.
        """
        self.model.eval()
        rows, numbers = {}, range(self.recipe.check_items)
        for split, mark, unseen in (("valid", "", False), ("unseen", "unseen_", True)):
            shown = [one for one in (item(split, i) for i in numbers) if one.scene]
            seen = self._seen([one.picture for one in shown])
            colours, shapes = (torch.from_numpy(np.stack(x)) for x in zip(*(s.scene.labels() for s in shown)))
            things = colours > 0
            is_right = (seen.colours.argmax(-1) == colours) & (seen.shapes.argmax(-1) == shapes)
            rows[f"{mark}things"] = is_right[things].float().mean().item()
            pictures, scenes = zip(*(signpost(i, self.recipe.seed + 1, unseen) for i in numbers))
            read = self._seen(pictures).digits.argmax(-1)
            targets = torch.tensor([digits_of(scene.sign) for scene in scenes])
            rows[f"{mark}signs"] = (read == targets).all(1).float().mean().item()
        return rows | {"score": 1 - (rows["things"] + rows["signs"]) / 2}

    def _seen(self, pictures: Sequence[np.ndarray]) -> Seen:
        size = self.recipe.batch
        parts = [self.model(stacked(pictures[i : i + size])) for i in range(0, len(pictures), size)]
        return Seen(*(torch.cat(one) for one in zip(*parts)))


def cells_loss(logits: Tensor, labels: Sequence[np.ndarray]) -> Tensor:
    """Cross-entropy of the cells (B, 9) that have a name."""
    targets = torch.from_numpy(np.stack(labels))
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def digits_loss(logits: Tensor, signs: Sequence[Sign | None]) -> Tensor:
    """Cross-entropy of the digits (B, 3) of signs; where there is none, of that."""
    targets = torch.tensor([digits_of(sign) for sign in signs])
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
