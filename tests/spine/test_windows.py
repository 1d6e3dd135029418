"""A convolutional graph in windows: every output once, none different, on threads and as input arrives."""

import weakref
from itertools import chain

import fabricate
import numpy as np
import pytest
from fabricate import Shape, plain_pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.export.bundle import write_graph
from helpers.export.graph import DEFAULT_OPSET
from helpers.runtime import windows
from helpers.runtime.session import OnnxGraph
from helpers.runtime.windows import Layout, even_size, in_pieces
from helpers.support.cores import in_order
from helpers.support.errors import InputError
from helpers.vampnet.files import course_checkpoints
from helpers.vampnet.graphs import graphs_to_export
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.weights import load_models

quick = settings(max_examples=100, deadline=None)


def blurred(context, step_in=1, step_out=1):
    """A stand-in for a convolution: each output frame is the sum of the input up to `context` frames away."""

    def graph(x):
        frames = x.reshape(*x.shape[:2], -1, step_in).sum(-1)
        padded = np.pad(frames, [(0, 0), (0, 0), (context, context)])
        sums = np.lib.stride_tricks.sliding_window_view(padded, 2 * context + 1, axis=-1).sum(-1)
        return np.repeat(sums, step_out, axis=-1)

    return graph


@st.composite
def problems(draw):
    """An input, how it relates to the output, the size of windows, and how the input arrives."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    layout = Layout(draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 20)))
    n_frames, size = draw(st.integers(1, 300)), draw(st.integers(1, 120))
    x = rng.integers(0, 100, (2, 1, n_frames * layout.step_in))
    cuts = sorted(draw(st.lists(st.integers(0, n_frames), max_size=8)))
    return layout, x, size, np.split(x, [cut * layout.step_in for cut in cuts], axis=-1)


@quick
@given(problems(), st.integers(1, 3))
def test_windows_give_what_the_whole_gives(problem, n_threads):
    layout, x, size, arrivals = problem
    graph = blurred(layout.context, layout.step_in, layout.step_out)
    for pieces in (
        layout.of_whole(graph, x, size, n_threads),
        layout.of_stream(graph, arrivals, size, n_threads),
    ):
        assert np.array_equal(np.concatenate(list(pieces), axis=-1), graph(x))


@quick
@given(problems())
def test_no_window_is_short_unless_the_whole_is_and_none_is_long(problem):
    layout, x, size, arrivals = problem
    n_frames = x.shape[-1] // layout.step_in
    cut = list(chain.from_iterable(layout.windows(arrivals, size)))
    lengths = [window.x.shape[-1] // layout.step_in for window in cut]
    assert min(lengths) >= min(n_frames, windows.SHORTEST)
    assert max(lengths) <= max(size + 3 * layout.context, windows.SHORTEST)


@quick
@given(problems())
def test_an_arrival_completes_all_that_it_can(problem):
    layout, x, size, arrivals = problem
    there = kept = 0
    groups = layout.windows(arrivals, size)
    for arrived, complete in zip(arrivals, groups):
        there += arrived.shape[-1] // layout.step_in
        kept += size * len(complete)
        assert there < max(kept + size + layout.context, windows.SHORTEST)


def test_less_context_than_the_graph_looks_at_is_noticed():
    x = np.arange(300).reshape(1, 1, 300)
    assert not np.array_equal(in_pieces(blurred(3), x, 300, 100, 1, 1, 2), blurred(3)(x))


@pytest.mark.parametrize(
    ("n_frames", "n_threads", "size"), [(1, 8, 1), (575, 2, 288), (577, 2, 145), (575, 1, 288), (576, 8, 72)]
)
def test_shares_are_even(n_frames, n_threads, size):
    assert even_size(n_frames, 288, n_threads) == size


def test_results_come_in_order_and_work_is_not_begun_far_ahead():
    begun = []
    results = in_order(lambda i: begun.append(i) or i, range(100), n_threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2] and len(begun) <= 3 + 2 * 2
    results.close()
    assert len(begun) < 10
    assert list(in_order(str, range(9), 3)) == list(map(str, range(9)))


def test_an_error_in_a_thread_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda i: 1 // (5 - i), range(9), 2))


# --- The codec in ONNX Runtime: the same numbers, to the last bit


ODD = Shape(encoder_rates=(3, 5), decoder_rates=(5, 3), codebook_size=100, width=24)


@pytest.fixture(scope="module", params=["golden", "odd rates", "course"])
def codec(request, golden_dir, tmp_path_factory):
    """A codec's config, and its two graphs as functions that compute on one thread."""
    folder = tmp_path_factory.mktemp("codec")
    homes = {"golden": golden_dir, "course": course_checkpoints()}
    models = load_models(homes.get(request.param) or fabricate.checkpoints(folder / "checkpoints", ODD))
    graphs = []
    for name in ("codec_encoder", "codec_decoder"):
        path = folder / f"{name}.onnx"
        write_graph(graphs_to_export(models)[name], path, DEFAULT_OPSET, {}, False, "fp32")
        graphs.append(OnnxGraph(path, threads=1))
    return models.codec.config, *graphs


