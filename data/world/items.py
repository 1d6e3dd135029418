"""The endless stream: item i of a split is a function of (seed, i), not of what was drawn before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from data.world import pictures
from data.world.scenes import COLOURS, SHAPES, SIDE, Scene, Sign, Thing, draw_scene, draw_sign
from data.world.sentences import KINDS, UNKNOWN, Said, spelled

SPLITS = {"train": 0, "valid": 1, "test": 2, "unseen": 3}  # the last: none but unseen combinations
BLIND = 0.04  # of items: the question is asked, the picture is missing
UNNAMED = 0.35  # of practised things: a colour without a name, and as many: a shape without one


@dataclass(frozen=True)
class Item:
    """A picture (or none), a question and the answer."""

    scene: Scene | None
    kind: str
    question: str
    answer: str
    key: tuple[int, ...]  # what the picture's details are drawn from

    @cached_property
    def picture(self) -> np.ndarray | None:
        """uint8 (64, 64, 3)."""
        return None if self.scene is None else pictures.render(self.scene, np.random.default_rng(self.key))

    @property
    def spelled(self) -> str:
        """The picture in words; nothing where there is none."""
        return "" if self.scene is None else spelled(*self.scene.labels(), self.scene.sign)


def item(split: str, i: int, seed: int = 0, kinds: Sequence[str] = tuple(KINDS)) -> Item:
    """Item i of one of SPLITS. Each of `kinds` is equally frequent, as far as scenes allow every question."""
    unseen, key = split == "unseen", (SPLITS[split], seed, i)
    rng = np.random.default_rng((*key, 0))
    kind = kinds[rng.integers(len(kinds))]
    said, scene = None, None
    while said is None:
        scene = draw_scene(rng, unseen)
        said = KINDS[kind](scene, unseen, rng)
    if rng.random() < BLIND:
        scene = None
        said = said if kind == "sum" else Said(said.question, UNKNOWN)
    return Item(scene, kind, said.question, said.answer, (*key, 1))


class Practice(NamedTuple):
    """A picture, uint8 (64, 64, 3), of each cell both labels (9,), and the sign, if there is one."""

    picture: np.ndarray
    colours: np.ndarray
    shapes: np.ndarray
    sign: Sign | None


def practice(i: int, seed: int = 0) -> Practice:
    """Picture i to practise colours and shapes by.

    Labels as in `Scene.labels`; -1 too for a colour, or a shape, that has no name. A share of things has a
    colour without a name, a share a shape without one: to know "cross" then cannot lean on which colours
    crosses have had. Unseen combinations are not among them.
    """
    rng = np.random.default_rng((4, seed, i))
    scene = draw_scene(rng)
    colours, shapes = scene.labels()
    picture = pictures.ground(rng)
    for thing in scene.things:
        outline, colour, lot = pictures.OUTLINES[thing.shape], pictures.RGB[thing.colour], rng.random()
        if lot < UNNAMED:  # then any shape may have it: there is no pair to be named
            shape = int(rng.integers(len(SHAPES)))
            outline, colour = pictures.OUTLINES[shape], pictures.unnamed_colour(rng)
            colours[thing.cell], shapes[thing.cell] = -1, 1 + shape
        elif lot < 2 * UNNAMED:
            number = int(rng.integers(len(COLOURS)))
            outline, colour = pictures.blob(rng), pictures.RGB[number]
            colours[thing.cell], shapes[thing.cell] = 1 + number, -1
        pictures.paint(picture, thing.cell, outline, colour, rng)
    if scene.sign is not None:
        pictures.put_up(picture, scene.sign, rng)
    return Practice(pictures.finished(picture, rng), colours, shapes, scene.sign)


def signpost(i: int, seed: int = 0, unseen: bool = False) -> tuple[np.ndarray, Scene]:
    """Picture i to practise reading by, and what it shows: nine in ten have a sign."""
    rng = np.random.default_rng((5, seed, i, unseen))
    sign = draw_sign(rng, unseen) if rng.random() < 0.9 else None
    covered = sign.cells if sign else ()
    free = [cell for cell in range(SIDE * SIDE) if cell not in covered]
    cells = sorted(rng.choice(free, rng.integers(4), replace=False).tolist())
    seen = draw_scene(rng).things
    things = tuple(Thing(cell, thing.colour, thing.shape) for cell, thing in zip(cells, seen))
    scene = Scene(things, sign)
    return pictures.render(scene, rng), scene
