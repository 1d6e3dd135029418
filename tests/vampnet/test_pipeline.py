"""The pipeline: chunks, ends, what callers see and are refused, bundles, and life without PyTorch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from fabricate import plain_pipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from helpers.runtime.manifest import MANIFEST, load_manifest
from helpers.support.errors import InputError, Notice
from helpers.vampnet.pipeline import GRAPHS, Pipeline, keep_the_ends

ROOT = Path(__file__).parents[2]
quick = settings(max_examples=60, deadline=None)
PLAIN = plain_pipeline()
MASK = PLAIN.mask_token


@st.composite
def problems(draw):
    """Codes with all books or only the coarse ones, a mask, and the settings of a vamp."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = draw(st.integers(1, 3)), draw(st.sampled_from([2, 3, 4])), draw(st.integers(1, 30))
    codes = rng.integers(0, MASK + draw(st.booleans()), shape)
    mask = (rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))).astype(np.int64)
    options = {
        "greedy": draw(st.booleans()),
        "chunk": draw(st.sampled_from([None, 1, 2, 7, 100])),
        "steps": draw(st.integers(1, 3)),
    }
    return codes, mask, options


def vamp(codes, mask, options, seed=0, pipeline=PLAIN):
    return pipeline.vamp(codes, mask, fine_steps=2, fine_chunk=options["chunk"], seed=seed, **options)


# --- The loops over chunks


@quick
@given(problems())
def test_a_vamp_changes_only_what_is_masked_and_leaves_no_mask(problem):
    codes, mask, _ = problem
    result = vamp(*problem)
    assert result.shape == (len(codes), 4, codes.shape[2]) and result.dtype == np.int64
    n_given = codes.shape[1]
    kept = (mask == 0) & (codes != MASK)
    assert np.array_equal(result[:, :n_given][kept], codes[kept])
    assert result.min() >= 0 and result.max() < MASK


@quick
@given(problems(), st.booleans())
def test_a_batch_gives_each_item_what_it_gets_alone(problem, own_seeds):
    codes, mask, options = problem
    seeds = [7 + item * own_seeds for item in range(len(codes))]
    together = vamp(codes, mask, options, seeds if own_seeds else 7)
    for item, seed in enumerate(seeds):
        alone = vamp(codes[item : item + 1], mask[item : item + 1], options, seed)
        assert np.array_equal(together[item], alone[0])


@pytest.mark.parametrize("greedy", [False, True], ids=["sampled", "greedy"])
def test_a_batch_in_pytorch_gives_each_item_what_it_gets_alone(torch_pipeline, greedy):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 128, (3, 14, 60))
    mask = (rng.random(codes.shape) < [[[0.5]], [[0.9]], [[1.0]]]).astype(np.int64)
    together = torch_pipeline.vamp(codes, mask, steps=4, greedy=greedy, seed=(1, 2, 3))
    for item in range(3):
        alone = torch_pipeline.vamp(codes[[item]], mask[[item]], steps=4, greedy=greedy, seed=1 + item)
        assert np.array_equal(together[[item]], alone)


def test_a_batch_in_onnx_runtime_gives_each_item_what_it_gets_alone(onnx_pipeline, golden):
    audio = np.stack([golden["audio"], golden["audio"][::-1]])[:, None]
    codes = onnx_pipeline.encode(audio, 44100)
    mask = np.ones_like(codes)
    vamped = onnx_pipeline.vamp(codes, mask, steps=3, seed=4)
    sound = onnx_pipeline.decode(vamped)
    for item in range(2):
        assert np.array_equal(onnx_pipeline.encode(audio[item], 44100)[0], codes[item])
        assert np.array_equal(
            onnx_pipeline.vamp(codes[[item]], mask[[item]], steps=3, seed=4)[0], vamped[item]
        )
        assert np.abs(onnx_pipeline.decode(vamped[[item]])[0] - sound[item]).max() < 1e-5


def test_pytorch_and_onnx_runtime_sample_the_same_tokens(torch_pipeline, onnx_pipeline, golden):
    codes, mask = golden["codes"], np.ones_like(golden["codes"])
    mask[..., ::5] = 0
    options = {
        "steps": 6,
        "typical_mass": 0.5,
        "typical_min_tokens": 8,
        "top_p": 0.9,
        "temperature": 1.2,
        "seed": 3,
    }
    assert np.array_equal(
        torch_pipeline.vamp(codes, mask, **options), onnx_pipeline.vamp(codes, mask, **options)
    )


