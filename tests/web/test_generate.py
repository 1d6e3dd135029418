"""MusicGen's loop in JavaScript is the loop in Python: the same ids, the same tokens, nearly the same sound.

The page's modules run in plain node with the page's own runtime, so nothing but the browser is missing.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from helpers.musicgen.files import GOLDEN, MODELS
from helpers.musicgen.page import page_of
from helpers.musicgen.pipeline import Pipeline
from helpers.runtime.pieces import tables
from helpers.runtime.tokenizer import Tokenizer

HERE = Path(__file__).parent
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node, which runs the page's modules here")
T5 = GOLDEN / "t5" / "spiece.model"
WORDS = "slow fast piano, and drums in C minor Happy façade 120 bpm with a guitar".split()
ODD = "▁ \t\n\u3000ﬁ①½Åé\u0301äß漢字ｶﾅ😀\u200b\u00a0\ufeff\u00ad\x07"


def in_javascript(bundle, page, **asked):
    """What tests/web/generate.mjs makes of the cases."""
    content = json.dumps({"bundle": str(bundle), "content": page, **asked})
    command = [NODE, str(HERE / "generate.mjs")]
    run = subprocess.run(
        command, input=content, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def told(bundle):
    """What the page's script is told of a bundle."""
    page = page_of(bundle)
    return {**page.content, "graphs": list(page.graphs)}


@pytest.fixture
def any_rate(monkeypatch):
    """The golden models are at 3200 Hz, which no browser plays; node has to play nothing."""
    monkeypatch.setattr("helpers.musicgen.page.check_rate", lambda rate: None)


@pytest.fixture(scope="module")
def golden_bundle(tmp_path_factory):
    bundle = exported(GOLDEN / "audiocraft", tmp_path_factory)
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(manifest | {"max_seconds": 1.0}))  # several windows, soon
    return bundle


def exported(checkpoints, tmp_path_factory):
    from helpers.musicgen.graphs import export_bundle
    from helpers.musicgen.weights import load_models

    return export_bundle(load_models(checkpoints), tmp_path_factory.mktemp("generate") / "bundle")


# --- Text


def random_text(rng):
    """Words, odd characters, or any at all."""
    kind = rng.integers(3)
    if kind == 0:
        return " ".join(rng.choice(WORDS, rng.integers(0, 12)))
    pool = [chr(one) for one in range(32, 127)] + list(ODD)
    if kind == 1:
        return "".join(rng.choice(pool, rng.integers(0, 30)))
    drawn = rng.integers(1, 0x3000 if rng.random() < 0.7 else 0x110000, rng.integers(0, 20))
    return "".join(chr(one) for one in drawn if not 0xD800 <= one < 0xE000)


@needs_node
@pytest.mark.parametrize("path", [T5, MODELS / "spiece.model"], ids=["T5", "course"])
def test_a_text_has_the_same_ids(path):
    rng = np.random.default_rng(0)
    texts = ["", "  ", " a  b ", "▁", "▁ a ▁"] + [random_text(rng) for _ in range(500)]
    tokenizer = Tokenizer(path, 2**31)
    found = in_javascript(path.parent, {"tokenizer": tables(path, 2**31)}, texts=texts)
    assert found == [tokenizer([text])[0][0].tolist() for text in texts]


def test_another_tokenizer_is_refused(tmp_path):
    with refused("spiece.model"):
        tables(GOLDEN / "hf" / "tokenizer.json", 2**31)
    (tmp_path / "spiece.model").write_bytes(b"\xff" * 40)
    with refused("damaged"):
        tables(tmp_path / "spiece.model", 2**31)
    with refused("not its tokenizer"):
        tables(T5, 5)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.trainer_spec, "model_type", 2),
        lambda model: setattr(model.trainer_spec, "byte_fallback", True),
        lambda model: setattr(model.pieces[5], "type", 4),
    ],
    ids=["another kind", "bytes for what is unknown", "pieces of the user's"],
)
def test_what_the_page_does_not_do_is_refused(tmp_path, change):
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(T5.read_bytes())
    change(model)
    (tmp_path / "spiece.model").write_bytes(model.SerializeToString())
    with refused("another kind than T5's"):
        tables(tmp_path / "spiece.model", 2**31)


# --- Tokens


def random_case(rng, pipeline, longest):
    """Text, a prompt, both or neither, and settings; lengths up to so many seconds."""
    frames = int(rng.integers(1, int(longest * pipeline.frame_rate)))
    n = int(rng.integers(1, max(2, frames * pipeline.hop // 2)))
    prompt = (0.3 * np.sin(np.arange(n) * rng.uniform(0.01, 0.2)) + 0.05 * rng.standard_normal(n)).astype(
        "f4"
    )
    kind = rng.integers(4)  # both, text, prompt, neither
    settings = {
        "seconds": (frames + 0.5 + (kind in (0, 2)) * (-(-n // pipeline.hop))) / pipeline.frame_rate,
        "guidance": float(rng.choice([1, 3, 3, 7.5])), "temperature": float(rng.choice([0.5, 1, 1, 1.5])),
        "top_k": int(rng.choice([0, 5, 250, 250])), "top_p": float(rng.choice([0, 0, 0.5, 0.9])),
        "greedy": bool(rng.random() < 0.2), "seed": int(rng.integers(2**50)),
    }  # fmt: skip
    text = " ".join(rng.choice(WORDS, rng.integers(1, 9))) if kind in (0, 1) else None
    return {"text": text, "audio": prompt if kind in (0, 2) else None, "settings": settings}


def check_cases(bundle, count, longest):
    """As many random generations on both sides; every token is equal."""
    pipeline, rng = Pipeline.open(bundle, threads=1), np.random.default_rng(count)
    cases = [random_case(rng, pipeline, longest) for _ in range(count)]
    sent = [case | {"audio": None if case["audio"] is None else case["audio"].tolist()} for case in cases]
    for case, made in zip(cases, in_javascript(bundle, told(bundle), cases=sent), strict=True):
        seen = []
        wanted = pipeline.generate(
            case["text"], case["audio"], pipeline.sample_rate,
            on_step=lambda step, seen=seen: seen.append(step.column), **case["settings"],
        )  # fmt: skip
        assert made["codes"] == wanted.codes.ravel().tolist(), case["settings"]
        assert made["columns"] == seen
        assert np.abs(np.array(made["audio"]) - wanted.audio.ravel()).max() < 1e-4


@needs_node
def test_a_generation_has_the_same_tokens(golden_bundle, any_rate):
    """Small models with random weights, of which some windows are passed."""
    check_cases(golden_bundle, 16, 2)


@needs_node
@pytest.mark.slow
def test_the_courses_model_writes_the_same_tokens(tmp_path_factory):
    check_cases(exported(MODELS, tmp_path_factory), 50, 3)


@needs_node
def test_an_impossible_prompt_is_told(golden_bundle, any_rate):
    case = {"text": None, "audio": [0.0] * 5000, "settings": {"seconds": 0.05}}
    with pytest.raises(AssertionError, match="as long as the whole"):
        in_javascript(golden_bundle, told(golden_bundle), cases=[case])
