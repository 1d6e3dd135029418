"""The exercises' checks of Part II, as `test_exercises` tries them."""

import numpy as np
import torch
from torch.nn import functional as F

import helpers.lesson.checks.columns as written
import helpers.lesson.checks.families as named
import helpers.lesson.checks.loop as chosen
import helpers.lesson.checks.speed as timed
import helpers.lesson.checks.state as kept
import helpers.lesson.checks.streams as streamed
from helpers.musicgen.decoding import delayed, windows
from helpers.musicgen.limits import NLL

ELSEWHERE = {
    "decoder.model.decoder.embed_tokens.": "emb.", "decoder.model.decoder.layers.": "transformer.layers.",
    "decoder.model.decoder.layer_norm.": "out_norm.", "decoder.lm_heads.": "linears.",
    "self_attn_layer_norm": "norm1", "encoder_attn_layer_norm": "norm_cross", "final_layer_norm": "norm2",
    "encoder_attn.": "cross_attention.", "fc1": "linear1", "fc2": "linear2",
}  # fmt: skip


def renamed(**changes):
    """Names of the other family, with some of the table's parts changed."""

    def other_name(name):
        for ours, theirs in (ELSEWHERE | changes).items():
            name = name.replace(ours, theirs)
        return name

    return other_name


def delay(codes, delays, special):
    return delayed(codes[None], delays, special)[0]


def early(columns, delays, books, latest=lambda delays, books: max(delays[:books])):
    n = max(0, columns.shape[1] - 1 - latest(delays, books))
    found = np.zeros((books, n), columns.dtype)
    for book, late in enumerate(delays[:books]):
        there = columns[book, 1 + late :][:n]
        found[book, : len(there)] = there
    return found


def step(
    q, k, v, past, seen=lambda new, every: torch.ones(new, every).tril(every - new).bool(), join=torch.cat
):
    if past is not None:
        k, v = (join(pair, dim=2) for pair in zip(past, (k, v)))
    mask = seen(q.shape[2], k.shape[2])
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask), (k, v)


def convolved(x, weight, state, joined=lambda state, x: torch.cat([state, x], 2)):
    x = joined(state, x)
    return F.conv1d(x, weight), x[:, :, -4:]


def diagnose(model, least=1e-4, memory=True):
    columns, text = torch.arange(40).reshape(4, 10), torch.ones(8)
    other = torch.cat([columns[:, :9], columns[:, :1]], dim=1)
    whole, _ = model(columns, text, None)
    if (model(other, text, None)[0] - whole)[:, :9].abs().max() > least:
        return "looks ahead"
    _, past = model(columns[:, :9], text, None)
    if memory and (model(columns[:, 9:], text, past)[0] - whole[:, 9:]).abs().max() > least:
        return "forgets the past"
    return "right" if (model(columns, -text, None)[0] - whole).abs().max() > least else "ignores the text"


def min_p(p, share, least=lambda p, share: share * p.max(-1, keepdims=True)):
    kept = np.where(p >= least(p, share), p, 0)
    return kept / kept.sum(-1, keepdims=True)


def verdict(a, b, tolerance, factor=2, which=np.all):
    ours, theirs = a.argmax(-1), b.argmax(-1)
    for i, differs in enumerate(ours != theirs):
        if differs.any():
            lead = [one.max() - one[k] for one, k in zip(a[i][differs], theirs[i][differs])]
            return "tie" if which(np.array(lead) <= factor * tolerance) else "mistake", i
    return "same", None


def plan(n_frames, longest, stride):
    return list(windows(n_frames, 0, longest, stride))


