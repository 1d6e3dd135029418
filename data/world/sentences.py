"""What is asked about a scene and what is answered, in 63 words.

Every question has two forms. A question about what is not there is told so; one about a picture that was not
given is answered "i do not know".
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.world.scenes import COLOURS, PAIRS, SHAPES, SIDE, Scene, Sign, Thing, place

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTS = ("no", *DIGITS[1:])
WORDS = (
    "a", "an", "the", "is", "in", "there", "are", "and", "what", "which", "where", "how", "many", "much",
    "do", "you", "see", "i", "not", "know", "yes", "no", "nothing", "colour", "shape", "number", "on",
    "sign", "read", "plus", "thing", "things", "top", "middle", "bottom", "left", "right",
    *DIGITS, *COLOURS, *SHAPES,
)  # fmt: skip
UNKNOWN = "i do not know"
HIGHEST_SUM = 9
ABSENT = 0.1  # of the questions about one thing: it is not there


@dataclass(frozen=True)
class Said:
    """A question and its answer."""

    question: str
    answer: str


def a(colour: int, shape: int) -> str:
    """ "a red circle", "an orange star"."""
    article = "an" if COLOURS[colour][0] in "aeiou" else "a"
    return f"{article} {COLOURS[colour]} {SHAPES[shape]}"


def only(scene: Scene, feature: str) -> list[Thing]:
    """Things that share their colour, or shape, with no other."""
    all_of = [getattr(thing, feature) for thing in scene.things]
    return [thing for thing in scene.things if all_of.count(getattr(thing, feature)) == 1]


def pick(options, rng: np.random.Generator):
    """One of several."""
    return options[rng.integers(len(options))]


def absent(scene: Scene, feature: str, count: int, rng: np.random.Generator) -> int | None:
    """A colour, or shape, that no thing has; None most of the time."""
    there = {getattr(thing, feature) for thing in scene.things}
    if rng.random() >= ABSENT:
        return None
    return pick([i for i in range(count) if i not in there], rng)


def ask_colour(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said | None:
    what = pick(("what", "which"), rng)
    missing = absent(scene, "shape", len(SHAPES), rng)
    if missing is not None:
        return Said(f"{what} colour is the {SHAPES[missing]}", f"there is no {SHAPES[missing]}")
    if not (candidates := only(scene, "shape")):
        return None
    thing = pick(candidates, rng)
    shape = SHAPES[thing.shape]
    return Said(f"{what} colour is the {shape}", f"the {shape} is {COLOURS[thing.colour]}")


def ask_shape(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said | None:
    what = pick(("what", "which"), rng)
    missing = absent(scene, "colour", len(COLOURS), rng)
    if missing is not None:
        named = f"{COLOURS[missing]} thing"
        return Said(f"{what} shape is the {named}", f"there is no {named}")
    if not (candidates := only(scene, "colour")):
        return None
    thing = pick(candidates, rng)
    named = f"{COLOURS[thing.colour]} thing"
    return Said(f"{what} shape is the {named}", f"the {named} is a {SHAPES[thing.shape]}")


def ask_where(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said | None:
    pairs = [(thing.colour, thing.shape) for thing in scene.things]
    candidates = [thing for thing, pair in zip(scene.things, pairs) if pairs.count(pair) == 1]
    if not candidates:
        return None
    thing = pick(candidates, rng)
    named = f"{COLOURS[thing.colour]} {SHAPES[thing.shape]}"
    question = pick(("where is the", "where do you see the"), rng)
    return Said(f"{question} {named}", f"the {named} is in the {place(thing.cell)}")


def ask_count(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said:
    ending = pick(("are there", "do you see"), rng)
    if rng.random() < 0.75:
        colour = pick(scene.things, rng).colour
    else:
        colour = int(rng.integers(len(COLOURS)))
    count = sum(thing.colour == colour for thing in scene.things)
    there = "is" if count == 1 else "are"
    named = f"{COLOURS[colour]} thing{'' if count == 1 else 's'}"
    return Said(f"how many {COLOURS[colour]} things {ending}", f"there {there} {COUNTS[count]} {named}")


def ask_exists(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said:
    """As often yes as no; what is not there shares its colour or shape with something that is, if it can."""
    pairs = {(thing.colour, thing.shape) for thing in scene.things}
    is_there = rng.random() < 0.5
    if is_there:
        pair = pick(sorted(pairs), rng)
    else:
        others = [pair for pair in PAIRS[unseen] if pair not in pairs]
        near = [one for one in others if any((one[0] == c) + (one[1] == s) for c, s in pairs)]
        pair = pick(near or others, rng)
    question = f"{pick(('is there', 'do you see'), rng)} {a(*pair)}"
    named = f"{COLOURS[pair[0]]} {SHAPES[pair[1]]}"
    return Said(question, f"yes there is {a(*pair)}" if is_there else f"no there is no {named}")


def ask_what(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said:
    covered = scene.sign.cells if scene.sign else ()
    if rng.random() < 0.8:
        cell = pick(scene.things, rng).cell
    else:
        cell = pick([cell for cell in range(SIDE * SIDE) if cell not in covered], rng)
    there = [thing for thing in scene.things if thing.cell == cell]
    named = a(there[0].colour, there[0].shape) if there else "nothing"
    question = pick(("what is in the", "what do you see in the"), rng)
    return Said(f"{question} {place(cell)}", f"{named} is in the {place(cell)}")


def ask_sign(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said | None:
    question = pick(("what number is on the sign", "read the sign"), rng)
    if scene.sign is None:
        return Said(question, "there is no sign") if rng.random() < ABSENT else None
    return Said(question, f"the number is {' '.join(DIGITS[digit] for digit in scene.sign.digits)}")


def ask_sum(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said:
    """The one kind that needs no picture."""
    one = int(rng.integers(HIGHEST_SUM + 1))
    other = int(rng.integers(HIGHEST_SUM + 1 - one))
    terms = f"{DIGITS[one]} plus {DIGITS[other]}"
    return Said(f"{pick(('what', 'how much'), rng)} is {terms}", f"{terms} is {DIGITS[one + other]}")


def ask_all(scene: Scene, unseen: bool, rng: np.random.Generator) -> Said:
    return Said(pick(("what do you see", "what is there"), rng), f"i see {caption(scene)}")


def caption(scene: Scene) -> str:
    """ "a red circle and a blue star and a sign", in reading order."""
    named = [a(thing.colour, thing.shape) for thing in scene.things]
    return " and ".join([*named, *(["a sign"] if scene.sign else [])])


def spelled(colours: np.ndarray, shapes: np.ndarray, sign: Sign | None) -> str:
    """A scene in words, cell after cell: what one reads who has no eyes yet.

    Labels as in `Scene.labels`. What has no name for its shape is a "thing", for its colour just a shape.
    """
    parts = []
    for cell, (colour, shape) in enumerate(zip(colours.tolist(), shapes.tolist())):
        if sign is not None and cell == sign.cell:
            parts.append(f"{place(cell)} sign {' '.join(DIGITS[digit] for digit in sign.digits)}")
        elif colour > 0 or shape > 0:
            named = [COLOURS[colour - 1]] * (colour > 0), SHAPES[shape - 1] if shape > 0 else "thing"
            parts.append(" ".join([place(cell), *named[0], named[1]]))
    return " ".join(parts)


KINDS: dict[str, Callable[[Scene, bool, np.random.Generator], Said | None]] = {
    "colour": ask_colour, "shape": ask_shape, "where": ask_where, "count": ask_count, "exists": ask_exists,
    "what": ask_what, "sign": ask_sign, "sum": ask_sum, "describe": ask_all,
}  # fmt: skip
GUESSABLE = ("sum", "exists", "count")  # right now and then without a look at the picture
