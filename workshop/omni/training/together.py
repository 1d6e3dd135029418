"""Stage E: the thinker learns to read what the eye and the ear say, as it reads words.

Of every ten items four ask a typed question, two a spoken one; two pictures of things and one of a sign are
spelled cell by cell, and one sentence is taken down by ear. Later, when that is learned, eight are questions.
Spelling and dictation say of every place what it means, where an answer tells one word of a picture. The
pictures to practise by are among them, so that pairs are not learned by heart. Of the ear only the last
layer learns, the one that makes places.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.world.items import Item, Practice, item, practice, signpost
from data.world.scenes import COLOURS, SHAPES, place
from data.world.sentences import KINDS, spelled
from helpers.omni.configs import PATCH
from helpers.omni.ear import TOGETHER, front, heard
from helpers.omni.eye import SIDE, Seen
from helpers.omni.spec import ANSWER, END, PICTURE, QUESTION, SOFT
from helpers.omni.thinker import Thinker
from helpers.omni.weights import save_part
from workshop.omni.training.ear import n_frames, sentence, spoken, together
from workshop.omni.training.eye import cells_loss, digits_loss, stacked
from workshop.omni.training.thinker import IGNORED, Batch, ThinkerStage, numbered, padded

SEEN, HEARD = -1, -2  # in a prompt: here stands what the eye, or the ear, says
TYPED, ASKED, THINGS, SIGNS, DICTATED, NAMED = "typed", "asked", "things", "signs", "dictated", "named"
EASY = ("sum", "count", "describe")  # without a picture, often by a guess, and by spelling
HARD = ("colour", "where", "exists")  # to find a thing by its shape
MOSTLY = (*KINDS, *(kind for kind in KINDS if kind not in EASY))


class Phase(NamedTuple):
    """From an item on: what each of ten is for, and kinds of questions, each as often as it is named."""

    first: int
    turns: tuple[str, ...]
    kinds: tuple[str, ...]


PHASES = (
    Phase(0, (TYPED, ASKED, THINGS, TYPED, SIGNS, TYPED, DICTATED, THINGS, TYPED, ASKED), MOSTLY),
    # By then it spells, and hears every word.
    Phase(22_000, (TYPED, ASKED, THINGS, TYPED, SIGNS, TYPED, TYPED, TYPED, TYPED, ASKED), MOSTLY),
    # By then it finds by colour and by place, and knows every sign.
    Phase(66_000, (TYPED, ASKED, NAMED, TYPED, NAMED, TYPED, TYPED, NAMED, TYPED, ASKED), MOSTLY + 2 * HARD),
)
TURNS = sorted({turn for phase in PHASES for turn in phase.turns})
WEIGHTS = {"answers": 1.0, "spelling": 0.5, "naming": 0.5, "dictation": 0.3, "cells": 0.3}  # of losses
MOST_ASKED = 60  # items of a check that are asked aloud too
PLACES = (SIDE // PATCH) ** 2


class Sample(NamedTuple):
    """What stands before the answer, the answer, and the picture and the sound that are part of it."""

    prompt: list[int]
    answer: list[int]
    picture: np.ndarray | None = None
    sound: np.ndarray | None = None


class TogetherStage(ThinkerStage):
    """What `workshop.training.loop` runs."""

    part = "together"
    needs = ("thinker", "eye", "ear")

    def __init__(self, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.front = front()

    def beginning(self) -> nn.Module:
        parts = nn.ModuleDict(self.trained)
        for learns in (parts["thinker"], parts["eye"], parts["ear"].project):
            learns.requires_grad_(True)
        return parts

    def save(self, path: Path) -> None:
        for part in self.needs:
            save_part(path.parent, part, self.model[part], self.config)

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        seed = self.recipe.seed
        turns = {turn: [i for i in numbers if turn_of(i) == turn] for turn in TURNS}
        views = [practice(i, seed) for i in turns[THINGS]] + [signposted(i, seed) for i in turns[SIGNS]]
        named = [shown(i, seed) for i in turns[NAMED]]
        words = self.config.words
        asked = {i: item("train", i, seed, phase_of(i).kinds) for i in (*turns[TYPED], *turns[ASKED])}
        questions = [question(words, asked[i]) for i in turns[TYPED]]
        questions += [question(words, asked[i], (13, seed, i)) for i in turns[ASKED]]
        samples = [spelling(words, view) for view in views]
        samples += [
            naming(words, view, np.random.default_rng((20, seed, i))) for i, view in zip(turns[NAMED], named)
        ]
        samples += questions
        samples += [dictation(words, sentence(i, seed), (14, seed, i)) for i in turns[DICTATED]]
        logits, targets, seen = self._read(samples)
        sizes = {
            "spelling": len(views),
            "naming": len(named),
            "answers": len(questions),
            "dictation": len(turns[DICTATED]),
        }
        parts = zip(sizes, logits.split([*sizes.values()]), targets.split([*sizes.values()]))
        losses = {
            name: WEIGHTS[name]
            * F.cross_entropy(said.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED)
            for name, said, wanted in parts
            if len(said)  # a small batch has not everything
        }
        if views := views + named:
            cells = cells_loss(seen.colours[: len(views)], [view.colours for view in views])
            cells = cells + cells_loss(seen.shapes[: len(views)], [view.shapes for view in views])
            digits = digits_loss(seen.digits[: len(views)], [view.sign for view in views])
            losses["cells"] = WEIGHTS["cells"] * (cells + digits)
        return losses

    def _read(
        self, samples: Sequence[Sample], one_by_one: bool = False
    ) -> tuple[Tensor, Tensor, Seen | None]:
        """Logits and targets as of words alone, and what the eye says of the pictures there are.

        one_by_one: no sound is heard with silence behind it that a longer one leaves.
        """
        batch = padded([(one.prompt, one.answer) for one in samples])
        pictures = [one.picture for one in samples if one.picture is not None]
        sounds = [one.sound for one in samples if one.sound is not None]
        seen = self.model["eye"](stacked(pictures)) if pictures else None
        groups = [[one] for one in sounds] if one_by_one else [sounds] * bool(sounds)
        places = [one for group in groups for one in self._heard(group)]
        logits, _ = read(self.model["thinker"], batch, None if seen is None else seen.places, places)
        return logits, batch.targets, seen

    def _heard(self, sounds: Sequence[np.ndarray]) -> list[Tensor]:
        """Of each its own places (P, width of the thinker)."""
        with torch.no_grad():
            mel = heard(self.front, together(sounds))
        places, _ = self.model["ear"](mel)
        return [one[: len(heard_places(sound))] for one, sound in zip(places, sounds)]

    def _logits(self, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
        return self._read([question(self.config.words, one) for one in items])[:2]

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """As of the thinker alone, now from pictures; and "asked": all kinds, the questions aloud."""
        rows = super().check()
        items = [item("valid", i) for i in range(min(MOST_ASKED, self.recipe.check_items))]
        samples = [question(self.config.words, one, (15, i)) for i, one in enumerate(items)]
        logits, targets, _ = self._read(samples, one_by_one=True)
        rows["asked"] = ((logits.argmax(-1) == targets) | (targets == IGNORED)).all(1).float().mean().item()
        return rows


def read(
    thinker: Thinker, batch: Batch, seen: Tensor | None, heard: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Logits and states of a batch in which SEEN and HEARD stand for places.

    seen: (B', PLACES, width), of the items that have a picture. heard: (P, width), of each that has a sound.
    """
    soft = torch.zeros(*batch.ids.shape, thinker.table.embedding_dim)
    if seen is not None:
        soft = soft.index_put((batch.ids == SEEN,), seen.float().flatten(0, 1))
    if heard:
        soft = soft.index_put((batch.ids == HEARD,), torch.cat(list(heard)).float())
    return thinker(batch.ids.masked_fill(batch.ids < 0, SOFT), soft, padding=batch.padding)[:2]


