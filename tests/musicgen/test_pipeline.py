"""What the pipeline promises: state that can be cut, sound that streams, prompts of any kind."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refused

from helpers.musicgen.past import Condition
from helpers.musicgen.pipeline import Pipeline
from helpers.runtime.cache import BLOCK
from helpers.support.errors import InputError

TEXT = "slow sad piano"
few = hypothesis_settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def columns(pipeline, batch, n, seed=0):
    return np.random.default_rng(seed).integers(
        0, pipeline.special_token + 1, (batch, pipeline.n_codebooks, n)
    )


def codes(pipeline, batch, n, seed=0):
    return columns(pipeline, batch, n, seed) % pipeline.codebook_size


def sound(n, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, n)).astype(np.float32) / 10


@few
@given(cuts=st.lists(st.integers(1, 39), max_size=4), batch=st.integers(1, 3))
def test_a_past_may_be_cut_anywhere(onnx, cuts, batch):
    given_columns = columns(onnx, batch, 40)
    condition = onnx.text([TEXT, None, "drums"][:batch])
    whole, _ = onnx.logits(given_columns, condition)
    parts, past = [], None
    for part in np.split(given_columns, sorted(set(cuts)), axis=2):
        logits, past = onnx.logits(part, condition, past)
        parts.append(logits)
    np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, atol=1e-4)


def test_one_past_goes_on_twice_and_grows(pipeline):
    condition, first = pipeline.text(TEXT), columns(pipeline, 1, 3)
    _, past = pipeline.logits(first, condition)
    branches = [columns(pipeline, 1, BLOCK, seed) for seed in (1, 2)]
    middles = [pipeline.logits(branch, condition, past)[1] for branch in branches]
    last = columns(pipeline, 1, 1, seed=3)
    for branch, middle in zip(branches, middles):
        found, _ = pipeline.logits(last, condition, middle)
        whole, _ = pipeline.logits(np.concatenate([first, branch, last], axis=2), condition)
        np.testing.assert_allclose(found, whole[:, :, -1:], atol=1e-4)


def test_a_past_may_go_on_with_another_text(onnx):
    one, other = onnx.text(TEXT), onnx.text("drums")
    given_columns = columns(onnx, 1, 6)
    _, past = onnx.logits(given_columns[:, :, :5], one)
    same, _ = onnx.logits(given_columns[:, :, 5:], one, past)
    changed, _ = onnx.logits(given_columns[:, :, 5:], other, past)
    assert np.abs(same - changed).max() > 1e-3


def test_a_column_does_not_look_ahead(pipeline):
    condition, given_columns = pipeline.text(TEXT), columns(pipeline, 1, 9)
    before, _ = pipeline.logits(given_columns, condition)
    given_columns[:, :, -1] = (given_columns[:, :, -1] + 1) % pipeline.codebook_size
    after, _ = pipeline.logits(given_columns, condition)
    np.testing.assert_allclose(after[:, :, :-1], before[:, :, :-1], atol=1e-5)
    assert np.abs(after[:, :, -1] - before[:, :, -1]).max() > 1e-3


@few
@given(cuts=st.lists(st.integers(1, 59), max_size=6), frames=st.integers(1, 40))
def test_sound_in_pieces_is_the_sound_at_once(onnx, cuts, frames):
    whole_codes = codes(onnx, 2, 60)
    at_once = onnx.graphs["encodec_decoder"](whole_codes)[0]
    parts = np.split(whole_codes, sorted(set(cuts)), axis=2)
    pieces = list(onnx.decode_stream(parts, frames))
    np.testing.assert_allclose(np.concatenate(pieces, axis=-1), at_once, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 2000, 64 * 40 + 1])
def test_codes_in_windows_are_the_codes_at_once(pipeline, monkeypatch, n_samples):
    audio = sound(n_samples)
    at_once = pipeline.graphs["encodec_encoder"](audio[None])[0]
    monkeypatch.setattr("helpers.musicgen.pipeline.PIECE_SECONDS", 0.1)  # 5 frames
    np.testing.assert_array_equal(pipeline.encode(audio, pipeline.sample_rate), at_once)


def test_streaming_gives_what_generate_gives(onnx):
    options = {"text": TEXT, "prompt": sound(1300), "prompt_rate": onnx.sample_rate, "seconds": 1.6,
               "window_seconds": 0.9, "seed": 3}  # fmt: skip
    made = onnx.generate(**options)
    arrived = []
    steps = []
    for piece in onnx.stream(**options, on_step=steps.append):
        arrived.append((len(steps), piece))
    np.testing.assert_allclose(np.concatenate([p for _, p in arrived], axis=-1), made.audio, atol=1e-5)
    assert arrived[0][0] < len(steps) / 2  # it sounds long before it is made


def test_a_recording_of_any_rate_and_channels(pipeline):
    rate = pipeline.sample_rate
    mono = sound(1000)
    stereo = np.concatenate([mono, mono])
    one, two = (pipeline.encode(audio, rate) for audio in (mono, stereo))
    np.testing.assert_array_equal(one, two)
    made = pipeline.generate(prompt=sound(8000, 2), prompt_rate=2 * rate, seconds=1.5, greedy=True)
    assert made.prompt_frames == -(-4000 // pipeline.hop)
    assert made.audio.shape == (1, 1, made.codes.shape[2] * pipeline.hop)


@pytest.mark.parametrize("n_samples", [1, 100])
def test_a_prompt_of_one_sample_and_of_silence(onnx, n_samples):
    made = onnx.generate(prompt=np.zeros(n_samples, np.float32), prompt_rate=onnx.sample_rate, seconds=0.3)
    assert made.codes.shape == (1, 4, 15) and np.isfinite(made.audio).all()


def test_a_prompt_longer_than_a_window(onnx):
    prompt = sound(64 * 100)
    made = onnx.generate(prompt=prompt, prompt_rate=onnx.sample_rate, seconds=2.2, window_seconds=0.6)
    np.testing.assert_array_equal(made.codes[:, :, :100], onnx.encode(prompt, onnx.sample_rate))
    assert made.codes.shape[2] == 110


@pytest.mark.parametrize("greedy", [True, False])
def test_prompts_of_unequal_length_get_what_each_gets_alone(onnx, greedy):
    prompts = [sound(640, seed=1), sound(1900, seed=2)[0]]
    options = {"prompt_rate": onnx.sample_rate, "seconds": 1.4, "window_seconds": 0.8, "greedy": greedy}
    together = onnx.generate(text=["drums", "drums"], prompt=prompts, seed=[4, 9], **options)
    assert together.prompt_frames == (10, 30)
    for i, prompt in enumerate(prompts):
        alone = onnx.generate(text="drums", prompt=prompt, seed=[4, 9][i], **options)
        np.testing.assert_array_equal(together.codes[i], alone.codes[0])


def test_a_seed_is_one_piece_of_music(pipeline):
    first, again = (pipeline.generate(TEXT, seconds=0.4, seed=7).codes for _ in range(2))
    np.testing.assert_array_equal(first, again)
    three = pipeline.generate(TEXT, seconds=0.4, seed=[7, 8, 7], batch=3).codes
    np.testing.assert_array_equal(three[0], first[0])
    np.testing.assert_array_equal(three[0], three[2])
    assert (three[1] != three[0]).any()


def test_both_runtimes_sample_the_same_tokens(onnx, reference):
    options = {"text": [TEXT, "drums"], "seconds": 0.8, "seed": 11, "temperature": 1.1, "top_k": 20}
    np.testing.assert_array_equal(onnx.generate(**options).codes, reference.generate(**options).codes)


def test_guidance_is_skipped_where_it_does_nothing(reference, monkeypatch):
    batches = []
    logits = type(reference).logits

    def watched(self, given_columns, *others):
        batches.append(len(given_columns))
        return logits(self, given_columns, *others)

    monkeypatch.setattr(type(reference), "logits", watched)
    for options, rows in (
        ({"text": TEXT}, 2),
        ({"text": TEXT, "guidance": 1}, 1),
        ({}, 1),
        ({"text": [None]}, 1),
    ):
        batches.clear()
        reference.generate(seconds=0.1, **options)
        assert set(batches) == {rows}, options


@pytest.mark.parametrize("stop_at", [0, 3, 9])
def test_stopping_keeps_what_is_complete(onnx, stop_at):
    seen = []

    def on_step(step):
        seen.append(step)
        return len(seen) <= stop_at

    options = {"text": TEXT, "seconds": 0.5, "greedy": True}
    whole, made = onnx.generate(**options), onnx.generate(**options, on_step=on_step)
    n_frames = max(0, seen[-1].column - max(onnx.spec.delays))
    np.testing.assert_array_equal(made.codes, whole.codes[:, :, :n_frames])
    assert made.audio.shape[-1] == n_frames * onnx.hop
    assert seen[-1].codes.shape == whole.codes.shape and seen[-1].n_columns == whole.codes.shape[2] + 4


@pytest.mark.parametrize(
    "options, fragments",
    [
        ({"seconds": 0}, ["seconds"]),
        ({"seconds": float("nan")}, ["seconds"]),
        ({"seconds": "ten"}, ["seconds"]),
        ({"seconds": 1e9}, ["seconds"]),
        ({"seconds": 0.001}, ["seconds", "frame"]),
        ({"prompt": sound(900)}, ["prompt_rate"]),
        ({"prompt": sound(9000), "prompt_rate": 3200, "seconds": 1}, ["prompt", "seconds"]),
        ({"prompt": np.zeros((1, 0), np.float32), "prompt_rate": 3200}, ["empty"]),
        ({"prompt": np.zeros((4, 4, 4, 4), np.float32), "prompt_rate": 3200}, ["dimensions"]),
        ({"prompt": [], "prompt_rate": 3200}, ["empty"]),
        ({"prompt": np.full(900, np.nan, np.float32), "prompt_rate": 3200}, ["NaN"]),
        ({"prompt": sound(900), "prompt_rate": 0}, ["rate"]),
        ({"text": ["a", "b"], "prompt": [sound(64)] * 3, "prompt_rate": 3200}, ["2 texts", "3"]),
        ({"text": 5}, ["text"]),
        ({"text": [5]}, ["text"]),
        ({"text": "x" * 10_000}, ["characters"]),
        ({"seed": -1}, ["seed"]),
        *(({name: -(10**5000)}, [name]) for name in ("seconds", "temperature", "guidance", "top_k", "seed")),
        ({"batch": 10**9}, ["batch"]),
        ({"temperature": np.complex64(1)}, ["temperature"]),
        ({"prompt": [[[0.1, 0.2], [0.3]]], "prompt_rate": 3200}, ["equal length"]),
        ({"prompt": sound(900), "prompt_rate": 10**5000}, ["resample"]),
        ({"batch": 0}, ["batch"]),
        ({"temperature": -1}, ["temperature"]),
        ({"seconds": 3, "window_seconds": 1, "stride_seconds": 1}, ["stride_seconds"]),
    ],
)
def test_what_makes_no_sense_is_one_line(reference, options, fragments):
    with refused(*fragments):
        reference.generate(**options)


def test_codes_and_ids_that_are_not(reference):
    for wrong in (
        np.zeros((1, 3, 5), int),
        np.zeros((1, 4, 0), int),
        np.full((1, 4, 2), 128),
        np.zeros((4, 5)),
    ):
        with refused("codes"):
            reference.decode(wrong)
    for ids in (np.zeros((1, 0), int), np.full((1, 3), 10**6), np.zeros(3, int), np.zeros((1, 3))):
        with refused("ids"):
            reference.text(ids=ids)
    with refused("2 items", "1 texts"):
        reference.logits(columns(reference, 2, 3), reference.text(TEXT))
    with refused("equal length"):
        reference.text(ids=[[1, 2], [3]])
    _, past = reference.logits(columns(reference, 1, 3), reference.text(TEXT))
    with refused("2 items", "a past of 1"):
        reference.logits(columns(reference, 2, 1), reference.text([TEXT, TEXT]), past)
    with refused("can't follow"):
        list(reference.decode_stream([codes(reference, 1, 3), codes(reference, 2, 3)]))


def test_numpys_own_numbers_are_numbers(reference):
    options = {"guidance": np.int8(3), "temperature": np.float16(1), "seed": np.int8(1), "top_k": np.int8(9)}
    made = reference.generate(seconds=np.int8(3), **options)
    assert made.codes.shape[2] == 150  # which 8 bits can't hold
    prompt = sound(900).astype(np.float16)
    reference.generate(prompt=prompt, prompt_rate=np.int16(3200), seconds=np.float16(0.5))


@pytest.mark.parametrize("name", ["encodec_encoder", "encodec_decoder", "text_encoder", "lm"])
@pytest.mark.parametrize(
    "made", [np.zeros((1, 4, 5), np.float32), (np.zeros(3),), (np.zeros((1, 4, 1, 128)),) * 2]
)
def test_graphs_of_another_model(reference, name, made):
    pipeline = Pipeline(reference.spec, reference.graphs | {name: lambda *arrays, **more: made})
    with refused("export"):
        pipeline.encode(sound(64), 3200) if name == "encodec_encoder" else None
        condition = pipeline.text(ids=np.ones((1, 3), int))
        pipeline.logits(columns(pipeline, 1, 1), condition)
        pipeline.decode(codes(pipeline, 1, 3))


def test_a_graph_that_fails_on_much_says_it_in_a_line(onnx):
    with pytest.raises(InputError) as caught:
        onnx.graphs["text_encoder"](*[np.zeros(1)] * 10_000)
    assert len(str(caught.value)) < 800


def test_a_text_without_a_tokenizer(musicgen_bundle, reference):
    bare = Pipeline(reference.spec, reference.graphs)
    with refused("tokenizer"):
        bare.generate(TEXT)
    assert bare.generate(seconds=0.1).codes.shape == (1, 4, 5)


def test_nothing_to_read_says_nothing(reference):
    nothing = reference.text([None, None])
    assert isinstance(nothing, Condition) and not nothing.says_something and len(nothing.states) == 2


def test_running_a_bundle_needs_no_torch(musicgen_bundle):
    code = (
        "import sys; from helpers.musicgen.pipeline import Pipeline; import helpers.musicgen.files;"
        f"p = Pipeline.open({str(musicgen_bundle)!r}, threads=1); p.generate('drums', seconds=0.1, seed=1);"
        "print([m for m in ('torch', 'onnx', 'librosa', 'scipy', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]", run.stdout
