"""The exercises' checks of Part III, as `test_exercises` tries them."""

import numpy as np
import torch

import helpers.lesson.checks.bits as few
import helpers.lesson.checks.ear as heard
import helpers.lesson.checks.field as outside
import helpers.lesson.checks.honest as tried
import helpers.lesson.checks.night as listened
import helpers.lesson.checks.tagger as opened
import helpers.lesson.checks.taught as schooled


def as_bytes(values, step, zero, highest, whole=np.round):
    return np.clip(whole(values / np.float32(step)) + zero, 0, highest)


def straight(x, slope=lambda x: x.clamp(0, 15)):
    return slope(x) + (x.round().clamp(0, 15) - slope(x)).detach()


def fixed_point(factor, more=0):
    multiplier, shift = few.our_fixed_point(factor)
    return (multiplier << more if more > 0 else multiplier >> -more), shift + more


def spans(starts, yes, window, joined=lambda start, end: start <= end):
    found = []
    for start in (start for start, one in zip(starts, yes) if one):
        if found and joined(start, found[-1][1]):
            found[-1] = (found[-1][0], start + window)
        else:
            found.append((start, start + window))
    return found


def threshold(scores, present, share, least):
    return listened.our_threshold(scores, present, share, least)


def frames(n, window, hop, mirrored):
    return (n if mirrored else n - window) // hop + 1


def whisper(power, log=torch.log10, top=lambda x: x.amax((1, 2), keepdim=True), below=8):
    logs = log(power.clamp(min=1e-10))
    return (torch.maximum(logs, top(logs) - below) + 4) / 4


def read_off(shapes, rates=(32000, 16000, 8000)):
    n_fft = shapes[opened.REAL][-1]
    labels, wide = shapes["fc_audioset.weight"]
    return rates[(1024, 512, 256).index(n_fft)], labels, wide


def fold(weight, gamma, beta, mean, variance, eps, root=torch.sqrt):
    scale = gamma / root(variance + eps)
    return weight * scale[:, None, None, None], beta - mean * scale


def fold_before(weight, gamma, beta, mean, variance, eps):
    scale = gamma / (variance + eps).sqrt()
    shift = beta - mean * scale
    bias = (weight * shift[None, :, None, None]).sum((1, 2, 3))
    return weight * scale[None, :, None, None], bias, -shift / scale


def apart(animals, share, least=0):
    held = np.zeros(len(animals), bool)
    for one in np.unique(animals):
        if held.sum() >= share * len(animals) + least:
            break
        held |= animals == one
    return held


def paired(ours, theirs, ddof=1, root=2):
    difference = ours - theirs
    return difference.mean(), difference.std(ddof=ddof) / len(difference) ** (1 / root)


def alone(ours, theirs):
    variances = [one.var(ddof=1) / len(one) for one in (ours, theirs)]
    return (ours - theirs).mean(), np.sqrt(sum(variances))


def by_parts(hits, folds, mean=np.concatenate, inside=False):
    found = []
    for fold in np.unique(folds):
        here = folds == fold
        best = hits[:, here if inside else ~here].mean(1).argmax()
        found.append(hits[best, here])
    return float(np.mean(mean(found)))


def soft(logits, teachers, temperature, times=1.0):
    return times * schooled.our_soft(logits, teachers, temperature)


def farther(cosines, margin, beyond=lambda cosines, margin: cosines - margin * np.sin(margin)):
    inside = (cosines.acos() + margin).cos()
    return torch.where(cosines > -np.cos(margin), inside, beyond(cosines, margin))


def tags(logits, names, teachers, their_names, temperature, doubt=False):
    wanted = torch.stack(
        [(teachers[:, their_names.index(n)] / temperature).sigmoid() for n in names if n in their_names], 1
    )
    ours = torch.stack([logits[:, i] / temperature for i, n in enumerate(names) if n in their_names], 1)
    cross = torch.nn.functional.binary_cross_entropy_with_logits(ours, wanted)
    entropy = torch.nn.functional.binary_cross_entropy(wanted, wanted)
    return (cross - (0 if doubt else entropy)) * temperature**2


