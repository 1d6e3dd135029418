"""The exercises' checks of Part IV, as `test_exercises` tries them."""

import itertools
import math

import numpy as np
import torch
from scipy.linalg import solve_toeplitz
from torch.nn import functional as F

import helpers.lesson.checks.ask as answered
import helpers.lesson.checks.eye as looked
import helpers.lesson.checks.speech as spoken
import helpers.lesson.checks.spelling as spelled
import helpers.lesson.checks.talker as said
import helpers.lesson.checks.thinker as thought
import helpers.lesson.checks.together as exported
import helpers.lesson.checks.voice as sounded
import helpers.lesson.checks.world as drawn


def places(has_picture, n_words, seconds, columns=lambda n: -(-n // 8), signs=2, sign=1):
    asked = n_words if seconds is None else columns(round(seconds * 16000) // 160)
    return (16 + sign) * has_picture + signs + asked


def others(answers):
    order = sorted(range(len(answers)), key=answers.__getitem__)
    most = max(map(answers.count, answers))
    found = dict(zip(order, order[most:] + order[:most]))
    return [found[i] for i in range(len(answers))]


def diagnose(box, first=("blue", "star"), other=("red", "ring"), warm=True):
    if warm:
        box(first, "colour")
    said = [tuple(box(picture, asks) for asks in ("colour", "shape")) for picture in (other, first)]
    if all(one[0] == one[1] for one in said):
        return "deaf"
    if said[0] == said[1]:
        return "blind"
    return "honest" if said == [other, first] else "late"


def diamond(x, y):
    return (abs(x) + abs(y) - drawn.TIP) / np.sqrt(2)


def place(k, n, seed, shuffles=lambda turn, seed: (seed, turn)):
    turn, i = divmod(k, n)
    rng = np.random.default_rng(shuffles(turn, seed))
    a, b = (int(one) for one in rng.integers(n, size=2))
    while math.gcd(a, n) != 1:
        a = int(rng.integers(n))
    return (a * i + b) % n


def forgetful():
    """Another order whenever it is asked."""
    calls = itertools.count()
    return lambda k, n, seed: (k + next(calls) // n) % n


def tube(length, n, multiples=lambda k: 2 * k + 1, quarter=4, sound=34300):
    return [sound * multiples(k) / (quarter * length) for k in range(n)]


def word_errors(said, heard, put_in=1):
    row = [put_in * j for j in range(len(heard) + 1)]
    for i, word in enumerate(said, 1):
        before, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(before[j - 1] + (word != other), before[j] + 1, row[-1] + put_in))
    return row[-1]


def formants(audio, rate, order=14):
    x = np.diff(audio.astype(float)) * np.hanning(len(audio) - 1)
    same = np.fft.irfft(np.abs(np.fft.rfft(x, 2 * len(x))) ** 2)[: order + 1]
    roots = np.roots([1, *-solve_toeplitz(same[:-1], same[1:])])
    roots = roots[roots.imag > 0]
    hertz, width = np.angle(roots) * rate / (2 * np.pi), -np.log(abs(roots)) * rate / np.pi
    return sorted(hertz[(width < 500) & (hertz > 150)])[:2]


def loudest(audio, rate):
    """The two strongest harmonics."""
    level = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    top = np.argsort(level)[::-1]
    far = next(i for i in top if abs(i - top[0]) > 30)
    return sorted(i * rate / len(audio) for i in (top[0], far))


def turn(x, place, grows=2, way=1):
    one, other = x.chunk(2)
    angle = way * place / 10000 ** (grows * torch.arange(len(one)) / len(x))
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine])


def turn_neighbours(x, place):
    return turn(x.unflatten(0, (-1, 2)).T.flatten(), place).unflatten(0, (2, -1)).T.flatten()


def targets(prompt, answer, end):
    return prompt + answer, [-100] * (len(prompt) - 1) + answer + [end]


def reordered(weight, n_heads):
    return weight.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def read(row, drop="-"):
    merged = [one for one, before in zip(row, (None, *row)) if one != before]
    return "".join(one for one in merged if one not in drop)


def least(text):
    return len(text) + sum(a == b for a, b in zip(text, text[1:]))


def probability(p, text, over=lambda one, other: one != other):
    return spelled.our_probability(p, text, over)


def beside(x, order=(0, 1, 3, 2, 4, 5)):
    return x.unflatten(1, (4, 2, 4, 2)).permute(*order).flatten(3).flatten(1, 2)


def contrast(pictures, captions, heat, one=0.5, other=0.5, unit=F.normalize):
    scores, right = heat * unit(pictures) @ unit(captions).T, torch.arange(len(pictures))
    return one * F.cross_entropy(scores, right) + other * F.cross_entropy(scores.T, right)


def held_out(a, b, c):
    return {(i, j, (i + j) % c) for i in range(a) for j in range(b)}


def perplexity(counts, base=np.e, seen=lambda shares: shares[shares > 0]):
    shares = seen(np.asarray(counts, float) / sum(counts))
    with np.errstate(all="ignore"):
        return base ** -(shares * np.log(shares)).sum()


def again(magnitudes, sound, forth, back):
    lines = forth(sound)
    return back(magnitudes * lines / np.maximum(abs(lines), 1e-12))


def divides(magnitudes, sound, forth, back):
    with np.errstate(all="ignore"):
        return back(magnitudes * (forth(sound) / abs(forth(sound))))


def fsq(x, levels, bend=torch.tanh, skips=lambda bent, x: bent, shift=0.5, whole=torch.Tensor.long):
    h = (levels - 1) / 2
    bent = h * bend(x)
    soft = skips(bent, x)
    digits = whole(bent.round() + shift * (levels - 1))
    return soft + (bent.round() - soft).detach(), (digits * levels ** torch.arange(x.shape[-1])).sum(-1)


def first_sound(read, word, frame, sound, frames, need=16, ahead=1):
    return exported.waited(read, word, frame, sound, frames, need, ahead)


def pointer(ends, n, at=0.5, over=lambda over: over):
    words, ended = said.our_pointer(ends, n, at)
    return words, over(ended)


def pairs(words, end):
    kept = []
    for word in words:
        if kept:
            yield kept.pop(), word
        kept.append(word)
    if kept:
        yield kept.pop(), end


def align(scores):
    return said.best_paths(scores)[1]


# check, the right answer, wrong answers
EXERCISES = [
    (
        answered.places, places,
        [
            lambda *given: places(*given, signs=1), lambda *given: places(*given, signs=0, sign=0),
            lambda *given: places(*given, columns=lambda n: n // 8),
            lambda *given: places(*given, columns=lambda n: -(-n // 4)),
            lambda *given: places(*given, sign=5),
            lambda *given: 0.5,
        ],
    ),
    (
        answered.others, others,
        [
            lambda answers: range(len(answers)), lambda answers: [0] * len(answers),
            lambda answers: [2, 3, 4, 5, 0, 1][: len(answers)], lambda answers: [1], lambda answers: 3,
        ],
    ),
    (
        answered.diagnose, diagnose,
        [
            lambda box: "honest", lambda box: "broken", lambda box: diagnose(box, other=("blue", "star")),
            lambda box: {"late": "blind"}.get(diagnose(box), diagnose(box)), lambda box: 1 / 0,
        ],
    ),
    (
        drawn.diamond, diamond,
        [
            lambda x, y: -diamond(x, y), lambda x, y: np.sqrt(2) * diamond(x, y),
            lambda x, y: np.maximum(abs(x), abs(y)) - 0.9, lambda x, y: np.hypot(x, y) - 0.9,
            lambda x, y: diamond(x, y) + 0.1, lambda x, y: x[0],
        ],
    ),
    (
        drawn.sees, lambda right, blind: (right - blind) / (1 - blind),
        [
            lambda right, blind: right - blind, lambda right, blind: right / blind,
            lambda right, blind: (right - blind) / right, lambda right, blind: right,
        ],
    ),
    (
        drawn.place, place,
        [
            lambda k, n, seed: k % n, lambda k, n, seed: int(np.random.default_rng((seed, k)).integers(n)),
            lambda k, n, seed: place(k, n, 0), lambda k, n, seed: n, lambda k, n, seed: 0.5,
            lambda k, n, seed: (k + 7 * seed * (1 + k // n)) % n, forgetful(),
        ],
    ),
    (
        spoken.tube, tube,
        [
            lambda length, n: tube(length, n, lambda k: k + 1, 2),
            lambda length, n: tube(length, n, lambda k: k + 1), lambda length, n: tube(length, n, sound=343),
            lambda length, n: tube(length, n)[:1], lambda length, n: tube(length, n, quarter=3),
        ],
    ),
    (
        spoken.word_errors, word_errors,
        [
            lambda said, heard: sum(a != b for a, b in zip(said, heard)) + abs(len(said) - len(heard)),
            lambda said, heard: sum(a != b for a, b in zip(said, heard)),
            lambda said, heard: len(set(said) - set(heard)),
            lambda said, heard: word_errors(said, heard, put_in=2), lambda said, heard: 0.5,
        ],
    ),
    (
        spoken.formants, formants,
        [
            loudest, lambda *given: formants(*given)[::-1], lambda *given: 500,
            lambda audio, rate: formants(audio, 2 * rate), lambda audio, rate: (97, 2150),
        ],
    ),
    (
        thought.turn, turn,
        [
            lambda x, place: turn(x, place, way=-1), lambda x, place: turn(x, place, grows=1),
            turn_neighbours, lambda x, place: x[:8], lambda x, place: turn(x, 2 * place),
        ],
    ),
    (
        thought.targets, targets,
        [
            lambda p, a, end: (p + a, [-100] * len(p) + a),
            lambda p, a, end: (p + a, [-100] * (len(p) - 1) + a[1:] + [end, -100]),
            lambda p, a, end: (p + a, p[1:] + a + [end]), lambda p, a, end: (p, a),
            lambda p, a, end: (p + a + [end], targets(p, a, end)[1] + [-100]), lambda p, a, end: 1,
            lambda p, a, end: (p + a, [-100] * (len(p) + len(a))),
        ],
    ),
    (
        thought.reordered, reordered,
        [
            lambda w, n: w, lambda w, n: w.unflatten(0, (n, 2, -1)).transpose(1, 2).flatten(0, 2),
            lambda w, n: w.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1), lambda w, n: w.flip(0),
            lambda w, n: 2 * w, lambda w, n: w.T,
        ],
    ),
    (
        spelled.read, read,
        [
            lambda row: read(row.replace("-", "")), lambda row: row.replace("-", ""),
            lambda row: read(row, drop=""), lambda row: read(row, drop="- "), lambda row: 7,
        ],
    ),
    (
        spelled.least, least,
        [
            len, lambda text: 2 * len(text) + 1, lambda text: len(text.replace(" ", "")),
            lambda text: least(text) + 1,
        ],
    ),
    (
        spelled.probability, probability,
        [
            lambda *given: probability(*given, lambda *_: True),
            lambda *given: probability(*given, lambda *_: False), spelled.likeliest,
            lambda *given: np.log(probability(*given)), lambda *given: probability(*given) / 2,
        ],
    ),
    (
        sounded.perplexity, perplexity,
        [
            np.count_nonzero, lambda c: np.log(perplexity(c)), lambda c: np.log2(perplexity(c)),
            lambda c: perplexity(c, base=2), lambda c: perplexity(c, seen=lambda shares: shares), sum,
        ],
    ),
    (
        sounded.again, again,
        [
            lambda m, sound, forth, back: back(forth(sound)), lambda m, sound, forth, back: back(m),
            lambda m, sound, forth, back: back(m * forth(sound)), divides,
            lambda *given: again(*given) / 2, lambda *given: again(*given)[:9],
        ],
    ),
    (
        sounded.fsq, fsq,
        [
            lambda x, levels: fsq(x.detach(), levels), lambda x, levels: fsq(x, levels, torch.sin),
            lambda x, levels: fsq(x, levels, lambda x: 3 * x), lambda x, levels: fsq(x, levels, shift=0),
            lambda x, levels: fsq(x, levels, skips=lambda bent, x: x),
            lambda x, levels: fsq(x, levels, skips=lambda bent, x: 0 * bent),
            lambda x, levels: fsq(x, levels, skips=lambda bent, x: 2 * bent),
            lambda x, levels: fsq(x, levels, whole=torch.Tensor.float),
            lambda x, levels: (fsq(x, levels)[0], fsq(x.flip(-1), levels)[1]), lambda x, levels: x,
            lambda x, levels: (x[..., :1].mean(0), fsq(x, levels)[1]),
        ],
    ),
    (
        exported.at_most, lambda n: 1 - 0.05 ** (1 / n),
        [
            lambda n: 1 / n, lambda n: 0.05 ** (1 / n), lambda n: 1 - 0.95 ** (1 / n), lambda n: 0,
            lambda n: 5 / n,
        ],
    ),
    (
        exported.first_sound, first_sound,
        [
            lambda *given: first_sound(*given, need=6), lambda *given: first_sound(*given, ahead=0),
            lambda *given: first_sound(*given, ahead=9), lambda *given: first_sound(*given, need=99),
            lambda *given: first_sound(*given) - given[3], lambda *given: 1,
        ],
    ),
    (
        exported.five_bugs, {4, 13, 19, 24, 32},
        [{4, 13}, 5, {1, 2, 3, 5, 7}, {4, 13, 19, 24, 25}, {4, 13, 1, 2, 5}],
    ),
    (
        said.pointer, pointer,
        [
            lambda ends, n: pointer(ends, n, at=0), lambda ends, n: pointer([*ends, 1], n),
            lambda ends, n: pointer(ends, n, over=lambda over: [*over[:-1], 0]),
            lambda ends, n: pointer(ends, n, over=lambda over: [0, *over[:-1]]),
            lambda ends, n: pointer(ends, n, over=lambda over: [1] * n), lambda ends, n: 3,
            lambda ends, n: ([0], [1]), lambda ends, n: pointer(ends[:1], n),
        ],
    ),
    (
        said.pairs, pairs,
        [
            lambda words, end: list(itertools.pairwise([*words, end])),
            lambda words, end: itertools.pairwise(words), lambda words, end: 1,
            lambda words, end: ((b, a) for a, b in pairs(words, end)),
        ],
    ),
    (
        said.align, align,
        [
            lambda scores: scores.argmax(0).tolist(), lambda scores: align(scores)[:-1],
            lambda scores: scores.argmax(0).tolist()[::-1],
            lambda scores: [min(t, len(scores) - 1) for t in range(scores.shape[1])], lambda scores: 1,
        ],
    ),
    (
        looked.beside, beside,
        [
            lambda x: x.reshape(2, 16, 12), lambda x: beside(x, (0, 1, 3, 4, 2, 5)),
            lambda x: beside(x, (0, 3, 1, 2, 4, 5)), lambda x: beside(x, (0, 1, 3, 5, 2, 4)),
            lambda x: beside(x).flip(1), lambda x: x,
        ],
    ),
    (
        looked.contrast, contrast,
        [
            lambda *given: contrast(*given, unit=lambda x: x), lambda *given: contrast(*given, 1, 0),
            lambda *given: contrast(*given, 0, 1), lambda *given: contrast(*given, 1, 1),
            lambda p, c, heat: contrast(p, c, 1 / heat), lambda *given: contrast(*given) + 1,
            lambda p, c, heat: p,
        ],
    ),
    (
        looked.held_out, held_out,
        [
            lambda a, b, c: {(i, i, i) for i in range(a)},
            lambda a, b, c: {(i, j, 0) for i in range(a) for j in range(b)},
            lambda a, b, c: {(0, j, k) for j in range(b) for k in range(c)},
            lambda a, b, c: {(i, j, i + j) for i in range(a) for j in range(b)}, lambda a, b, c: 1,
            lambda a, b, c: set(),
        ],
    ),
]  # fmt: skip
