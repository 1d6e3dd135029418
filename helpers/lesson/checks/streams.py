"""Checks of notebook 14, Continue."""

from collections.abc import Callable

from helpers.lesson.checks.verdict import NotYet, Wrong, called, close, exercise, number, whole_number
from helpers.musicgen.decoding import windows

PIECES = ((100, 50, 30), (50, 50, 30), (20, 50, 30), (101, 50, 20), (1500, 300, 180), (61, 60, 59))
DECODERS = (  # (stretch, kernel, dilation) of each layer
    [(1, 7, 1)],
    [(1, 7, 1), (8, 7, 1)],
    [(1, 7, 1), (8, 17, 1)],
    [(1, 7, 1), (8, 7, 1), (5, 3, 9)],
    [(2, 3, 1), (2, 3, 1), (2, 3, 1)],
    [(1, 3, 1), (1, 3, 2), (4, 3, 9)],
)
STACKS, LAYERS, WAVENET_RATE = 3, 10, 16_000


@exercise
def plan(function: Callable[[int, int, int], list[tuple[int, int, int]]]) -> str:
    """n_frames, longest, stride -> (first, length, known) of each window with something new."""
    for n_frames, longest, stride in PIECES:
        answer = called(function, n_frames, longest, stride)
        right = list(windows(n_frames, 0, longest, stride))
        if not isinstance(answer, list) or not all(len(one) == 3 for one in answer):
            raise Wrong("return a list of triples: first frame, length, known frames.")
        answer = [tuple(map(int, one)) for one in answer]
        asked = f"{n_frames} frames in windows of {longest}, {stride} apart"
        if sum(length - known for _, length, known in answer) != n_frames:
            raise Wrong(f"{asked}: what is new in all windows should add up to the music.")
        if any(length <= known for _, length, known in answer):
            raise Wrong(f"{asked}: a window without anything new is in the list.")
        if any(first + length > n_frames for first, length, _ in answer):
            raise Wrong(f"{asked}: a window goes beyond the end of the music.")
        if answer != right:
            raise Wrong(f"{asked}: other windows were expected; do they begin {stride} apart?")
    return f"right for {len(PIECES)} lengths, and none of them crashes."


@exercise
def wavenet_reach(answer: tuple[float, float]) -> str:
    """(samples, milliseconds) that an output of three stacks of ten causal layers depends on."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Wrong("the answer is a pair of numbers: samples, milliseconds.")
    if ... in answer:
        raise NotYet
    samples, milliseconds = map(number, answer)
    right = STACKS * (2**LAYERS - 1)
    if samples == 2**LAYERS - 1:
        raise Wrong("that is one stack; there are three, one behind the other, and reaches add up.")
    if samples in (STACKS * 2**LAYERS, (2**LAYERS - 1) ** STACKS, STACKS * 512):
        raise Wrong("every layer adds its dilation once; add them up for one stack first.")
    if samples not in (right, right + 1):  # with its own
        raise Wrong("a layer of kernel 2 looks back by its dilation; add up all thirty.")
    if not close(milliseconds, 1000 * right / WAVENET_RATE):
        raise Wrong("the samples are right; a second has 16,000 of them, and 1000 milliseconds.")
    return "a fifth of a second: little for music, which is why tokens are so much coarser."


@exercise
def beside(function: Callable[[list[tuple[int, int, int]]], int]) -> str:
    """Layers of (stretch, kernel, dilation) -> frames on either side that a frame's sound depends on."""
    for decoder in DECODERS:
        answer = whole_number(called(function, list(decoder)))
        right = _beside(decoder)
        unstretched = sum((kernel - 1) * dilation // 2 for _, kernel, dilation in decoder)
        if answer == 2 * right:
            raise Wrong(f"{decoder}: those are both sides together.")
        if answer == unstretched != right:
            raise Wrong(f"{decoder}: behind a stretch, a place is less than a frame.")
        if answer == right + 1:
            raise Wrong(f"{decoder}: one frame too many: parts of a frame add up before they are rounded.")
        if answer < right:
            raise Wrong(f"{decoder}: a frame of which a part counts is needed whole; {answer} are too few.")
        if answer != right:
            raise Wrong(f"{decoder}: it is not {answer}.")
    return "and a decoder is cut nowhere that can be heard, whatever it is made of."


def _beside(decoder: list[tuple[int, int, int]]) -> int:
    """The leftmost frame under the first sample of frame 0, walking from the sound to the frames."""
    place = 0
    for stretch, kernel, dilation in reversed(decoder):
        place = (place - (kernel - 1) * dilation // 2) // stretch
    return -place
