"""The loop in JavaScript is the loop in Python: noise, masks, filters, loudness, windows, and a whole vamp.

The page's modules run in plain node, beside numpy, over random cases with fixed seeds; the graphs are made of
whole numbers, so that both sides get the same logits and every token can be compared.
"""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from helpers import audio as sound
from helpers.runtime.sampling import filter_top_p, filter_typical
from helpers.runtime.windows import Layout
from helpers.vampnet.decoding import Settings, choose, cosine_schedule, n_remasked
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.spec import Spec
from helpers.vampnet.vamp import PRESETS, Prompt, vamp_audio

HERE = Path(__file__).parent
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node, which runs the page's modules here")
RATE = 8000  # the lowest that is metered as it is
N_VAMPS = 60


def in_javascript(*cases):
    """What tests/web/loop.mjs makes of the cases."""
    run = subprocess.run(
        [NODE, str(HERE / "loop.mjs")], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def spec_of(rng, **changes):
    """A model of any sizes."""
    n_coarse = int(rng.integers(1, 4))
    n_codebooks, n_kept = n_coarse + int(rng.integers(1, 4)), int(rng.integers(0, n_coarse + 1))
    numbers = {
        "sample_rate": RATE, "hop": int(rng.integers(2, 30)), "n_codebooks": n_codebooks,
        "codebook_size": int(rng.integers(9, 40)), "n_coarse_codebooks": n_coarse,
        "n_conditioning_codebooks": n_kept, "encoder_context": int(rng.integers(0, 3)),
        "decoder_context": int(rng.integers(0, 3)), "shortest_input": int(rng.integers(1, 3)),
        "coarse_chunk": int(rng.integers(5, 60)), "c2f_chunk": int(rng.integers(3, 40)),
    }  # fmt: skip
    return Spec(**numbers | changes)


def graphs_of(spec):
    """The graphs of loop.mjs."""
    books, size, hop = spec.n_codebooks, spec.codebook_size, spec.hop

    def around(frames, context):
        padded = np.pad(frames, (context, context))
        return np.lib.stride_tricks.sliding_window_view(padded, 2 * context + 1).sum(-1)

    def encoder(audio):
        frames = np.floor(audio[0, 0].astype(float) * 100).astype(np.int64).reshape(-1, hop).sum(-1)
        wide = around(frames, spec.encoder_context)
        return (wide * np.arange(1, books + 1)[:, None] % size)[None]

    def weighted(codes):
        return (codes[0] * np.arange(1, codes.shape[1] + 1)[:, None]).sum(0)

    def decoder(codes):
        frames = around(weighted(codes), spec.decoder_context).repeat(hop)
        return ((frames + 5 * np.arange(len(frames))) % 97 / 97 - 0.5).astype(np.float32)[None, None]

    def model(predicted):
        def logits(codes):
            frames = around(weighted(codes), 1) + 3 * np.arange(codes.shape[-1])
            places = frames[None, :, None] + 31 * np.arange(size) + 7 * np.arange(predicted)[:, None, None]
            return ((13 * places * places + 7919 * places) % 10007 / 1500 - 3).astype(np.float32)[None]

        return logits

    fine = books - spec.n_conditioning_codebooks
    return {
        "codec_encoder": encoder,
        "codec_decoder": decoder,
        "coarse": model(spec.n_coarse_codebooks),
        "c2f": model(fine),
    }


# --- Noise


@pytest.mark.parametrize("entropy", [[0, 0, 0, 0, 0], [1], [2**32 - 1, 2**32], [2**63 - 1, 1, 2, 3, 4, 5]])
def test_noise_is_numpys_bit_for_bit(entropy):
    generator = np.random.Generator(np.random.PCG64(entropy))
    parts = [(3, 0), (0, 1), (7, 1), (2, 0), (1, 1), (5, 0), (1024, 1), (4, 0), (1025, 1), (6, 1), (3, 0)]
    drawn = generator.random(sum(n for n, _ in parts), dtype=np.float32)
    pieces = np.split(drawn, np.cumsum([n for n, _ in parts])[:-1])
    wanted = np.concatenate([piece for piece, (_, skipped) in zip(pieces, parts) if not skipped])
    words = list(map(str, entropy))
    floats, doubles = in_javascript(
        {"does": "floats", "entropy": words, "parts": parts}, {"does": "doubles", "entropy": words, "n": 50}
    )
    assert floats == wanted.astype(float).tolist()
    assert doubles == np.random.Generator(np.random.PCG64(entropy)).random(50).tolist()


# --- Masks


def test_masks_are_the_same():
    rng, cases, wanted = np.random.default_rng(1), [], []
    for case in range(200):
        spec, seed = spec_of(rng), int(rng.integers(2**40))
        prompt = Prompt(
            periodic=int(rng.integers(0, 12)), width=int(rng.integers(0, 9)), roll=int(rng.integers(-9, 30)),
            prefix=float(rng.random() / 4), suffix=float(rng.random() / 4),
            random=float(rng.choice([1, 0, rng.random()])), dropout=float(rng.choice([0, 1, rng.random()])),
            codebooks=None if case % 3 == 0 else int(rng.integers(0, 8)),
        )  # fmt: skip
        frames = int(rng.integers(1, 90))
        pipeline = Pipeline(spec, {})
        shape = (1, spec.n_codebooks, frames)
        wanted.append(prompt.mask(pipeline, shape, np.zeros((1, 9)), RATE, seed).ravel().tolist())
        given = {"prompt": vars(prompt), "spec": asdict(spec), "frames": frames, "seed": seed}
        cases.append({"does": "mask", **given})
    assert in_javascript(*cases) == wanted


def test_the_page_begins_with_the_rules_of_the_command():
    spec = spec_of(np.random.default_rng(0), n_codebooks=6)
    (mask,) = in_javascript({"does": "mask", "prompt": {}, "spec": asdict(spec), "frames": 30, "seed": 0})
    wanted = PRESETS["variation"].mask(Pipeline(spec, {}), (1, 6, 30), np.zeros((1, 9)), RATE)
    assert mask == wanted.ravel().tolist()


# --- Choosing tokens


def test_filters_keep_the_same_tokens():
    rng, cases, wanted = np.random.default_rng(2), [], []
    for _ in range(100):
        logits = (rng.standard_normal(rng.integers(2, 300)) * 3).round(2).astype(np.float32)  # some are equal
        mass, least = float(rng.uniform(0.05, 1)), int(rng.integers(1, 70))
        cases += [
            {"does": "topP", "logits": logits.tolist(), "mass": mass},
            {"does": "typical", "logits": logits.tolist(), "mass": mass, "least": least},
        ]
        wanted += [np.isfinite(filter_top_p(logits, mass)).tolist()]
        wanted += [np.isfinite(filter_typical(logits, mass, least)).tolist()]
    assert in_javascript(*cases) == wanted


def test_the_most_probable_token_and_its_probability():
    rng, settings = np.random.default_rng(3), Settings(temperature=0.7, greedy=True)
    rows = (rng.standard_normal((50, 64)) * 3).astype(np.float32)
    cases = [{"does": "choose", "logits": row.tolist(), "settings": asdict(settings)} for row in rows]
    tokens, log_p = map(np.array, zip(*in_javascript(*cases)))
    wanted, wanted_log_p = choose(rows, settings, None)
    assert tokens.tolist() == wanted.tolist()
    assert np.abs(log_p - wanted_log_p).max() < 2e-6


def test_the_schedule_is_the_same():
    progress = [(step + 1) / steps for steps in range(1, 80) for step in range(steps)]
    counts = [(step, steps, n, n - step) for steps in (1, 2, 3, 7, 12, 48) for step in range(steps)
              for n in (49, 50, 1000, 8050)]  # fmt: skip
    schedule, remasked = in_javascript(
        {"does": "schedule", "progress": progress}, {"does": "remasked", "cases": counts}
    )
    assert schedule == [float(cosine_schedule(one)) for one in progress]
    assert remasked == [
        int(n_remasked(step, steps, np.array([n]), np.array([now]))[0]) for step, steps, n, now in counts
    ]


# --- Sound


def test_windows_are_the_same():
    rng, cases, wanted = np.random.default_rng(4), [], []
    for _ in range(200):
        frames, size, context = int(rng.integers(1, 900)), int(rng.integers(1, 400)), int(rng.integers(0, 40))
        cases.append({"does": "windows", "frames": frames, "size": size, "context": context})
        parts = Layout(1, 1, context).windows([np.arange(frames)[None, None]], size)
        wanted.append(
            [
                [int(w.x[0, 0, 0]), int(w.x[0, 0, -1]) + 1, w.keep.start, w.keep.stop]
                for part in parts
                for w in part
            ]
        )
    assert in_javascript(*cases) == wanted


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_loudness_is_the_same(rate):
    rng, cases, wanted = np.random.default_rng(rate), [], []
    for _ in range(12):
        n = int(rng.integers(1, rate))
        audio = (rng.standard_normal(n) * 10 ** rng.uniform(-6, 0.3)).astype(np.float32)
        audio[: n // 3] *= np.float32(rng.choice([0, 1]))
        reference = (rng.standard_normal(n) * 0.1).astype(np.float32)
        given = {"audio": audio.tolist(), "rate": rate}
        cases += [{"does": "loudness", **given}, {"does": "normalized", **given}]
        cases += [{"does": "matched", "reference": reference.tolist(), **given}]
        matched, missing = sound.match_level(audio, reference, rate)
        wanted += [sound.loudness(audio, rate)[0], sound.condition(audio, rate, rate, 1)[0, 0]]
        wanted += [(matched, missing[0])]
    for found, right in zip(in_javascript(*cases), wanted):
        if isinstance(right, tuple):
            assert np.abs(np.array(found[0]) - right[0]).max() < 1e-6
            assert found[1] == pytest.approx(right[1], abs=1e-6)
        else:
            assert np.abs(np.array(found) - right).max() < 1e-6


# --- All of it


def vamp_case(rng):
    """A model, a sound, a mask and settings, drawn at random."""
    spec = spec_of(rng)
    n = int(rng.integers(1, 120 * spec.hop))
    audio = (0.2 * rng.standard_normal(n)).astype(np.float32)
    shape = (1, spec.n_codebooks, -(-n // spec.hop) + spec.shortest_input - 1)
    mask = (rng.random(shape) < rng.choice([0, 0.1, 0.7, 1])).astype(np.int64)
    settings = {
        "seed": int(rng.integers(2**50)),
        "steps": int(rng.integers(1, 15)), "fine_steps": int(rng.integers(1, 5)),
        "temperature": float(rng.choice([0.3, 1, 1.7])), "mask_temperature": float(rng.choice([0, 3, 10.5])),
        "greedy": bool(rng.random() < 0.2), "typical_mass": [None, 0.2, 0.9][rng.integers(3)],
        "typical_min_tokens": int(rng.integers(1, 9)), "top_p": [None, 0.5, 0.95][rng.integers(3)],
        "sample_cutoff": float(rng.choice([1, 0.5])),
    }  # fmt: skip
    return spec, audio, mask, settings


@pytest.mark.parametrize("seed", range(4))
def test_a_vamp_has_the_same_tokens(seed):
    rng = np.random.default_rng(seed)
    drawn = [vamp_case(rng) for _ in range(N_VAMPS // 4)]
    cases = [
        {"does": "vamp", "spec": asdict(spec), "audio": audio.tolist(), "mask": mask.ravel().tolist(),
         "settings": settings}
        for spec, audio, mask, settings in drawn
    ]  # fmt: skip
    for made, (spec, audio, mask, settings) in zip(in_javascript(*cases), drawn):
        seen = []
        pipeline = Pipeline(spec, graphs_of(spec))
        wanted = vamp_audio(pipeline, audio[None], RATE, mask, on_step=seen.append, **settings)
        assert made["input"] == wanted.codes_in.ravel().tolist()
        assert made["codes"] == wanted.codes_out.ravel().tolist()
        assert made["mask"] == wanted.mask.ravel().tolist()
        assert made["steps"] == [[step.stage, step.chunk, step.step] for step in seen]
        assert np.abs(np.array(made["audio"]) - wanted.audio[0]).max() < 1e-6
        assert made["missing"] == pytest.approx(wanted.missing_db, abs=1e-6)


# --- Looks


def test_the_colours_are_those_of_the_notebooks():
    (palette,) = in_javascript({"does": "palette"})
    colours = matplotlib.colormaps["cividis"](np.linspace(0, 1, 256))[:, :3]
    assert palette == np.round(255 * colours).astype(int).ravel().tolist()
