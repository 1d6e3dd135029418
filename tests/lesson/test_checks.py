"""The exercises' checks: a stub is no attempt, the right answer is right, each mistake has its own words."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import helpers.lesson.checks.checkpoint as inside
import helpers.lesson.checks.codec as sound
import helpers.lesson.checks.export as proven
import helpers.lesson.checks.layers as built
import helpers.lesson.checks.own as alone
import helpers.lesson.checks.play as played
import helpers.lesson.checks.quantize as smaller
import helpers.lesson.checks.start as begun
import helpers.lesson.checks.train as trained
import helpers.lesson.checks.weights as moved
from helpers import checkpoints
from helpers.layers import RelativePositionBias
from helpers.lesson.checks.verdict import MIME_TYPE, NOT_YET, RIGHT, WRONG, Verdict, Wrong, exercise
from helpers.vampnet import masks
from helpers.vampnet.files import GOLDEN, NAMES

CODEC, COARSE = (checkpoints.read(GOLDEN / f"{name}.pth") for name in NAMES[:2])
CODECS = {"one": (44100, [6, 4, 4, 8], 14, 1024), "other": (32000, [8, 5, 4, 4], 4, 2048)}
LAYER = {
    name: tensor.numel()
    for name, tensor in COARSE.tensors.items()
    if name.startswith("transformer.layers.1.")
}
PLAIN = {name: size for name, size in LAYER.items() if "lora_" not in name}


def kilobits(rate, rates, n_books, codes, bits=math.log2, books=None):
    """What a codec's tokens take a second, with one thing changed."""
    return rate / math.prod(rates) * (books or n_books) * bits(codes) / 1000


def residual_codes(frames, books, by=lambda x, book: -torch.cdist(x, book), keep=1):
    """EnCodec's quantizer with one thing changed: the largest by what, how much of an entry is taken away."""
    rows = []
    for book in books:
        rows.append(by(frames, book).argmax(1))
        frames = frames - keep * book[rows[-1]]
    return torch.stack(rows)


def direction_length(v):
    return v.flatten(1).norm(dim=1)[:, None, None]


def channels(x):
    return x.chunk(2, dim=1)


CURED = {"tuner": "python number", "smoother": "loop", "window": "stored"}


def halves(x):
    return x.chunk(2, dim=-1)


class AddsBias(nn.Module):
    """The position bias in the way `how` says."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, scores):
        return self.how(scores)


BIAS = RelativePositionBias(2)
torch.manual_seed(0)
nn.init.normal_(BIAS.weight)


class Smooths(nn.Module):
    """The smoother, or what `how` makes of its input and the matrix of what is left of each frame in each."""

    def __init__(self, how=lambda x, fade: fade @ x):
        super().__init__()
        self.how = how

    def forward(self, x):
        time = torch.arange(x.shape[1])
        gap = time[:, None] - time
        return self.how(x, torch.where(gap >= 0, 0.9 ** gap.clamp(min=0), 0.0))


ENCODER = [(7, 1, 1), (7, 1, 3), (8, 4, 1), (7, 1, 9), (4, 2, 1), (3, 1, 1)]


def stretch(layers, seen=lambda kernel: kernel - 1, late=0):
    """What an output depends on, with one thing changed: what a kernel adds, if its own stride counts."""
    strides = [stride for _, stride, _ in layers]
    return 1 + sum(seen(k) * d * math.prod(strides[: i + late]) for i, (k, _, d) in enumerate(layers))


def lost_alpha(
    weight, down, up, x, y, only=None, by=lambda left, pair: (left * pair).sum() / (pair**2).sum()
):
    """Alpha, from all that was recorded or from the first outputs only, by how left over and pair compare."""
    left, pair = y - x @ weight.T, x @ (up @ down).T
    return by(left[:, :only], pair[:, :only]).item() * len(down)


def real_mistakes(ours, theirs, judge, least=1e-5, apart=abs):
    """Places that differ and are no ties, with one thing changed: the least gap, and what a gap is."""
    one, other = (scores.argmax(-1)[..., None] for scores in (ours, theirs))
    gap = np.take_along_axis(judge, one, -1) - np.take_along_axis(judge, other, -1)
    return int(((one != other) & (apart(gap) >= least)).sum())


def balance(x, weight):
    return np.sqrt(np.abs(x).max(0) / np.abs(weight).max(1))


def largest(weight, axis):
    return np.abs(weight).max(axis)


def rounded(weight, scales):
    return np.round(weight / scales), scales


def file_name(stage, layer, part):
    index = ("snake_1", "conv_1", "snake_2", "conv_2").index(part)
    return f"encoder.block.{stage + 1}.block.{layer}.block.{index}"


def periodic(period_of=lambda period: period, books_of=lambda n: n, of=lambda mask: mask):
    """A periodic prompt with one thing changed."""
    return lambda shape, period, n: masks.codebook_mask(
        of(masks.periodic(shape, period_of(period))), books_of(n)
    )


def generated(n, books, start, period, kept):
    """Tokens that two prompts leave to be generated, counted one by one."""
    places = ((frame, book) for frame in range(start, n) for book in range(books))
    return sum(frame % period > 0 or book >= kept for frame, book in places)


def by_book(books, codes):
    return np.arange(books * codes).reshape(books, codes).T.ravel()


def soundstorm(n_frames, n_prompt, steps, late=0, above=1, of=math.floor):
    """What each step of SoundStorm's finds masked, with one thing changed."""
    n, found = n_frames - n_prompt, []
    for book, count in enumerate(steps):
        waiting = above * n * (len(steps) - 1 - book)
        found += [of(n * math.cos(math.pi / 2 * (i + late) / count)) + waiting for i in range(count)]
    return found


