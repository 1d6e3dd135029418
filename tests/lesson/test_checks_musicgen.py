"""The exercises' checks of Part II, held to what `test_checks` asks of all of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import helpers.lesson.checks.columns as written
import helpers.lesson.checks.families as named
import helpers.lesson.checks.loop as chosen
import helpers.lesson.checks.speed as timed
import helpers.lesson.checks.state as kept
import helpers.lesson.checks.streams as streamed
from helpers.lesson.checks.verdict import NOT_YET, RIGHT, WRONG
from helpers.musicgen.decoding import delayed, windows
from helpers.musicgen.limits import NLL

ELSEWHERE = {
    "decoder.model.decoder.embed_tokens.": "emb.", "decoder.model.decoder.layers.": "transformer.layers.",
    "decoder.model.decoder.layer_norm.": "out_norm.", "decoder.lm_heads.": "linears.",
    "self_attn_layer_norm": "norm1", "encoder_attn_layer_norm": "norm_cross", "final_layer_norm": "norm2",
    "encoder_attn.": "cross_attention.", "fc1": "linear1", "fc2": "linear2",
}  # fmt: skip
SPEECH = {"delayed": 445, "one after the other": 3870, "first frame": 16}
REPORTS = {"first": "looks ahead", "second": "forgets the past", "third": "ignores the text"}


def renamed(**changes):
    """Names of the other family, with some of the table's parts changed."""

    def other_name(name):
        for ours, theirs in (ELSEWHERE | changes).items():
            name = name.replace(ours, theirs)
        return name

    return other_name


def delay(codes, delays, special):
    return delayed(codes[None], delays, special)[0]


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


def min_p(p, share, least=lambda p, share: share * p.max(-1, keepdims=True)):
    kept = np.where(p >= least(p, share), p, 0)
    return kept / kept.sum(-1, keepdims=True)


def verdict(a, b, tolerance, factor=2):
    ours, theirs = a.argmax(), b.argmax()
    if ours == theirs:
        return "same"
    return "tie" if a[ours] - a[theirs] <= factor * tolerance else "mistake"


def plan(n_frames, longest, stride):
    return list(windows(n_frames, 0, longest, stride))


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
        written.speech_steps, SPEECH,
        [SPEECH | {"delayed": 430}, SPEECH | {"delayed": 446}, SPEECH | {"one after the other": 430},
         SPEECH | {"first frame": 15}, SPEECH | {"first frame": 9}, SPEECH | {"first frame": 2}, 445],
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
        kept.diagnosis, REPORTS,
        [
            REPORTS | {"first": "forgets the past"}, REPORTS | {"third": "looks ahead"},
            REPORTS | {"first": "?"}, "all",
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
            lambda *given: "mistake",
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
    (timed.words_a_second, (14.29, 3.571), [(1.786, 1), (7.143, 1), (0.07, 1), (3, 1), (14.29, 7.1), 14]),
    (timed.choose, choose, [lambda rows: choose(rows, 1), lambda rows: choose(rows, 0.003), lambda _: "c"]),
    (
        timed.server, (11.63, 158.4),
        [(11.76, 1), (5, 1), (11.63, 9.9), (11.63, 186.05), (11.63, 3), 11.63],
    ),
]  # fmt: skip
each_exercise = pytest.mark.parametrize(
    ("check", "right", "wrong"), EXERCISES, ids=[check.__name__ for check, *_ in EXERCISES]
)


@each_exercise
def test_a_stub_is_not_an_attempt(check, right, wrong):
    stubs = [..., None, *([lambda *_: ..., lambda *_: None] if callable(right) else [])]
    if isinstance(right, dict):
        stubs.append(dict.fromkeys(right, ...))
    if isinstance(right, tuple):
        stubs.append((...,) * len(right))
    assert {check(stub).state for stub in stubs} == {NOT_YET}


@each_exercise
def test_the_right_answer_is_right(check, right, wrong):
    answer = check(right)
    assert answer.state == RIGHT, answer


@each_exercise
def test_each_mistake_is_explained_in_its_own_words(check, right, wrong):
    answers = [check(one) for one in wrong]
    assert {answer.state for answer in answers} == {WRONG}, answers
    assert len({answer.why for answer in answers}) == len(wrong) >= 3, [answer.why for answer in answers]