def tracked(scores, high, low, gap, least, highest=True, ends=0, short_first=False, join=True):
    runs = [[]]
    for i, score in enumerate(scores):
        if score >= low:
            runs[-1].append(i)
        elif runs[-1]:
            runs.append([])
    spans = [(one[0], one[-1] + 1) for one in runs if one and max(scores[one]) >= high * highest]
    if short_first:
        spans = [one for one in spans if one[1] - one[0] >= least]
    made = []
    for start, end in spans:
        if join and made and start - made[-1][1] <= gap:
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return [(start, end - ends) for start, end in made if short_first or end - start >= least]


def joined_too_soon(scores, high, low, gap, least):
    spans = tracked(scores, low, low, gap, least)
    return [one for one in spans if max(scores[slice(*one)]) >= high]


def spoilt(function, place, how):
    """The function with one of its answers changed."""

    def changed(*given):
        parts = list(function(*given))
        parts[place] = how(parts[place])
        return tuple(parts)

    return changed


# check, the right answer, wrong answers
EXERCISES = [
    (
        listened.spans, spans,
        [
            lambda *given: spans(*given, joined=lambda start, end: False),
            lambda *given: [(start, end - 1) for start, end in spans(*given)],
            lambda *given: [(0, 1)], lambda *given: [1],
        ],
    ),
    (
        listened.rare, (313.6, 0.0826),
        [(25.92, 0.9), (287.7, 0.9), (28800, 0.9), (7, 0.9), (313.6, 8.26), (313.6, 0.9), (313.6, 0.917),
         (313.6, 0.5), 313.6],
    ),
    (
        listened.threshold, threshold,
        [
            lambda s, p, share, least: threshold(s, p, 0.5, least), lambda *_: 1.0, lambda *_: 0.0,
            lambda s, p, share, least: threshold(s, p, share, least) if share == 0.5 else None,
            lambda s, p, share, least: threshold(s, p, share, least) or 1.0,
        ],
    ),
    (
        heard.frames, frames,
        [
            lambda *given: frames(*given) - 1, lambda *given: frames(*given) + 1,
            lambda n, window, hop, mirrored: frames(n, window, hop, not mirrored), lambda *_: 7,
            lambda *_: 1.5,
        ],
    ),
    (
        heard.whisper, whisper,
        [
            lambda p: whisper(p, top=lambda x: x.max()), lambda p: whisper(p, lambda x: 10 * x.log10()),
            lambda p: whisper(p, below=99), lambda p: whisper(p, torch.log), lambda p: whisper(p) + 1,
            lambda p: p[0],
        ],
    ),
    (
        heard.same_ear, heard.box,
        [
            lambda x: heard.box(x)[:, 1:], lambda x: heard.box(x) + 0.5,
            lambda x: 2 * heard.box(x) - heard.box(0 * x),
            lambda x: heard.box(x).roll(1, 2), lambda x: heard.box(x.roll(1, 1)), lambda x: 1 / 0,
        ],
    ),
    (
        opened.read_off, read_off,
        [
            spoilt(read_off, 0, lambda rate: 44100), spoilt(read_off, 1, lambda labels: labels + 1),
            spoilt(read_off, 2, lambda wide: 2 * wide), lambda shapes: 32000,
        ],
    ),
    (
        opened.fold, fold,
        [
            spoilt(fold, 1, lambda bias: 0 * bias), lambda *given: fold(*given[:5], 0.0, root=lambda x: x),
            spoilt(fold, 0, lambda weight: 2 * weight), lambda *given: fold(*given)[0],
            spoilt(fold, 1, lambda bias: bias[:2]),
        ],
    ),
    (
        opened.fold_before, fold_before,
        [
            spoilt(fold_before, 2, lambda value: 0 * value), spoilt(fold_before, 2, lambda value: -value),
            spoilt(fold_before, 1, lambda bias: 0 * bias), spoilt(fold_before, 0, lambda weight: 2 * weight),
            lambda *given: fold_before(*given)[:2],
        ],
    ),
    (
        tried.apart, apart,
        [
            lambda animals, share: np.arange(len(animals)) < share * len(animals),
            lambda animals, share: animals >= 0, lambda animals, share: apart(animals, share / 9),
            lambda animals, share: animals < 0, lambda animals, share: np.flatnonzero(apart(animals, share)),
        ],
    ),
    (
        tried.paired, paired,
        [
            lambda ours, theirs: paired(theirs, ours), lambda *given: paired(*given, ddof=0),
            lambda *given: paired(*given, root=np.inf), alone, lambda *given: paired(*given)[0],
            lambda *given: (1.0, 1.0), lambda *given: (paired(*given)[0], 9.0),
        ],
    ),
    (
        tried.honest, by_parts,
        [
            lambda hits, folds: hits.mean(1).max(), lambda hits, folds: hits.mean(),
            lambda *given: by_parts(*given, inside=True), lambda *given: 0.99,
            lambda *given: by_parts(*given, mean=lambda found: [one.mean() for one in found]),
        ],
    ),
    (
        schooled.soft, soft,
        [
            lambda *given: soft(*given) / 12, lambda *given: soft(*given) * len(given[0]),
            lambda x, y, t: soft(y, x, t), lambda x, y, t: soft(x, y, t) / t**2, lambda x, y, t: x,
            lambda x, y, t: soft(x, y, 1.0) * t**2, lambda *given: soft(*given) + 1,
        ],
    ),
    (
        schooled.farther, farther,
        [
            lambda x, m: (x.acos() + m).cos(), lambda x, m: (x.acos() - m).cos(), lambda x, m: x - m,
            lambda x, m: farther(x, m, lambda x, m: 16 * (x - m * np.sin(m))), lambda x, m: x[:3],
            lambda x, m: (x.acos() + np.radians(m)).cos(), lambda x, m: x,
        ],
    ),
    (
        schooled.tags, tags,
        [
            lambda *given: tags(*given, doubt=True), lambda *given: given[0],
            lambda x, names, y, theirs, t: tags(x, names, y, names + ("more",), t),
            lambda x, names, y, theirs, t: tags(x, names, y, theirs, t) / t**2,
            lambda x, names, y, theirs, t: schooled.our_soft(x[:, [0, 1, 2]], y[:, [2, 1, 4]], t),
            lambda *given: tags(*given) + 1,
        ],
    ),
    (
        outside.count, outside.our_count,
        [
            lambda n, window, hop: int((n - window) // hop) + 1 if n >= window else 1,
            lambda n, window, hop: int(np.ceil(n / hop)),
            lambda n, window, hop: outside.our_count(n, window, hop) - 1,
            lambda n, window, hop: outside.our_count(n, window, hop) if n > window else 0, lambda *_: 7,
        ],
    ),
    (
        outside.quiet, outside.our_quiet,
        [
            lambda alarms, levels, most: levels[(alarms <= most).argmax(0)],
            lambda *given: np.where((given[0] <= given[2]).any(0), outside.LEVELS[(given[0] <= 3).argmax(0)],
                                    np.inf),
            lambda alarms, levels, most: outside.our_quiet(alarms, levels, most - 1),
            lambda alarms, *_: alarms, lambda *_: np.full(4, np.inf),
        ],
    ),
    (
        outside.tracked, tracked,
        [
            lambda s, high, low, *more: tracked(s, high, high, *more),
            lambda *given: tracked(*given, highest=False), lambda *given: tracked(*given, ends=1),
            lambda *given: tracked(*given, join=False), lambda *given: tracked(*given, short_first=True),
            lambda s, high, low, gap, least: tracked(s, high, low, gap, 0), joined_too_soon,
            lambda *given: 7, lambda *given: [(0, 1)],
        ],
    ),
    (
        few.as_bytes, as_bytes,
        [
            lambda x, step, zero, most: np.round(x / np.float32(step)) + zero,
            lambda *given: as_bytes(*given, whole=lambda x: np.floor(x + 0.5)),
            lambda *given: as_bytes(*given, whole=np.floor), lambda *given: as_bytes(*given)[:3],
            lambda x, step, zero, most: np.clip(np.round(x / np.float32(step)), 0, most) + zero,
            lambda x, *given: 0 * x,
        ],
    ),
    (
        few.straight, straight,
        [
            lambda x: x.round().clamp(0, 15), lambda x: straight(x, lambda x: x), lambda x: x,
            lambda x: straight(x.detach()), lambda x: straight(x, lambda x: 2 * x.clamp(0, 15)),
            lambda x: x[:2],
        ],
    ),
    (
        few.fixed_point, few.our_fixed_point,
        [
            lambda f: fixed_point(f, 1), lambda f: fixed_point(f, -1), lambda f: (few.LOWEST, 31),
            lambda f: (few.LOWEST, -1), lambda f: f,
        ],
    ),
]  # fmt: skip