def test_one_seed_is_one_vamp_and_another_is_another():
    codes = np.zeros((1, 4, 50), np.int64)
    first, again, other = (PLAIN.vamp(codes, np.ones_like(codes), steps=3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and (first != other).mean() > 0.3


def test_a_seed_means_the_same_tokens_in_every_release():
    codes = np.zeros((1, 4, 20), np.int64)
    result = PLAIN.vamp(codes, np.ones_like(codes), steps=3, chunk=12, fine_chunk=12, seed=11)
    assert "".join(map(str, result[0, 0])) == "41050444113124141110"
    assert "".join(map(str, result[0, 3])) == "20620242421466626620"


def test_the_same_seed_gives_each_item_of_a_batch_the_same_noise():
    codes = np.zeros((2, 4, 50), np.int64)
    one, two = PLAIN.vamp(codes, np.ones_like(codes), steps=3, seed=5)
    assert np.array_equal(one, two)
    one, two = PLAIN.vamp(codes, np.ones_like(codes), steps=3, seed=(5, 6))
    assert not np.array_equal(one, two)


@quick
@given(st.integers(1, 25), st.integers(1, 30))
def test_chunks_cover_every_frame_once(n_frames, chunk):
    codes, seen = np.full((1, 4, n_frames), MASK), {"coarse": [], "c2f": []}

    def remember(step):
        if step.step == 0:
            seen[step.stage] += range(step.start, step.start + step.codes.shape[-1])

    result = PLAIN.vamp(codes, np.ones_like(codes), steps=2, chunk=chunk, fine_chunk=chunk, on_step=remember)
    assert seen == {"coarse": list(range(n_frames)), "c2f": list(range(n_frames))}
    assert (result < MASK).all()


def test_the_last_coarse_chunk_is_short_and_the_last_fine_one_is_padded(monkeypatch):
    lengths = {"coarse": [], "c2f": []}
    for name, graph in PLAIN.graphs.items():
        watch = lambda codes, name=name, graph=graph: (lengths[name].append(codes.shape[-1]), graph(codes))[1]  # noqa: E731
        monkeypatch.setitem(PLAIN.graphs, name, watch)
    codes = np.zeros((1, 4, 10), np.int64)
    PLAIN.vamp(codes, np.ones_like(codes), steps=1, fine_steps=1, chunk=4, fine_chunk=4)
    assert lengths == {"coarse": [4, 4, 2], "c2f": [4, 4, 4]}


def test_the_ends_are_kept_only_where_something_is():
    mask = np.ones((3, 2, 6), np.int64)
    mask[1, 0, 3] = 0
    mask[2] = 0
    result = keep_the_ends(mask)
    assert result[0].all() and not result[2].any()
    assert result[1].tolist() == [[0, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 0]]
    assert mask[1, 1].all()  # the argument is left alone


def test_mask_tokens_are_generated_even_at_the_ends_and_in_the_shortest_chunks():
    codes = np.zeros((1, 4, 6), np.int64)
    codes[0, :2, [0, 5]] = MASK
    for chunk in (1, 2, 3, 6):
        assert (PLAIN.coarse(codes, np.zeros_like(codes), steps=2, chunk=chunk) < MASK).all()


@pytest.mark.parametrize("n_books", [2, 3])
def test_absent_fine_books_are_made(n_books):
    codes = np.zeros((1, n_books, 9), np.int64)
    whole = np.zeros((1, 4, 9), np.int64)
    assert np.array_equal(PLAIN.fine(codes), PLAIN.fine(whole))
    assert np.array_equal(PLAIN.fine(codes)[:, :2], codes[:, :2])
    only_coarse = PLAIN.coarse(codes, np.ones_like(codes), steps=1)
    assert only_coarse.shape == codes.shape


def test_a_mask_may_hold_booleans_and_codes_any_integers():
    codes, mask = np.zeros((1, 4, 9), np.int16), np.ones((1, 4, 9), bool)
    assert np.array_equal(PLAIN.vamp(codes, mask), PLAIN.vamp(codes.astype(np.int64), mask.astype(np.int64)))


# --- What callers see


def test_on_step_sees_every_step():
    codes, mask, seen = np.zeros((2, 4, 9), np.int64), np.ones((2, 4, 9), np.int64), []
    mask[1, :, ::2] = 0
    result = PLAIN.vamp(codes, mask, steps=3, fine_steps=2, chunk=5, fine_chunk=6, on_step=seen.append)
    order = [(s.stage, s.chunk, s.n_chunks, s.start, s.step, s.n_steps) for s in seen]
    assert order == [("coarse", i, 2, 5 * i, step, 3) for i in range(2) for step in range(3)] + [
        ("c2f", i, 2, 6 * i, step, 2) for i in range(2) for step in range(2)
    ]
    for step in seen:
        n_books = 2 if step.stage == "coarse" else 4
        length = {("coarse", 0): 5, ("coarse", 1): 4, ("c2f", 0): 6, ("c2f", 1): 3}[step.stage, step.chunk]
        assert step.codes.shape == step.masked.shape == step.confidence.shape == (2, n_books, length)
        assert step.masked.dtype == bool and step.confidence.dtype == np.float32
        assert (step.codes < MASK).all() and step.masked.any() == (step.step + 1 < step.n_steps)
    assert np.array_equal(seen[-1].codes, result[..., 6:])


@pytest.mark.parametrize("stop_after", [1, 2, 4, 6])
def test_returning_false_stops(stop_after):
    codes, seen = np.zeros((1, 4, 9), np.int64), []

    def watch(step):
        seen.append(step)
        return len(seen) < stop_after

    result = PLAIN.vamp(codes, np.ones_like(codes), steps=4, fine_steps=3, on_step=watch)
    assert len(seen) == stop_after
    last = seen[-1].codes
    assert np.array_equal(result[:, : last.shape[1]], last)
    assert result.shape == codes.shape


def test_filters_and_temperature_reach_both_models():
    codes = np.zeros((1, 4, 60), np.int64)
    plain = PLAIN.vamp(codes, np.ones_like(codes), steps=3)
    for options in ({"top_p": 0.2}, {"typical_mass": 0.2, "typical_min_tokens": 1}, {"temperature": 9.0},
                    {"mask_temperature": 0.0}, {"sample_cutoff": 0.0}):  # fmt: skip
        changed = PLAIN.vamp(codes, np.ones_like(codes), steps=3, **options) != plain
        assert changed[:, :2].any(), options
        assert changed[:, 2:].any(), options


@pytest.mark.parametrize("name", ["cfg_guidance", "feedback_steps", "time_stretch_factor"])
@pytest.mark.parametrize("method", ["coarse", "fine", "vamp"])
def test_what_is_not_there_is_refused_by_name(name, method):
    codes = np.zeros((1, 4, 3), np.int64)
    with pytest.raises(InputError, match=f"^{name} is not supported"):
        getattr(PLAIN, method)(codes, np.ones_like(codes), **{name: 2})
    with pytest.raises(TypeError, match="typo"):
        getattr(PLAIN, method)(codes, np.ones_like(codes), typo=2)


CODES = np.zeros((1, 4, 5), np.int64)


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        (CODES[0], "shaped"),
        (CODES.astype(np.float32), "float32"),
        (CODES.astype(bool), "bool"),
        (CODES[:, :1], "codebooks"),
        (np.zeros((1, 5, 5), int), "codebooks"),
        (CODES[..., :0], "empty"),
        (CODES[:0], "empty"),
        (CODES - 1, "between"),
        (CODES + MASK + 1, "between"),
        (np.array("text"), "shaped"),
    ],
    ids=str,
)
def test_codes_that_make_no_sense_are_refused(codes, says):
    for call in (PLAIN.decode, PLAIN.fine, lambda codes: PLAIN.vamp(codes, np.ones(codes.shape, int))):
        with pytest.raises(InputError, match=says) as refusal:
            call(codes)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((1, 4, 4), int),
        np.ones((4, 5), int),
        np.full((1, 4, 5), 0.5),
        np.full((1, 4, 5), 2),
        np.full((1, 4, 5), -1),
    ],
)
def test_masks_that_make_no_sense_are_refused(mask):
    for method in (PLAIN.coarse, PLAIN.fine, PLAIN.vamp):
        with pytest.raises(InputError, match="mask"):
            method(CODES, mask)


