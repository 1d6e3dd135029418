"""A vamp of sound that does not end: what the windows give one by one, joined; in constant memory."""

import itertools
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.support.errors import InputError
from helpers.vampnet.stream import VampStream
from helpers.vampnet.vamp import Prompt, vamp_audio

ROOT = Path(__file__).parents[2]
JOIN = 1e-6
MINUTES, WARM_UP, MOST_GROWTH = 10, 30, 30e6  # of sound; seconds of it; bytes


def cut(audio, lengths):
    """A sound in blocks of these lengths, again and again."""
    start = 0
    for length in itertools.cycle(lengths):
        if start >= len(audio):
            return
        yield audio[start : start + length]
        start += length


def joined_offline(vamp_window, audio, hop, context, fade):
    """What a stream should give, window by window, from the sound as a whole: the definition, in a loop."""
    n = len(audio)
    starts = [0]
    while starts[-1] + 2 * hop + context <= n:
        starts.append(starts[-1] + hop)
    if starts[-1] + hop + context <= n and starts[-1] + hop < n:
        starts.append(starts[-1] + hop)  # what is left behind the last whole window
    out, weights = np.zeros(n), np.zeros(n)
    rising = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / max(1, fade)) ** 2
    for i, start in enumerate(starts):
        is_last = i == len(starts) - 1
        begin, end = max(0, start - context), n if is_last else start + hop + context
        made = vamp_window(audio[None, begin:end], i)[0][start - begin :]
        weight = np.ones(n - start if is_last else hop + fade)
        if i:
            weight[:fade] = rising
        if not is_last:
            weight[hop:] = 1 - rising
        made = made[: len(weight)]
        out[start : start + len(made)] += weight * made
        weights[start : start + len(made)] += weight
    np.testing.assert_allclose(weights, 1, atol=1e-9)  # else the definition itself is wrong
    return out


def numbered(x, index):
    """A window that can be told from another and from another place in itself."""
    return (x * (1 + index) + np.linspace(0, 1, x.shape[-1])).astype(np.float32)


@settings(deadline=None, max_examples=200)
@given(
    n=st.integers(1, 400),
    hop=st.integers(1, 60),
    context=st.integers(0, 50),
    share=st.floats(0, 1),
    lengths=st.lists(st.integers(0, 90), min_size=1, max_size=5).filter(any),
)
def test_any_blocks_hop_and_context_give_the_windows_joined(n, hop, context, share, lengths):
    audio = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    fade = int(share * min(hop, context))

    def streamed(window):
        stream = VampStream(window, cut(audio, lengths), 100, hop, context, fade)
        return np.concatenate(list(stream))

    assert np.abs(streamed(lambda x, index: x) - audio).max() < JOIN
    expected = joined_offline(numbered, audio, hop, context, fade)
    assert np.abs(streamed(numbered) - expected).max() < JOIN * (1 + n / hop)  # it counts up, and so grows


def test_a_piece_leaves_as_soon_as_its_context_has_come():
    taken, left = 0, 0

    def blocks():
        nonlocal taken
        while True:
            taken += 7
            yield np.zeros(7)

    stream = VampStream(lambda x, index: x, blocks(), 100, 80, 30, 10)
    for piece in itertools.islice(stream, 20):
        left += len(piece)
        assert len(piece) == 80 and taken - left < 30 + 7 and taken >= left + 30
    assert stream.delay_seconds == 1.1


def test_memory_does_not_grow():
    block = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    stream = iter(VampStream(lambda x, index: x, itertools.repeat(block), 100, 3000, 1000, 100))
    for _ in itertools.islice(stream, 20):
        pass
    tracemalloc.start()
    try:
        for _ in itertools.islice(stream, 20):
            pass
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in itertools.islice(stream, 500):  # six megabytes of sound
            pass
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1e5 and peak - before < 5e5


@pytest.mark.parametrize(
    "hop_seconds, context_seconds, fade_seconds, block",
    [(0.5, 0.3, 0.05, 4000), (0.3, 0.1, 0.02, 50000), (0.7, 0.0, 0.0, 333)],
)
def test_the_stream_is_the_offline_vamp_of_its_windows(
    hop_seconds, context_seconds, fade_seconds, block, onnx_pipeline, golden
):
    p, rate = onnx_pipeline, onnx_pipeline.sample_rate
    audio = np.resize(golden["audio"].ravel(), int(1.9 * rate))
    how = {"steps": 3, "temperature": 0.9}
    prompt = Prompt(periodic=5, codebooks=4)
    stream = p.vamp_stream(
        cut(audio, [block, block // 3]), hop_seconds, context_seconds, fade_seconds, prompt, seed=5, **how
    )
    streamed = np.concatenate(list(stream))

    def window(x, index):
        return vamp_audio(p, x, rate, prompt, seed=5 + index, **how).audio

    expected = joined_offline(window, audio, stream.hop, stream.context, stream.fade)
    assert len(streamed) == len(audio) and np.abs(streamed - expected).max() < JOIN
    assert stream.hop % p.hop == 0 and abs(stream.hop - hop_seconds * rate) < p.hop
    assert stream.delay_seconds == pytest.approx(hop_seconds + context_seconds, abs=2 * p.hop / rate)
    assert np.abs(streamed - audio).max() > 0.01


def test_mistakes_are_told_before_any_sound_is_taken(onnx_pipeline):
    def never():
        raise AssertionError
        yield

    for wrong in (
        {"hop_seconds": 0},
        {"hop_seconds": float("nan")},
        {"hop_seconds": 10**400},
        {"fade_seconds": 1e308},
        {"context_seconds": -1},
        {"fade_seconds": 0.6},
        {"fade_seconds": "x"},
        {"seed": -1},
        {"prompt": np.ones((1, 14, 5), np.int64)},
    ):
        with pytest.raises(InputError):
            onnx_pipeline.vamp_stream(never(), **wrong)
    for block in (np.zeros((1, 5)), np.zeros(5, np.int16), np.array([np.nan])):
        with pytest.raises(InputError):
            next(iter(onnx_pipeline.vamp_stream([block])))
    assert list(onnx_pipeline.vamp_stream([])) == [] and list(onnx_pipeline.vamp_stream([np.zeros(0)])) == []


TEN_MINUTES = """
import itertools, sys
import numpy as np
from helpers.vampnet.pipeline import Pipeline

bundle, minutes, warm_up = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
pipeline = Pipeline.open(bundle, threads=1)
block = (0.1 * np.random.default_rng(0).standard_normal(5000)).astype(np.float32)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

n_wanted = int(minutes * 60 * pipeline.sample_rate)
blocks = itertools.repeat(block, n_wanted // len(block))
n_out, before, most = 0, None, 0
for piece in pipeline.vamp_stream(blocks, steps=1, fine_steps=1):
    n_out += len(piece)
    if n_out > warm_up * pipeline.sample_rate:
        before = before or resident()
        most = max(most, resident())
print(n_out, n_wanted // len(block) * len(block), most - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells it so")
def test_ten_minutes_take_the_memory_of_one(bundle):
    command = [sys.executable, "-c", TEN_MINUTES, bundle, str(MINUTES), str(WARM_UP)]
    told = subprocess.check_output(command, cwd=ROOT, text=True)
    n_out, n_in, growth = map(int, told.split())
    assert n_out == n_in and growth < MOST_GROWTH