def question(words: Sequence[str], one: Item, key: tuple[int, ...] | None = None) -> Sample:
    """An item as it is asked: typed, or, with a key, aloud by somebody new."""
    picture = [] if one.scene is None else [PICTURE, *[SEEN] * PLACES]
    sound = None if key is None else spoken(one.question, np.random.default_rng(key))
    asked = numbered(words, one.question) if sound is None else heard_places(sound)
    prompt = [*picture, QUESTION, *asked, ANSWER]
    return Sample(prompt, [*numbered(words, one.answer), END], one.picture, sound)


def spelling(words: Sequence[str], view: Practice) -> Sample:
    """A picture, and in words what is in its cells."""
    text = spelled(view.colours, view.shapes, view.sign)
    return Sample([PICTURE, *[SEEN] * PLACES], [*numbered(words, text), END], view.picture)


def dictation(words: Sequence[str], text: str, key: tuple[int, ...]) -> Sample:
    """What somebody says, and the same in words."""
    sound = spoken(text, np.random.default_rng(key))
    prompt = [QUESTION, *heard_places(sound), QUESTION]
    return Sample(prompt, [*numbered(words, text), END], sound=sound)


def naming(words: Sequence[str], view: Practice, rng: np.random.Generator) -> Sample:
    """A picture, and of each shape that is there once its colour and its place, in any order.

    To spell, one finds things by their cells; here one finds them by what they are.
    """
    colours, shapes = view.colours.tolist(), view.shapes.tolist()
    known = [cell for cell, shape in enumerate(shapes) if shape > 0 and shapes.count(shape) == 1]
    parts = []
    for cell in rng.permutation(known).tolist():
        colour = [COLOURS[colours[cell] - 1]] if colours[cell] > 0 else []
        parts += [SHAPES[shapes[cell] - 1], *colour, place(cell)]
    answer = [*numbered(words, " ".join(parts)), END]
    return Sample([PICTURE, *[SEEN] * PLACES, ANSWER], answer, view.picture)


def phase_of(i: int) -> Phase:
    return next(phase for phase in reversed(PHASES) if i >= phase.first)


def turn_of(i: int) -> str:
    """What item i is for."""
    turns = phase_of(i).turns
    return turns[i % len(turns)]


def heard_places(sound: np.ndarray) -> list[int]:
    """Where a sound's places stand in a prompt."""
    return [HEARD] * -(-n_frames(len(sound)) // TOGETHER)


def signposted(i: int, seed: int) -> Practice:
    """A picture to practise reading by, with labels as others have them."""
    picture, scene = signpost(i, seed)
    return Practice(picture, *scene.labels(), scene.sign)


def shown(i: int, seed: int) -> Practice:
    """A picture such as questions are asked about; in every second ten one to practise by."""
    one = item("train", i, seed)
    if one.scene is None or i // 10 % 2:
        return practice(i, seed)
    return Practice(one.picture, *one.scene.labels(), one.scene.sign)