@pytest.mark.parametrize(
    "options",
    [
        {"chunk": 0},
        {"chunk": 2.5},
        {"chunk": True},
        {"seed": -1},
        {"seed": (1, 2)},
        {"steps": 0},
        {"temperature": 0},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused_by_name(options):
    for method in (PLAIN.coarse, PLAIN.fine):
        with pytest.raises(InputError, match=next(iter(options))):
            method(CODES, np.ones_like(CODES), **options)


# --- Audio


def test_audio_of_any_layout_is_one_batch(torch_pipeline, golden):
    stereo = golden["stereo_audio"][:, :8000]
    assert torch_pipeline.encode(stereo[0], 44100).shape == (1, 14, 11)
    codes = torch_pipeline.encode(stereo[None], 44100)
    assert np.array_equal(codes, torch_pipeline.encode(stereo, 44100))
    assert torch_pipeline.encode(np.stack([stereo, stereo]), 44100).shape == (2, 14, 11)


def test_audio_at_another_rate_needs_conditioning(torch_pipeline):
    audio = np.zeros(3000, np.float32)
    with pytest.raises(InputError, match="22050 Hz.*44100"):
        torch_pipeline.encode(audio, 22050, condition=False)
    assert torch_pipeline.encode(audio, 22050).shape == (1, 14, 8)


@pytest.mark.parametrize("n_samples", [1, 767, 768, 769])
def test_a_frame_for_every_hop_begun(torch_pipeline, n_samples):
    codes = torch_pipeline.encode(np.full(n_samples, 0.1, np.float32), 44100, condition=False)
    assert codes.shape == (1, 14, -(-n_samples // 768))
    assert torch_pipeline.decode(codes).shape == (1, 1, 768 * codes.shape[-1])


def test_mask_sounds_as_token_zero(torch_pipeline, golden):
    codes = golden["codes"][..., :5].copy()
    codes[0, 3, 2] = 0
    expected = torch_pipeline.decode(codes)
    codes[0, 3, 2] = torch_pipeline.mask_token
    assert np.array_equal(torch_pipeline.decode(codes), expected)


def test_long_audio_in_pieces_equals_the_whole_in_onnx_runtime(onnx_pipeline, golden, monkeypatch):
    monkeypatch.setattr("helpers.vampnet.pipeline.PIECE_SECONDS", 0.7)
    assert np.array_equal(onnx_pipeline.encode(golden["audio"], 44100, condition=False), golden["codes"])
    assert np.abs(onnx_pipeline.decode(golden["codes"]) - golden["decoded_audio"]).max() < 1e-4


# --- Bundles


@pytest.fixture
def copied(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "bundle")


def test_the_contract_of_a_pipeline(onnx_pipeline, bundle):
    assert (onnx_pipeline.sample_rate, onnx_pipeline.hop) == (44100, 768)
    assert (onnx_pipeline.n_codebooks, onnx_pipeline.mask_token, onnx_pipeline.codebook_size) == (
        14,
        128,
        128,
    )
    assert (onnx_pipeline.n_coarse_codebooks, onnx_pipeline.n_conditioning_codebooks) == (4, 4)
    manifest = load_manifest(bundle)
    assert manifest["mask_token"] == 128 and manifest["coarse_chunk"] == 575 and manifest["c2f_chunk"] == 173


@pytest.mark.parametrize("name", [MANIFEST, *(f"{name}.onnx" for name in GRAPHS)])
def test_a_bundle_that_lacks_a_file_is_refused(copied, name):
    (copied / name).unlink()
    with pytest.raises(InputError, match=name):
        Pipeline.open(copied)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{}", b"null"], ids=repr)
def test_a_damaged_manifest_is_refused(copied, content):
    (copied / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=MANIFEST):
        Pipeline.open(copied)


@pytest.mark.parametrize(
    ("field", "value"),
    [("hop", 0), ("hop", "768"), ("n_codebooks", -1), ("codebook_size", None), ("sample_rate", 44100.5)],
)
def test_a_manifest_with_a_senseless_value_is_refused(copied, field, value):
    manifest = load_manifest(copied)
    (copied / MANIFEST).write_text(json.dumps(manifest | {field: value}))
    with pytest.raises(InputError, match=field):
        Pipeline.open(copied)


@pytest.mark.parametrize(
    "entries",
    [
        {"n_coarse_codebooks": 99},
        {"n_conditioning_codebooks": 99},
        {"hop": 1 << 20, "encoder_context": 99},
        {"coarse_chunk": 10**5},
    ],
    ids=str,
)
def test_a_manifest_of_an_impossible_model_is_refused(copied, entries):
    (copied / MANIFEST).write_text(json.dumps(load_manifest(copied) | entries))
    with refused(MANIFEST, "no possible model"):
        Pipeline.open(copied)


@pytest.mark.parametrize("damage", ["text", "truncated", "empty", "another graph"])
def test_a_damaged_graph_is_refused_when_it_is_used(copied, damage):
    path = copied / "coarse.onnx"
    content = {
        "text": b"this is not a graph",
        "truncated": path.read_bytes()[:5000],
        "empty": b"",
        "another graph": (copied / "codec_encoder.onnx").read_bytes(),
    }[damage]
    path.write_bytes(content)
    pipeline, codes = Pipeline.open(copied), np.zeros((1, 14, 3), np.int64)
    with pytest.raises(InputError, match="coarse.onnx") as refusal:
        pipeline.coarse(codes, np.ones_like(codes))
    assert "\n" not in str(refusal.value)


def test_a_provider_that_is_not_there_is_announced(bundle):
    with pytest.warns(
        Notice, match="CUDAExecutionProvider is not available here .*: using CPUExecutionProvider"
    ):
        pipeline = Pipeline.open(bundle, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert pipeline.graphs["coarse"].session.get_providers() == ["CPUExecutionProvider"]


def test_a_provider_that_does_not_start_is_announced(bundle, monkeypatch):
    """As where the GPU build of ONNX Runtime is installed and the driver is not."""

    class CpuOnly(onnxruntime.InferenceSession):
        def __init__(self, path, options, providers):
            super().__init__(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", CpuOnly)
    with pytest.warns(
        Notice, match="CUDAExecutionProvider could not be started: coarse.onnx uses CPUExecutionProvider"
    ):
        assert Pipeline.open(bundle, providers=["CUDAExecutionProvider"]).graphs["coarse"].session


# --- Without PyTorch


def python(code, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_importing_the_runtime_loads_none_of_the_big_libraries():
    big = (
        "torch",
        "librosa",
        "matplotlib",
        "onnxruntime",
        "onnx",
        "scipy",
        "soundfile",
        "soxr",
        "pyloudnorm",
        "IPython",
    )
    result = python(
        f"import sys, helpers.vampnet.pipeline; print([name for name in {big} if name in sys.modules])"
    )
    assert result.stdout == "[]\n", result.stderr


ONLY_NUMPY_AND_ONNXRUNTIME = """
import importlib.abc, sys

class Wall(importlib.abc.MetaPathFinder):
    allowed = {"numpy", "onnxruntime", "helpers", *sys.stdlib_module_names}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Wall())
import numpy as np
from helpers.vampnet.pipeline import Pipeline
p = Pipeline.open(sys.argv[1])
audio = (0.1 * np.random.default_rng(0).standard_normal(5000)).astype(np.float32)
codes = p.encode(audio, p.sample_rate, condition=False)
vamped = p.vamp(codes, np.ones_like(codes), steps=2)
print(codes.shape, vamped.shape, p.decode(vamped).shape)
try:
    p.encode(audio, 22050)
except ValueError as error:
    print(error)
"""


def test_a_vamp_needs_only_numpy_and_onnxruntime(bundle):
    result = python(ONLY_NUMPY_AND_ONNXRUNTIME, bundle)
    assert result.returncode == 0, result.stderr
    shapes, refusal = result.stdout.splitlines()
    assert shapes == "(1, 14, 7) (1, 14, 7) (1, 1, 5376)"
    assert "soxr" in refusal
