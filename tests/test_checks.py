"""The exercises' checks: a stub is no attempt, the right answer is right, each mistake has its own words."""

import math

import pytest

import helpers.checks.checkpoint as inside
from helpers import checkpoints
from helpers.checkpoints import GOLDEN
from helpers.checks.verdict import MIME_TYPE, NOT_YET, RIGHT, WRONG, Verdict, Wrong, exercise

CODEC, COARSE, C2F = (checkpoints.read(GOLDEN / f"{name}.pth") for name in checkpoints.NAMES)
FRAMES = CODEC.kwargs["sample_rate"] / math.prod(CODEC.kwargs["decoder_rates"])  # a second
BOOKS, BITS = CODEC.kwargs["n_codebooks"], math.log2(CODEC.kwargs["codebook_size"])
CODES, FINE = C2F.kwargs["vocab_size"], C2F.kwargs["n_codebooks"] - C2F.kwargs["n_conditioning_codebooks"]
LAYER = {
    name: tensor.numel()
    for name, tensor in COARSE.tensors.items()
    if name.startswith("transformer.layers.1.")
}
PLAIN = {name: size for name, size in LAYER.items() if "lora_" not in name}


def direction_length(v):
    return v.flatten(1).norm(dim=1)[:, None, None]


EXERCISES = [  # check, what else it gets, a right answer, wrong ones
    (
        inside.bitrate, [CODEC], FRAMES * BOOKS * BITS / 1000,
        [
            FRAMES * BOOKS * BITS, FRAMES * BOOKS * BITS / 8000, FRAMES * BOOKS / 1000, FRAMES * BITS / 1000,
            CODEC.kwargs["sample_rate"] * BOOKS * BITS / 1000, 3.0, "eight",
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
        ],
    ),
    (
        inside.head_index, [C2F], lambda code, book: code * FINE + book,
        [
            lambda code, book: book * CODES + code, lambda code, book: book * FINE + code,
            lambda code, book: CODES * FINE + code, lambda code, book: 0,
            lambda code, book: book + FINE * (CODES - 1 - code),
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
