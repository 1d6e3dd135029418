"""A scene as a picture: 64 by 64 pixels, dark and noisy ground, shapes a little askew.

A shape is a function of the plane that is negative inside, about as far from its edge as the number says: a
soft edge is a ramp across zero.
"""

from collections.abc import Callable

import numpy as np

from data.world.scenes import SIDE, Scene, Sign

SIZE = 64  # pixels along a side
CELL = SIZE / SIDE
RGB = np.array(  # in the order of COLOURS
    [(0.85, 0.12, 0.12), (0.95, 0.50, 0.08), (0.93, 0.88, 0.15), (0.15, 0.70, 0.22),
     (0.16, 0.32, 0.92), (0.55, 0.18, 0.75), (0.98, 0.58, 0.75), (0.94, 0.94, 0.94)]
)  # fmt: skip
COLOUR_NOISE = 0.03
NEAREST = 0.3  # how far, in RGB, a colour without a name lies from all that have one
DIGITS = (  # five pixels wide, seven high
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111", "11110 00001 00001 01110 00001 00001 11110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
)  # fmt: skip
ENLARGED = 2  # pixels for each of a digit's

Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]  # places in units of the radius; y grows upward


def circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.9


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) - 0.75


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sides = [x * np.cos(angle) + y * np.sin(angle) for angle in np.deg2rad((30, 150, 270))]
    return np.maximum.reduce(sides) - 0.5


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    long, short = np.maximum(abs(x), abs(y)), np.minimum(abs(x), abs(y))
    return np.maximum(long - 0.95, short - 0.25)


def star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ten times the same triangle, from a tip to the notch beside it."""
    turn = 2 * np.pi / 5
    angle = abs((np.arctan2(x, y) + turn / 2) % turn - turn / 2)
    along, across = np.hypot(x, y) * np.cos(angle), np.hypot(x, y) * np.sin(angle)
    notch = 0.42 * np.cos(turn / 2) - 1.0, 0.42 * np.sin(turn / 2)  # seen from the tip
    return ((along - 1.0) * notch[1] - across * notch[0]) / np.hypot(*notch)


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return abs(np.hypot(x, y) - 0.72) - 0.2


def moon(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(x, y) - 0.95, 0.75 - np.hypot(x - 0.5, y))


def heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square on its tip, and a circle on each of its upper sides."""
    y = y + 0.12
    tipped = np.maximum(abs(x + y), abs(x - y)) / np.sqrt(2) - 0.5
    lobes = np.hypot(abs(x) - 0.5 / np.sqrt(2), y - 0.5 / np.sqrt(2)) - 0.5
    return np.minimum(tipped, lobes)


OUTLINES: tuple[Outline, ...] = (circle, square, triangle, cross, star, ring, moon, heart)  # as SHAPES


def blob(rng: np.random.Generator) -> Outline:
    """A shape that has no name: a circle whose radius wanders."""
    waves = [(k, rng.uniform(-0.14, 0.14), rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)]

    def outline(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        angle = np.arctan2(y, x)
        return np.hypot(x, y) - 0.75 - sum(size * np.cos(k * angle + phase) for k, size, phase in waves)

    return outline


def unnamed_colour(rng: np.random.Generator) -> np.ndarray:
    """A colour (3,) that is bright enough to see, and far from all that have a name."""
    while True:
        colour = rng.uniform(0.05, 1, 3)
        if colour.max() > 0.45 and np.linalg.norm(RGB - colour, axis=1).min() > NEAREST:
            return colour


def ground(rng: np.random.Generator) -> np.ndarray:
    """What lies behind: dark, a slope of some colour, (64, 64, 3) float."""
    slope = np.linspace(-1, 1, SIZE)
    tint, down, across = rng.uniform(0.03, 0.18, 3), rng.uniform(-0.04, 0.04, 3), rng.uniform(-0.04, 0.04, 3)
    return tint + slope[:, None, None] * down + slope[None, :, None] * across


def paint(
    picture: np.ndarray, cell: int, outline: Outline, colour: np.ndarray, rng: np.random.Generator
) -> None:
    """Put a shape into a cell: moved, turned and resized a little."""
    row, column = divmod(cell, SIDE)
    middle = (np.array([row, column]) + 0.5) * CELL + rng.uniform(-1.8, 1.8, 2)
    radius, turn = rng.uniform(7.0, 9.0), rng.uniform(-0.3, 0.3)
    down, across = (np.arange(SIZE) + 0.5)[:, None] - middle[0], (np.arange(SIZE) + 0.5)[None] - middle[1]
    x = (across * np.cos(turn) + down * np.sin(turn)) / radius
    y = (across * np.sin(turn) - down * np.cos(turn)) / radius
    inside = np.clip(0.5 - outline(x, y) * radius, 0, 1)[..., None]
    picture += inside * (colour + rng.normal(0, COLOUR_NOISE, 3) - picture)


def put_up(picture: np.ndarray, sign: Sign, rng: np.random.Generator) -> None:
    """Put a sign over its two cells: a light plate, dark digits."""
    drawn = [np.array([[int(bit) for bit in row] for row in DIGITS[digit].split()]) for digit in sign.digits]
    gap = np.zeros((7, 1), int)
    plate = np.hstack([gap, *(part for one in drawn for part in (one, gap))])
    plate = np.pad(plate, ((1, 1), (0, 0))).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    height, width = plate.shape
    row, column = divmod(sign.cell, SIDE)
    top = int((row + 0.5) * CELL - height / 2 + rng.integers(-1, 2))
    left = int((column + 1) * CELL - width / 2 + rng.integers(-2, 3))
    light, dark = rng.uniform(0.78, 0.95), rng.uniform(0.02, 0.15)
    picture[top : top + height, left : left + width] = np.where(plate[..., None], dark, light)


def finished(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With a camera's noise: uint8 (64, 64, 3)."""
    noisy = picture + rng.normal(0, rng.uniform(0.01, 0.04), picture.shape)
    return (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8)


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A scene as a picture, uint8 (64, 64, 3)."""
    picture = ground(rng)
    for thing in scene.things:
        paint(picture, thing.cell, OUTLINES[thing.shape], RGB[thing.colour], rng)
    if scene.sign is not None:
        put_up(picture, scene.sign, rng)
    return finished(picture, rng)