def test_the_codec_in_windows_gives_the_same_tokens_and_the_same_samples(codec):
    config, encoder, decoder = codec
    n, rng = 140, np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((1, 1, n * config.hop))).astype(np.float32)
    codes = rng.integers(0, config.codebook_size, (1, config.n_codebooks, n))
    tokens, samples = encoder(audio), decoder(codes)
    for piece in (30, 75):
        in_windows = in_pieces(encoder, audio, n, piece, config.hop, 1, config.encoder_context, 2)
        assert np.array_equal(in_windows, tokens)
        assert np.array_equal(
            in_pieces(decoder, codes, n, piece, 1, config.hop, config.decoder_context, 2), samples
        )


def test_the_context_is_as_long_as_it_must_be_and_no_longer(codec):
    """What changes in the middle is heard as far as the context says, and no further."""
    config, encoder, decoder = codec
    n, middle, rng = 101, 50, np.random.default_rng(0)
    codes = rng.integers(0, config.codebook_size, (1, config.n_codebooks, n))
    changed = codes.copy()
    changed[..., middle] = (changed[..., middle] + 1) % config.codebook_size
    moved = np.flatnonzero(decoder(codes)[0, 0] != decoder(changed)[0, 0]) // config.hop
    assert max(middle - moved.min(), moved.max() - middle) == config.decoder_context
    audio = (0.1 * rng.standard_normal((1, 1, n * config.hop))).astype(np.float32)
    changed = audio.copy()
    changed[..., middle * config.hop : (middle + 1) * config.hop] *= -9
    moved = np.flatnonzero((encoder(audio) != encoder(changed)).any((0, 1)))
    assert max(middle - moved.min(), moved.max() - middle) <= config.encoder_context


# --- Pipeline.decode_stream


@pytest.fixture(scope="module")
def codes(onnx_pipeline):
    """More frames than one window holds, MASK among them."""
    return np.random.default_rng(0).integers(0, onnx_pipeline.mask_token + 1, (2, 14, 150))


@pytest.mark.parametrize("frames", [None, 1, 40, 1000])
def test_a_stream_is_what_decode_gives(frames, onnx_pipeline, codes):
    if frames == 1:  # then there are as many windows as frames, none shorter than the shortest
        codes = codes[:1, :, : windows.SHORTEST + 9]
    whole = onnx_pipeline.decode(codes)
    arriving = iter(np.split(codes, [1, 90, 90, 100], axis=-1))
    arriving = (part for part in arriving if part.size)
    for source in (codes, arriving):
        pieces = list(onnx_pipeline.decode_stream(source, frames))
        assert all(piece.shape[:2] == (len(codes), 1) and piece.dtype == np.float32 for piece in pieces)
        assert np.array_equal(np.concatenate(pieces, axis=-1), whole)


def test_audio_comes_before_the_last_token(onnx_pipeline, codes):
    asked = []

    def arriving():
        for frame in range(codes.shape[-1]):
            asked.append(frame)
            yield codes[..., frame : frame + 1]

    next(onnx_pipeline.decode_stream(arriving(), frames=10))
    assert len(asked) == windows.SHORTEST


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_number_of_threads_changes_nothing(n_threads, bundle, onnx_pipeline, codes, golden):
    pipeline = Pipeline.open(bundle, threads=n_threads)
    assert np.array_equal(pipeline.decode(codes), onnx_pipeline.decode(codes))
    assert np.array_equal(pipeline.encode(golden["audio"], 44100, condition=False), golden["codes"])


@pytest.mark.parametrize("n_threads", [1, 3])
def test_memory_does_not_grow_with_the_length(n_threads):
    """No more than a few windows are held at once, whatever the length."""
    alive, most = set(), [0]
    pipeline = plain_pipeline()

    def graph(codes):
        most[0] = max(most[0], codes.shape[-1])
        audio = np.zeros((1, 1, codes.shape[-1] * pipeline.hop), np.float32)
        alive.add(id(audio))
        weakref.finalize(audio, alive.discard, id(audio))
        return audio

    pipeline = Pipeline(pipeline.spec, {"codec_decoder": graph}, n_threads)
    held = 0
    for _ in pipeline.decode_stream(np.zeros((1, 4, 5000), np.int64)):
        held = max(held, len(alive))
    assert held <= 2 * n_threads + 2 and most[0] <= windows.SHORTEST


def test_streams_that_make_no_sense_are_refused():
    spec = plain_pipeline().spec
    pipeline = Pipeline(
        spec, {"codec_decoder": lambda codes: np.zeros((len(codes), 1, 10 * codes.shape[-1]))}
    )
    good = np.zeros((1, 4, 5), np.int64)
    for codes, frames, says in (
        (good[0], None, "shaped"),
        (good, 0, "frames"),
        (good, 2.5, "frames"),
        ([good, good + 99], None, "between"),
        (iter([good, np.repeat(good, 2, axis=0)]), None, "one after the other"),
    ):
        with pytest.raises(InputError, match=says):
            list(pipeline.decode_stream(codes, frames))
    assert list(pipeline.decode_stream(iter([]))) == []
