"""Checks of notebook 38, Together, exported."""

from collections.abc import Callable, Iterable, Sequence

from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number

SURE = 0.05  # how probable at least is what was seen
PIECE, BEHIND = 6, 10  # frames
ANSWERS = (  # milliseconds to read, of a word, a frame, a piece; frames of each word
    (12.0, 2.0, 1.5, 9.0, (4, 9, 8, 11, 7)),
    (40.0, 5.0, 3.0, 20.0, (16, 9, 8)),
    (12.0, 2.0, 1.5, 9.0, (3, 4, 5)),
    (10.0, 1.0, 1.0, 5.0, (20,)),
    (10.0, 4.0, 1.0, 5.0, (2, 3, 2, 3, 2, 3, 2, 3, 9)),
)
SCRIPT = """\
def codec_loss(codec, mel):
    frames = codec.encoder(mel)
    codes = nearest(codec.rows, frames.detach()).argmax(-1)
    coded = codec.rows[codes]
    commitment = (frames - coded.detach()).square().mean()
    return (codec.decoder(coded) - mel).abs().mean() + commitment

def thinker_loss(thinker, prompt, answer):
    ids = prompt + answer + [END]
    given, asked = ids[:-1], ids[1:]
    logits = thinker(given)
    start = len(prompt) - 1
    return cross_entropy(logits[start:-1], asked[start + 1 :])

def talker_loss(talker, thinker, prompt, answer, codes):
    states = thinker.states(prompt + answer)[len(prompt) :]
    words = spread(answer, len(codes))
    before = [NO_FRAME] + codes[:-1]
    logits = talker(words, zeros_like(states), before)
    return cross_entropy(logits, codes)

def speak(talker, words, states):
    codes = []
    while len(codes) < MOST_FRAMES:
        before = codes[-1:] or [NO_FRAME]
        logits, over = talker.step(words, states, before)
        codes.append(logits.argmax())
    return codes

def batches(pictures, captions, size, rng):
    order = rng.permutation(len(pictures))
    other = rng.permutation(len(captions))
    for i in range(0, len(order) - size, size):
        yield pictures[order[i : i + size]], captions[other[i : i + size]]
"""
LINES = SCRIPT.splitlines()
listing = "\n".join(f"{i:2} {line}" for i, line in enumerate(LINES, 1))


def number_of(part: str) -> int:
    """The only line that holds this."""
    (found,) = [i for i, line in enumerate(LINES, 1) if part in line]
    return found


BUGS = (  # each may be named by one of several lines
    {number_of("codes = nearest("), number_of("coded = codec.rows"), number_of("codec.decoder(coded)")},
    {number_of("cross_entropy(logits[start:-1]")},
    {number_of("zeros_like(states)")},
    {number_of("while len(codes)"), number_of("logits, over"), number_of("codes.append")},
    {number_of("other = rng.permutation"), number_of("yield pictures")},
)


@exercise
def at_most(function: Callable[[int], float]) -> str:
    """Trials without a difference -> the largest chance of one that would still pass now and then."""
    for n in (12, 200, 1000):
        right, answer = 1 - SURE ** (1 / n), number(called(function, n))
        if close(answer, right):
            continue
        explain(
            answer,
            {
                "one in n would often be missed: with that chance none is seen in more than a third.": 1 / n,
                "that is the chance that a trial passes, not that it differs.": 1 - right,
                "that is 95 % the wrong way round: you would nearly always see none.": (
                    1 - (1 - SURE) ** (1 / n)
                ),
                "none is not the largest that may be; it is the smallest.": 0,
            },
            lambda one, other: abs(one - other) <= 0.005 * abs(other),
        )
        raise Wrong(f"for {n} trials (1 - p)^n would be {(1 - answer) ** n:.3f}, and it should be {SURE}.")
    return "about three divided by n: two hundred questions prove one and a half percent."


def waited(
    read: float, word: float, frame: float, sound: float, frames: Sequence[int], need: int, ahead: int
) -> float:
    """Until `need` frames are there, each word `ahead` words before it can be said."""
    made, said = 0, 0
    while made < need and said < len(frames):
        made += frames[said]
        said += 1
    return read + word * min(said + ahead, len(frames)) + frame * min(need, sum(frames)) + sound


@exercise
def first_sound(function: Callable[..., float]) -> str:
    """Times of the parts, frames of each word -> milliseconds until the first piece of sound."""
    need = PIECE + BEHIND
    for *times, frames in ANSWERS:
        right, answer = waited(*times, frames, need, 1), number(called(function, *times, list(frames)))
        if close(answer, right):
            continue
        read, word, frame, sound = times
        explain(
            answer,
            {
                "a piece also needs the frames behind it.": waited(*times, frames, PIECE, 1),
                "a word can be said once the one after it is known.": waited(*times, frames, need, 0),
                "not all words need to be known.": (
                    read + word * len(frames) + frame * min(need, sum(frames)) + sound
                ),
                "not all frames need to be made.": (read + word * len(frames) + frame * sum(frames) + sound),
                "the voice takes its time, too.": right - sound,
            },
        )
        raise Wrong(f"words of {list(frames)} frames, times {times}: {right:.1f} ms, not {answer:.1f}.")
    return "the length of the answer is not in it."


@exercise
def five_bugs(answer: Iterable[int]) -> str:
    """Numbers of lines of `listing`."""
    try:
        lines = {int(one) for one in answer}
    except (TypeError, ValueError) as error:
        raise Wrong("the answer is a set of numbers of lines.") from error
    if len(lines) != len(BUGS):
        raise Wrong(f"there are {len(BUGS)} bugs, and {len(lines)} lines are named.")
    found = sum(bool(bug & lines) for bug in BUGS)
    if found < len(BUGS):
        raise Wrong(f"{found} of {len(BUGS)} are right.")
    return "none of them raises anything, and each alone is enough."
