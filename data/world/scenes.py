"""What a picture shows: coloured shapes on a grid of three by three, and sometimes a sign with a number.

Some combinations are never drawn or named in training: a colour and a shape that both are known well, but not
together, and some of the numbers. Who answers about them has understood the parts.
"""

from dataclasses import dataclass

import numpy as np

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SHAPES = ("circle", "square", "triangle", "cross", "star", "ring", "moon", "heart")
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")
SIDE = 3  # cells along a side of the grid
MOST_THINGS = 4
SIGN_SHARE = 0.3  # of pictures
N_NUMBERS = 1000  # on signs: 000 to 999

_dice = np.random.default_rng(2026)
UNSEEN_PAIRS = frozenset(  # one of each colour and of each shape
    (int(colour), int(shape)) for colour, shape in enumerate(_dice.permutation(len(SHAPES)))
)
UNSEEN_NUMBERS = frozenset(_dice.choice(N_NUMBERS, N_NUMBERS // 10, replace=False).tolist())
PAIRS = {  # (colour, shape) that may be drawn, by whether they are the unseen ones
    unseen: tuple(
        (colour, shape)
        for colour in range(len(COLOURS))
        for shape in range(len(SHAPES))
        if ((colour, shape) in UNSEEN_PAIRS) == unseen
    )
    for unseen in (False, True)
}
NUMBERS = {
    unseen: tuple(i for i in range(N_NUMBERS) if (i in UNSEEN_NUMBERS) == unseen) for unseen in (False, True)
}


@dataclass(frozen=True)
class Thing:
    """A shape of a colour in a cell, 0 to 8 in reading order."""

    cell: int
    colour: int
    shape: int


@dataclass(frozen=True)
class Sign:
    """A number of three digits on a plate that covers two cells: this one and the one to its right."""

    cell: int
    number: int

    @property
    def digits(self) -> tuple[int, int, int]:
        return self.number // 100, self.number // 10 % 10, self.number % 10

    @property
    def cells(self) -> tuple[int, int]:
        return self.cell, self.cell + 1


@dataclass(frozen=True)
class Scene:
    """Things in reading order, and a sign or none."""

    things: tuple[Thing, ...]
    sign: Sign | None

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """For each cell its colour and its shape, int64 (9,) each: 0 nothing, then 1 + the number.

        -1 where a sign lies, which has neither.
        """
        colours, shapes = np.zeros((2, SIDE * SIDE), np.int64)
        for thing in self.things:
            colours[thing.cell], shapes[thing.cell] = 1 + thing.colour, 1 + thing.shape
        if self.sign is not None:
            colours[list(self.sign.cells)] = shapes[list(self.sign.cells)] = -1
        return colours, shapes


def draw_scene(rng: np.random.Generator, unseen: bool = False) -> Scene:
    """A scene: of combinations that training may see, or of none but those that it may not."""
    sign, free = None, list(range(SIDE * SIDE))
    if rng.random() < SIGN_SHARE:
        sign = draw_sign(rng, unseen)
        free = [cell for cell in free if cell not in sign.cells]
    cells = sorted(rng.choice(free, rng.integers(1, MOST_THINGS + 1), replace=False).tolist())
    pairs = PAIRS[unseen]
    things = tuple(Thing(cell, *pairs[rng.integers(len(pairs))]) for cell in cells)
    return Scene(things, sign)


def draw_sign(rng: np.random.Generator, unseen: bool = False) -> Sign:
    """A sign somewhere."""
    row, column = rng.integers(SIDE), rng.integers(SIDE - 1)
    numbers = NUMBERS[unseen]
    return Sign(int(row * SIDE + column), numbers[rng.integers(len(numbers))])


def place(cell: int) -> str:
    """What a cell is called: "top left", "middle right", and "middle" for the one in the middle."""
    row, column = ROWS[cell // SIDE], COLUMNS[cell % SIDE]
    return row if row == column else f"{row} {column}"