def beside(decoder):
    reach, places = 0, 1  # exact: in places of the last layer
    for stretch, kernel, dilation in decoder:
        reach, places = reach * stretch + (kernel - 1) // 2 * dilation, places * stretch
    return -(-reach // places)


def choose(table, limit=0.01):
    good = {name: row["faster"] for name, row in table.items() if row[NLL] <= limit}
    return max(good, key=good.get) if good else "float32"


# check, the right answer, wrong answers
EXERCISES = [
    (
        written.delay, delay,
        [
            lambda codes, delays, special: delay(codes, delays, special)[:, 1:],
            lambda codes, delays, special: np.roll(delay(codes, delays, special), -1, axis=1),
            lambda codes, delays, special: delay(codes, range(len(delays)), special),
            lambda codes, delays, special: delay(codes, delays, special)[::-1], lambda *_: [1, 2],
        ],
    ),
    (
        written.complete, lambda known, steps, most: known + max(0, steps - most),
        [lambda n, steps, most: n + steps - most, lambda n, steps, most: n + steps, lambda *_: 3.5],
    ),
    (
        written.early, early,
        [
            lambda *given: early(*given, latest=lambda delays, books: max(delays)),
            lambda *given: early(*given, latest=lambda delays, books: delays[books - 1]),
            lambda *given: early(*given, latest=lambda delays, books: max(delays[:books]) - 1),
            lambda *given: early(*given)[::-1], lambda columns, *_: columns, lambda *_: 3,
        ],
    ),
    (
        named.other_name, renamed(),
        [
            lambda name: name, renamed(fc1="linear2", fc2="linear1"),
            renamed(self_attn_layer_norm="norm2", final_layer_norm="norm1"), lambda name: name.upper(),
        ],
    ),
    (
        named.split, lambda w: tuple(block.T for block in w.chunk(3, dim=1)),
        [
            lambda w: w.chunk(3, dim=1), lambda w: w.chunk(3, dim=0),
            lambda w: tuple(block.T for block in w.flip(1).chunk(3, dim=1)), lambda w: w,
        ],
    ),
    (named.medium_size, 1837.5, [1384.6, 1812.4, 37.8, 1837.5e6, 7350.0, 12, "many"]),
    (
        kept.step, step,
        [
            lambda q, k, v, past: step(q, k, v, None),
            lambda q, k, v, past: step(q, k, v, past, lambda new, every: torch.ones(new, every).bool()),
            lambda q, k, v, past: step(q, k, v, past)[0], lambda q, k, v, past: (q[:, :1], None),
            lambda q, k, v, past: 1 / 0,
        ],
    ),
    (kept.cache_gigabytes, 0.5369, [0.2684, 1.0737, 0.01678, 536.87, 8, "half"]),
    (
        kept.convolution_step, convolved,
        [
            lambda x, w, s: convolved(x, w, s, lambda s, x: torch.cat([s * 0, x], 2)),
            lambda x, w, s: (F.conv1d(torch.cat([s, x], 2), w), x[:, :, -4:]),
            lambda x, w, s: convolved(x, w, s)[0], lambda x, w, s: None.x,
        ],
    ),
    (
        kept.diagnose, diagnose,
        [
            lambda model: diagnose(model, least=0), lambda model: "right", lambda model: "?", "all",
            lambda model: diagnose(model, memory=False),
            lambda model: diagnose(model).replace("looks ahead", "forgets the past"),
        ],
    ),
    (
        chosen.min_p, min_p,
        [
            lambda p, share: min_p(p, share, lambda p, share: share),
            lambda p, share: np.where(p >= share * p.max(-1, keepdims=True), p, 0),
            lambda p, share: min_p(p, share, lambda p, share: share * p.max()), lambda p, share: p[0],
            lambda p, share: p,
        ],
    ),
    (chosen.guidance_forms, (5, 2), [(4, 3), (3, 2), (5, 4), 5, ("five", 2)]),
    (
        chosen.verdict, verdict,
        [
            lambda *given: verdict(*given, 1), lambda *given: verdict(*given, 1e9), lambda *given: True,
            lambda *given: ("mistake", 0), lambda *given: verdict(*given, which=np.any),
            lambda a, b, tolerance: verdict(a[::-1], b[::-1], tolerance),
        ],
    ),
    (
        streamed.plan, plan,
        [
            lambda n, longest, stride: plan(n, longest, longest),
            lambda n, longest, stride: [(0, min(n, longest), 0)],
            lambda n, longest, stride: [*plan(n, longest, stride), (n, 0, 0)], lambda *_: 7,
        ],
    ),
    (streamed.wavenet_reach, (3069, 191.8), [(1023, 64), (3072, 192), (3069, 1918), (12, 1), 3069]),
    (
        streamed.beside, beside,
        [
            lambda decoder: 2 * beside(decoder), lambda decoder: beside([(1, k, d) for _, k, d in decoder]),
            lambda decoder: 3, lambda decoder: beside(decoder) + (len(decoder) > 2),
            lambda decoder: beside(decoder) + 2, lambda decoder: beside(decoder) + 0.5,
        ],
    ),
    (timed.words_a_second, (14.29, 3.571), [(1.786, 1), (7.143, 1), (0.07, 1), (3, 1), (14.29, 7.1), 14]),
    (timed.choose, choose, [lambda rows: choose(rows, 1), lambda rows: choose(rows, 0.003), lambda _: "c"]),
    (
        timed.server, (57, 89),
        [(115, 1), (100, 1), (57.5, 1), (9, 1), (57, 90), (57, 178), (57, 357), (57, 3), 57],
    ),
]  # fmt: skip