def cosine(n, steps):
    return n * np.cos(np.pi / 2 * np.arange(1, steps + 1) / steps)


def lowest(confidence_of):
    """Mark the least certain, by the confidence that is given."""

    def choose(log_p, noise, strength, count):
        confidence = confidence_of(log_p, noise, strength)
        return confidence < np.sort(confidence)[count]

    return choose


def distances(n, slopes=(0.5, 0.25, 0.125, 0.0625), away=torch.abs):
    """The follower's table for n frames, with one thing changed."""
    time = torch.arange(n)
    return -torch.tensor(slopes)[:, None, None] * away(time[:, None] - time)


def axes(**changed):
    """Which axes of the follower's graph are open, with one thing changed."""
    return {name: {0: "batch", 1: "frames"} for name in ("mel", "pitch", "voicing")} | changed


SHRUNK = {"ears": (0.29, 40.7), "body": (0.41, 27.9), "words": (0.33, 27.8)}  # share of the size, dB
ABOUT = {"input": {"mean": -2.0, "std": 1.5}}
EXERCISES = [  # check, what else it gets, a right answer, wrong ones
    (
        begun.tokens_a_minute, [SimpleNamespace(sample_rate=44100, hop=768, n_codebooks=14)], 57 * 60 * 14,
        [57.4 * 60, 57.4 * 14, 44100 * 60, 44100 * 60 * 14, 57.4, 14, "many"],
    ),
    (
        begun.generated_share, [], lambda period, kept, books: 1 - kept / (period * books),
        [
            lambda period, kept, books: kept / (period * books), lambda period, kept, books: 1 - 1 / period,
            lambda period, kept, books: 1 - kept / books, lambda period, kept, books: 0.9,
            lambda period, kept, books: (1 - 1 / period) * (1 - kept / books), lambda period: 1 / period,
            lambda period, kept, books: 100 - 100 * kept / (period * books), 0.9,
        ],
    ),
    (
        begun.two_prompts, [], generated,
        [
            lambda n, books, *rest: n * books - generated(n, books, *rest),
            lambda n, books, *rest: generated(n, books, *rest) / n / books,
            lambda n, books, start, period, kept: (n - start) * books - kept * len(range(0, n, period)),
            lambda n, books, start, period, kept: (n - start) * books - kept * len(range(start, n, period)),
            lambda n, books, start, period, kept: (
                (n - start) * books - kept * len(range(-(-start // period), n // period))
            ),
            lambda n, books, start, *rest: (n - start) * books, lambda *given: 5, lambda *given: "x",
            lambda n, books, start, period, kept: n * books - kept * len(range(0, n, period)),
            lambda n, books, start, period, kept: (
                n * books - kept * sum(frame < start or frame % period == 0 for frame in range(n))
            ),
        ],
    ),
    (
        inside.bitrate, [CODECS], kilobits,
        [
            lambda *codec: 1000 * kilobits(*codec), lambda *codec: kilobits(*codec) / 8,
            lambda *codec: kilobits(*codec) * 1000 / 1024, lambda *codec: kilobits(*codec, bits=lambda n: 1),
            lambda *codec: kilobits(*codec, bits=lambda n: n), lambda *codec: kilobits(*codec, books=1),
            lambda *codec: kilobits(*codec, bits=lambda n: 10), lambda rate, rates, books, codes: 8.04,
            lambda rate, rates, books, codes: kilobits(1, [1], books, codes),
            lambda rate, rates, books, codes: kilobits(rate, [1], books, codes), lambda *codec: "eight", 8.04,
        ],
    ),
    (
        inside.layer_parameters, [COARSE], sum(PLAIN.values()),
        [sum(LAYER.values()), len(PLAIN), sum(t.numel() for t in COARSE.tensors.values()), 7],
    ),
    (
        inside.folded, [], lambda g, v: g * v / direction_length(v),
        [
            lambda g, v: g * v, lambda g, v: v / direction_length(v), lambda g, v: g * v / v.norm(),
            lambda g, v: g * v / direction_length(v) ** 2, lambda g, v: g * v / v.norm(dim=1, keepdim=True),
            lambda g, v: g, lambda g, v: g.size.wrong, lambda g, v: 2 * v,
            lambda g, v: g * v / v.norm(dim=(1, 2)), lambda g, v: g * v / v.norm(dim=2, keepdim=True),
        ],
    ),
    (
        inside.resorted, [], by_book,
        [
            lambda books, codes: range(books * codes), lambda books, codes: np.argsort(by_book(books, codes)),
            lambda books, codes: by_book(books, codes)[::-1], lambda books, codes: by_book(books, codes)[1:],
            lambda books, codes: [0] * books * codes, lambda books, codes: by_book(books, codes) + 0.5,
            lambda books, codes: np.roll(by_book(books, codes), 1), lambda books, codes: books.wrong,
        ],
    ),
    (
        sound.nearest, [], lambda low, book: (low @ F.normalize(book).T).argmax(-1),
        [
            lambda low, book: (low @ book.T).argmax(-1), lambda low, book: torch.cdist(low, book).argmin(-1),
            lambda low, book: (low @ F.normalize(book).T).argmin(-1), lambda low, book: low @ book.T,
            lambda low, book: torch.zeros(200, dtype=int),
            lambda low, book: (low @ F.normalize(book).T).amax(-1),
        ],
    ),
    (
        sound.residual_codes, [], residual_codes,
        [
            lambda frames, books: residual_codes(frames, books, by=lambda x, book: x @ F.normalize(book).T),
            lambda frames, books: residual_codes(frames, books, by=lambda x, book: x @ book.T),
            lambda frames, books: residual_codes(frames, books, keep=0),
            lambda frames, books: residual_codes(frames, books, keep=-1),
            lambda frames, books: residual_codes(frames, books).T,
            lambda frames, books: residual_codes(frames, books)[0],
        ],
    ),
    (
        sound.stretch, [ENCODER], stretch,
        [
            lambda layers: stretch([(k, 1, d) for k, _, d in layers]),
            lambda layers: stretch([(k, s, 1) for k, s, _ in layers]), lambda layers: stretch(layers) - 1,
            lambda layers: stretch(layers, seen=lambda k: k), lambda layers: stretch(layers, late=1),
            lambda layers: stretch(layers[::-1]), lambda layers: 7, lambda layers: stretch(layers) + 0.5,
            lambda layers: layers.reach,
        ],
    ),
    (
        built.wavenet_gate, [], lambda x: channels(x)[0].tanh() * channels(x)[1].sigmoid(),
        [
            lambda x: channels(x)[1].tanh() * channels(x)[0].sigmoid(), lambda x: x, lambda x: channels(x)[0],
            lambda x: channels(x)[0] * channels(x)[1].sigmoid(),
            lambda x: channels(x)[0].tanh() * channels(x)[1].tanh(),
            lambda x: halves(x)[0].tanh() * halves(x)[1].sigmoid(),
        ],
    ),
    (
        built.diagnosis, [], CURED,
        [
            CURED | {"tuner": "loop"}, CURED | {"smoother": "silence"}, CURED | {"window": "python number"},
            CURED | {"window": "magic"}, ["loop"],
        ],
    ),
    (
        built.any_length, [BIAS], AddsBias(lambda scores: scores + BIAS(scores.shape[-1])),
        [
            AddsBias(lambda scores: scores + BIAS(12)), AddsBias(lambda scores: scores * 1.0),
            AddsBias(lambda scores: scores + BIAS(scores.shape[-1]).transpose(-1, -2)),
            AddsBias(lambda scores: scores + 2 * BIAS(scores.shape[-1])), AddsBias(lambda scores: scores[0]),
            AddsBias(lambda scores: BIAS(scores.shape[-1])),
            AddsBias(lambda scores: scores + BIAS(100)[..., : scores.shape[-1], : scores.shape[-1]]),
        ],
    ),
    (
        moved.file_name, [CODEC], file_name,
        [
            lambda stage, layer, part: file_name(min(stage + 1, 3), layer, part),
            lambda stage, layer, part: file_name(stage, layer, part) + ".weight", lambda *_: 3,
            lambda stage, layer, part: file_name(stage, layer, "conv_2" if part == "conv_1" else "conv_1"),
            lambda stage, layer, part: f"encoder.stages.{stage}",
        ],
    ),
    (
        moved.lora_folded, [], lambda weight, down, up, alpha: weight + alpha / len(down) * up @ down,
        [
            lambda weight, down, up, alpha: weight + alpha * up @ down, lambda weight, *_: weight,
            lambda weight, down, up, alpha: weight + up @ down / 2, lambda weight, *_: 2 * weight,
            lambda weight, down, up, alpha: alpha / 2 * up @ down,
            lambda weight, down, up, alpha: weight + alpha / 2 * (up @ down).T,
            lambda weight, down, up, alpha: weight + 2 / alpha * up @ down,
            lambda weight, down, up, alpha: down @ up,
        ],
    ),
    (
        moved.lost_alpha, [], lost_alpha,
        [
            lambda weight, down, *rest: lost_alpha(weight, down, *rest) / len(down),
            lambda weight, down, *rest: lost_alpha(weight, down, *rest) * len(down),
            lambda *given: -lost_alpha(*given),
            lambda weight, down, *rest: lost_alpha(weight, down, *rest) / len(down) * down.shape[1],
            lambda weight, *rest: lost_alpha(0 * weight, *rest),
            lambda weight, down, up, x, y: lost_alpha(weight, down, up, x[:1], y[:1], only=1),
            lambda *given: lost_alpha(*given, by=lambda left, pair: (left / pair).mean()), lambda *given: "x",
            lambda weight, down, up, x, y: x @ weight,
        ],
    ),
    (
        proven.dynamic_axes, [], {0: "batch", 2: "frames"},
        [
            {2: "frames"}, {0: "batch"}, {0: "batch", 1: "codebooks", 2: "frames"}, {-1: "frames"},
            {0: "size", 2: "size"}, ["batch", "frames"],
        ],
    ),
    (
        proven.equal_share, [], lambda ours, theirs: (ours.argmax(-1) == theirs.argmax(-1)).mean(),
        [
            lambda ours, theirs: (ours == theirs).mean(), lambda ours, theirs: np.array_equal(ours, theirs),
            lambda ours, theirs: (ours.argmax(-1) != theirs.argmax(-1)).mean(),
            lambda ours, theirs: (ours.argmax(-1) == theirs.argmax(-1)).sum(),
            lambda ours, theirs: (ours.argmax(1) == theirs.argmax(1)).mean(), lambda ours, theirs: 0.5,
            lambda ours, theirs: ours,
        ],
    ),
    (
        proven.sizes, [], [(1, 1), (3, 101)],
        [
            [(2, 12)], [(1, 101), (1, 1)], [(2, 101)], [(1, 1), (2, 120)], [(0, 1)], [2, 12], [(2, 1.5)],
        ],
    ),
    (
        proven.real_mistakes, [], real_mistakes,
        [
            lambda ours, theirs, judge: real_mistakes(ours, theirs, judge, least=0),
            lambda ours, theirs, judge: real_mistakes(ours, theirs, judge, apart=lambda gap: gap),
            lambda ours, theirs, judge: real_mistakes(ours, theirs, judge.astype(np.float32)),
            lambda ours, theirs, judge: 46 - real_mistakes(ours, theirs, judge),
            lambda ours, theirs, judge: real_mistakes(ours, theirs, judge) + 14, lambda *given: 0,
            lambda ours, theirs, judge: ours.best, lambda *given: 36.5,
        ],
    ),
    (
        played.prompt, [], periodic(),
        [
            lambda *given: 1 - periodic()(*given), periodic(books_of=lambda n: 100),
            periodic(books_of=lambda n: n + 1), periodic(of=lambda mask: 0 * mask),
            periodic(of=lambda mask: 1 - mask), periodic(period_of=lambda period: 0),
            periodic(period_of=lambda period: period - 1), lambda shape, period, n: masks.full(shape)[0],
            lambda shape, period, n: masks.full(shape) * 0.5, lambda shape, period, n: period.wrong,
            lambda shape, period, n: masks.periodic(shape, period) | (np.arange(shape[1]) < n)[:, None],
        ],
    ),
    (
        played.book_by_book, [], soundstorm,
        [
            lambda *given: soundstorm(*given, late=1), lambda *given: soundstorm(*given, above=0),
            lambda n, prompt, steps: soundstorm(n, 0, steps), lambda *given: soundstorm(*given, of=float),
            lambda n, prompt, steps: [(n - prompt) * len(steps) - k for k in soundstorm(n, prompt, steps)],
            lambda *given: soundstorm(*given, of=round), lambda n, p, steps: soundstorm(n, p, steps[::-1]),
            lambda n, prompt, steps: np.floor((n - prompt) * 4 * np.cos(np.pi / 28 * np.arange(14))),
            lambda *given: soundstorm(*given)[:-1], lambda *given: "many", lambda *given: range(14),
        ],
    ),
    (
        played.schedule, [], lambda n, steps: np.floor(cosine(n, steps)).astype(int).tolist(),
        [
            lambda n, steps: np.floor([n, *cosine(n, steps)[:-1]]), cosine,
            lambda n, steps: [n * (steps - i) // steps for i in range(1, steps + 1)],
            lambda n, steps: np.floor(n * np.sin(np.pi / 2 * np.arange(1, steps + 1) / steps)),
            lambda n, steps: n - np.floor(cosine(n, steps)), lambda n, steps: np.ceil(cosine(n, steps)),
            lambda n, steps: np.round(cosine(n, steps)), lambda n, steps: [n] * steps, lambda n, steps: n,
            lambda n, steps: np.floor(n * np.cos(np.pi * np.arange(1, steps + 1) / steps)),
        ],
    ),
    (
        played.remasked, [], lowest(lambda log_p, noise, strength: log_p + strength * noise),
        [
            lowest(lambda log_p, noise, strength: -log_p - strength * noise),
            lowest(lambda log_p, noise, strength: np.where(log_p < 1, -log_p - strength * noise, np.inf)),
            lowest(lambda log_p, noise, strength: log_p), lambda *_: np.zeros(40, bool),
            lowest(lambda log_p, noise, strength: log_p + noise),
            lowest(lambda log_p, noise, strength: log_p - strength * noise),
            lowest(lambda log_p, noise, strength: np.exp(log_p) + strength * noise),
            lambda log_p, noise, strength, count: np.argsort(log_p + strength * noise)[:count],
            lambda log_p, noise, strength, count: np.arange(40) < count,
            lambda log_p, noise, strength, count: log_p + strength * noise,
            lambda log_p, noise, strength, count: (
                ~lowest(lambda *_: log_p + strength * noise)(log_p, noise, strength, count)
            ),
            lowest(lambda log_p, noise, strength: np.where(log_p < 1, np.arange(40), np.inf)),
        ],
    ),
    (
        trained.straight_through, [], lambda frames, rows: frames + (rows - frames).detach(),
        [
            lambda frames, rows: frames, lambda frames, rows: rows, lambda frames, rows: rows - frames,
            lambda frames, rows: rows.detach(), lambda frames, rows: frames + rows,
            lambda frames, rows: rows + frames - frames.detach(),
            lambda frames, rows: 2 * frames + (rows - 2 * frames).detach(), lambda frames, rows: 3,
        ],
    ),
    (
        trained.in_use, [], lambda codes: [len(codes[:, i].unique()) for i in range(codes.shape[1])],
        [
            lambda codes: [codes[:, 0].numel()] * 3, lambda codes: codes.amax((0, 2)),
            lambda codes: codes.amax((0, 2)) + 1, lambda codes: [len(book.unique()) for book in codes[0]],
            lambda codes: [sum(len(clip[i].unique()) for clip in codes) for i in range(3)],
            lambda codes: len(codes.unique()), lambda codes: "many", lambda codes: [1, 2, 3],
        ],
    ),
    (
        alone.input_norm, [ABOUT], lambda mel: (mel + 2) / 1.5,
        [
            lambda mel: mel, lambda mel: mel / 1.5, lambda mel: mel + 2, lambda mel: mel * 1.5 - 2,
            lambda mel: (mel + 2) * 1.5, lambda mel: (mel - 2) / 1.5, lambda mel: mel / 1.5 + 2,
            lambda mel: (mel - mel.mean()) / mel.std(), lambda mel: mel[0], lambda mel: mel - 7, 3,
        ],
    ),
    (
        alone.wiring, [], {"attention": "mixer.ln.1", "feed_forward": "mixer.ln.0"},
        [
            {"attention": "mixer.ln.0", "feed_forward": "mixer.ln.1"}, "mixer.ln.1",
            {"attention": "mixer.ln.1.weight", "feed_forward": "mixer.ln.0.weight"},
            {"attention": "mixer.ln.1", "feed_forward": "mixer.ln.1"},
        ],
    ),
    (alone.lora_scale, [], 4, [1 / 16, 0.25, 16, 64, 1, "four"]),
    (
        alone.bias_rule, [], distances,
        [
            lambda n: -distances(n), lambda n: distances(n, away=lambda gap: gap.clamp(min=0)),
            lambda n: distances(n, away=lambda gap: -gap.clamp(max=0)), lambda n: distances(n, (0.5,) * 4),
            lambda n: distances(n, away=lambda gap: gap), lambda n: distances(n).flip(0),
            lambda n: distances(n, (1 / 2, 1 / 3, 1 / 4, 1 / 5)), lambda n: distances(n) - 1,
            lambda n: distances(100)[:, :n, :n], lambda n: distances(n)[0],
            lambda n: distances(n) * 100 / n, lambda n: n.wrong,
        ],
    ),
    (
        alone.open_axes, [], axes(),
        [
            ["mel"], {"mel": {0: "batch", 1: "frames"}}, axes(mel={1: "frames"}), axes(pitch={0: "batch"}),
            axes(mel={0: "batch", 1: "frames", 2: "bands"}), axes(voicing={0: "batch", 1: "notes"}),
            axes(voicing={0: "batch", -1: "frames"}), {name: {0: "n", 1: "n"} for name in axes()},
        ],
    ),
    (
        smaller.per_output, [], lambda weight: rounded(weight, largest(weight, 0) / 127),
        [
            lambda weight: rounded(weight, np.abs(weight).max() / 127),
            lambda weight: rounded(weight, np.abs(weight).max(1, keepdims=True) / 127),
            lambda weight: rounded(weight, largest(weight, 0) / 63),
            lambda weight: (rounded(weight, largest(weight, 0) / 128)[0] * 1.0, largest(weight, 0) / 128),
            lambda weight: (weight / (largest(weight, 0) / 127), largest(weight, 0) / 127),
            lambda weight: ((weight / (largest(weight, 0) / 127)).astype(np.int8), largest(weight, 0) / 127),
            lambda weight: (rounded(weight, largest(weight, 0) / 127)[0], 127 / largest(weight, 0)),
            lambda weight: (weight.T, largest(weight, 0)), lambda weight: weight,
            lambda weight: (weight, np.ones(9)),
        ],
    ),
    (
        smaller.balance, [], balance,
        [
            lambda x, weight: balance(x, weight)[:-1], lambda x, weight: 0 * balance(x, weight),
            lambda x, weight: np.full(40, 3), lambda x, weight: 1 / balance(x, weight),
            lambda x, weight: np.abs(x).max(0), lambda x, weight: 1 / np.abs(weight).max(1),
            lambda x, weight: np.sqrt(np.abs(x).max(0)), lambda x, weight: 2 + np.sin(np.arange(40)),
        ],
    ),
    (smaller.kept_layer, [SHRUNK.get, list(SHRUNK)], "ears", ["body", "words", "tongue"]),
    (smaller.bits_a_weight, [], 4.5, [4, 5, 20, 0.5625, 8, "four"]),
    (
        built.smoother, [], Smooths(),
        [
            Smooths(lambda x, fade: x), Smooths(lambda x, fade: fade.T @ x),
            Smooths(lambda x, fade: x + 0.9 * F.pad(x, (0, 0, 1, 0))[:, :-1]),
            Smooths(lambda x, fade: x.cumsum(1)), Smooths(lambda x, fade: 0.9 * (fade @ x)),
            Smooths(lambda x, fade: (x / fade[:, :1]).cumsum(1) * fade[:, :1]),
            Smooths(lambda x, fade: fade[:12, :12] @ x), Smooths(lambda x, fade: (fade @ x)[0]),
            Smooths(lambda x, fade: fade @ x + 1),
            Smooths(lambda x, fade: built._smoothed(x)),
            Smooths(lambda x, fade: fade @ x if x.shape[1] < 20 else 2 * x),
        ],
    ),
]  # fmt: skip
each_exercise = pytest.mark.parametrize(
    ("check", "given", "right", "wrong"), EXERCISES, ids=[check.__name__ for check, *_ in EXERCISES]
)


@each_exercise
def test_a_stub_is_not_an_attempt(check, given, right, wrong):
    for stub in (..., None, *([lambda *_: ..., lambda *_: None] if callable(right) else [])):
        verdict = check(stub, *given)
        assert verdict.state == NOT_YET and verdict.exercise == check.__name__


@each_exercise
def test_the_right_answer_is_right(check, given, right, wrong):
    verdict = check(right, *given)
    assert verdict.state == RIGHT, verdict


@each_exercise
def test_each_mistake_is_explained_in_its_own_words(check, given, right, wrong):
    verdicts = [check(answer, *given) for answer in wrong]
    assert {verdict.state for verdict in verdicts} == {WRONG}, verdicts
    assert len({verdict.why for verdict in verdicts}) == len(wrong) >= 3, verdicts


def test_a_verdict_says_it_in_words_and_for_whoever_collects_them():
    data = Verdict("bitrate", WRONG, "5 < 6")._repr_mimebundle_()
    assert data["text/plain"] == "wrong: 5 < 6"
    assert "5 &lt; 6" in data["text/html"] and ">wrong<" in data["text/html"]
    assert data[MIME_TYPE] == {"exercise": "bitrate", "state": WRONG}


def test_a_check_that_fails_by_itself_is_not_the_readers_mistake():
    @exercise
    def broken(answer):
        raise ZeroDivisionError

    @exercise
    def refuses(answer):
        raise Wrong("because")

    with pytest.raises(ZeroDivisionError):
        broken(1)
    assert refuses(1).state == WRONG
