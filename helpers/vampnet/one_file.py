"""The whole vamp as one ONNX graph: the four graphs of a bundle, and between them the loops of the pipeline.

What `Pipeline.vamp` does with arrays is done here with nodes, for one item, with noise that a graph can make:
a pipeline whose `noise` is `runtime.counter.hashed_noise` gives the same tokens. The filters `typical_mass`
and `top_p` are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from helpers.export import noise
from helpers.export.bundle import save_graph
from helpers.export.nodes import Nodes
from helpers.support.errors import InputError
from helpers.vampnet.pipeline import GRAPHS, STAGES
from helpers.vampnet.spec import Spec

LOWEST_OPSET = 18  # the first with BitwiseXor
FLOAT, DOUBLE, INT32, INT64 = ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64
SETTINGS = {  # every one has to be given: some runtimes know no defaults
    "seed": INT64,
    "steps": INT64,
    "fine_steps": INT64,
    "temperature": FLOAT,
    "mask_temperature": FLOAT,
    "greedy": ir.DataType.BOOL,
}
FRAMES, BOOKS = 2, 1  # axes of codes and masks
TOKENS, REMASKING = 0, 1  # what noise is for: the last of its keys, as in `decoding`


def check_opset(opset: int) -> None:
    """Raise InputError for an opset without what the noise is made of."""
    if opset < LOWEST_OPSET:
        raise InputError(f"--one-file needs opset {LOWEST_OPSET} or newer, not {opset}.")


def write_one_file(spec: Spec, external_data: bool, directory: Path, metadata: Mapping[str, str]) -> None:
    """Write vamp.onnx beside the four graphs in `directory`, out of them."""
    parts = {name: ir.load(directory / f"{name}.onnx") for name in GRAPHS}
    save_graph(one_file(parts, spec), directory / "vamp.onnx", metadata, external_data)


def one_file(parts: Mapping[str, ir.Model], spec: Spec) -> ir.Model:
    """The four graphs as one, which uses them up.

    In: `audio` float32 (1, 1, N), N a multiple of the hop, at the model's rate and level; `mask` int64
    (1, C, T), 1 = generate; and SETTINGS, each (). Out: `audio_out` float32 (1, 1, M), `codes` int64
    (1, C, T): an input and an output can't have one name.
    """
    nodes, version = Nodes(), max(part.ir_version for part in parts.values())
    audio = _value("audio", FLOAT, (1, 1, "samples"))
    mask = _value("mask", INT64, (1, spec.n_codebooks, "frames"))
    settings = {name: _value(name, kind, ()) for name, kind in SETTINGS.items()}
    codes = nodes.inlined(parts["codec_encoder"], "codec_encoder", audio)
    for stage in (Coarse.of(spec, parts, settings), Fine.of(spec, parts, settings)):
        codes = stage.filled(nodes, codes, mask)
    sound = nodes.inlined(parts["codec_decoder"], "codec_decoder", codes)
    for name, output, shape in (("audio_out", sound, (1, 1, "samples_out")), ("codes", codes, mask.shape)):
        output.name, output.shape = name, ir.Shape(shape)
    codes.type = ir.TensorType(INT64)
    graph = nodes.graph("vamp", [audio, mask, *settings.values()], [sound, codes])
    graph.opset_imports.update(nodes.opsets)
    return ir.Model(graph, ir_version=version)


@dataclass
class Stage:
    """One transformer, and how it fills the masked places of the books that it predicts, chunk by chunk.

    n_given: how many books it only reads. n_books: how many go in. length: of a chunk, in frames.
    """

    name: str
    spec: Spec
    model: ir.Model
    settings: Mapping[str, ir.Value]
    steps: ir.Value
    n_given: int
    n_books: int
    length: int

    def filled(self, nodes: Nodes, codes: ir.Value, mask: ir.Value) -> ir.Value:
        """`Pipeline._fill`: codes and mask (1, C, T) to codes with nothing masked in these books."""
        n_frames = nodes.size(codes, FRAMES)
        n_chunks = nodes.Div(nodes.Add(n_frames, [self.length - 1]), [self.length])

        def chunk(nodes: Nodes, i: ir.Value, codes: ir.Value) -> ir.Value:
            begin = nodes.Reshape(nodes.Mul(i, np.int64(self.length)), [1])
            end = nodes.Min(nodes.Add(begin, [self.length]), n_frames)
            piece, its_mask = (nodes.slice(one, begin, end, FRAMES) for one in (codes, mask))
            before = nodes.slice(codes, [0], begin, FRAMES)
            after = nodes.slice(codes, end, n_frames, FRAMES)
            return nodes.Concat(before, self.chunk(nodes, i, piece, its_mask), after, axis=FRAMES)

        shape = (1, self.spec.n_codebooks, "frames")
        return nodes.loop(nodes.Squeeze(n_chunks), codes, chunk, INT64, shape)

    def chunk(self, nodes: Nodes, i: ir.Value, codes: ir.Value, mask: ir.Value) -> ir.Value:
        """One chunk, all of its books in and out."""
        n_frames = nodes.size(codes, FRAMES)
        given, books, rest = self._parts(nodes, codes)
        _, mask, _ = self._parts(nodes, mask)
        mask = self.generated(nodes, mask)
        works = nodes.ReduceMax(mask, keepdims=0)  # a chunk with nothing masked is left as it is
        given, books, mask = self.padded(nodes, given, books, mask)
        tokens = flat(nodes, nodes.Where(nodes.Equal(mask, np.int64(1)), self._mask_token, books))
        n_steps = nodes.Mul(nodes.Max(self.steps, np.int64(1)), works)
        key = noise.stream(nodes, self.settings["seed"], np.int64(STAGES.index(self.name)), i)
        tokens = self.decoded(nodes, tokens, given, key, n_steps)
        books = nodes.slice(self._unflat(nodes, tokens), [0], n_frames, FRAMES)
        if given is not None:
            books = nodes.Concat(nodes.slice(given, [0], n_frames, FRAMES), books, axis=BOOKS)
        return books if rest is None else nodes.Concat(books, rest, axis=BOOKS)

    def generated(self, nodes: Nodes, mask: ir.Value) -> ir.Value:
        """Which places of a chunk are generated."""
        return mask

    def padded(self, nodes: Nodes, *arrays: ir.Value | None) -> tuple[ir.Value | None, ...]:
        """The given books, those to predict and their mask as the transformer gets them."""
        return arrays

    def decoded(
        self, nodes: Nodes, tokens: ir.Value, given: ir.Value | None, key: ir.Value, n_steps: ir.Value
    ) -> ir.Value:
        """`decoding.decode_masked`: tokens (N,), MASK where one is to be generated, to tokens."""
        n_start = nodes.cast(n_masked(nodes, nodes.Equal(tokens, self._mask_token)), FLOAT)
        n_places = nodes.size(tokens, 0)

        def step(nodes: Nodes, step: ir.Value, tokens: ir.Value) -> ir.Value:
            masked = nodes.Equal(tokens, self._mask_token)
            places = nodes.Squeeze(nodes.NonZero(masked), [0])
            books = self._unflat(nodes, tokens)
            codes = books if given is None else nodes.Concat(given, books, axis=BOOKS)
            logits = nodes.inlined(self.model, self.name, codes)  # (1, P, T, V)
            logits = nodes.Reshape(nodes.Transpose(logits, perm=[0, 2, 1, 3]), [-1, self.spec.codebook_size])
            now = noise.more(nodes, key, step)
            chosen, log_p = self.choice(nodes, nodes.Gather(logits, places, axis=0), places, now)
            progress = nodes.Div(*(nodes.cast(n, DOUBLE) for n in (nodes.Add(step, np.int64(1)), n_steps)))
            certain = nodes.Expand(np.float32(np.inf), n_places)
            confidence = nodes.ScatterElements(certain, places, log_p, axis=0)
            confidence = nodes.Add(confidence, self.shaking(nodes, n_places, now, progress))
            count = n_remasked(nodes, progress, n_start, n_masked(nodes, masked))
            again = least_confident(nodes, confidence, count, n_places)
            filled = nodes.ScatterElements(tokens, places, chosen, axis=0)
            return nodes.Where(again, self._mask_token, filled)

        return nodes.loop(n_steps, tokens, step, INT64, ("places",))

    def choice(
        self, nodes: Nodes, logits: ir.Value, places: ir.Value, key: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """`decoding.choose`: logits (R, V) of these places (R,) to tokens and their log-probability, (R,)."""
        n_tokens = self.spec.codebook_size
        logits = nodes.Div(logits, self.settings["temperature"])

        def sampled(nodes: Nodes) -> ir.Value:
            rows = nodes.Unsqueeze(nodes.Mul(nodes.cast(places, INT32), np.int32(n_tokens)), [1])
            every = nodes.Add(rows, np.arange(n_tokens, dtype=np.int32))
            return nodes.Add(logits, noise.gumbel(nodes, noise.more(nodes, key, np.int64(TOKENS)), every))

        scores = nodes.branch(self.settings["greedy"], lambda nodes: nodes.Identity(logits), sampled)
        chosen = nodes.ArgMax(scores, axis=1, keepdims=1)
        top = nodes.ReduceMax(logits, [1], keepdims=1)
        total = nodes.ReduceSum(nodes.Exp(nodes.Sub(logits, top)), [1], keepdims=1)
        sum_of_all = nodes.Add(top, nodes.Log(total))
        log_p = nodes.Sub(nodes.GatherElements(logits, chosen, axis=1), sum_of_all)
        return nodes.Squeeze(chosen, [1]), nodes.Squeeze(log_p, [1])

    def shaking(self, nodes: Nodes, n_places: ir.Value, key: ir.Value, progress: ir.Value) -> ir.Value:
        """`decoding.remask_noise`, (N,)."""
        fading = nodes.Sub(np.float64(1), progress)
        strength = nodes.cast(nodes.Mul(nodes.cast(self.settings["mask_temperature"], DOUBLE), fading), FLOAT)
        strength = nodes.Where(self.settings["greedy"], np.float32(0), strength)
        places = nodes.Range(np.int32(0), nodes.cast(nodes.Squeeze(n_places), INT32), np.int32(1))
        key = noise.more(nodes, key, np.int64(REMASKING))
        return nodes.Mul(strength, noise.gumbel(nodes, key, places))

    @property
    def _mask_token(self) -> np.int64:
        return np.int64(self.spec.mask_token)

    def _parts(self, nodes: Nodes, array: ir.Value) -> tuple[ir.Value | None, ir.Value, ir.Value | None]:
        """The books that are only read, those that are predicted, and those that are not even read."""
        edges = (0, self.n_given, self.n_books, self.spec.n_codebooks)
        return tuple(
            nodes.slice(array, [begin], [end], BOOKS) if end > begin else None
            for begin, end in zip(edges, edges[1:])
        )

    def _unflat(self, nodes: Nodes, tokens: ir.Value) -> ir.Value:
        """(N,) to (1, P, T); see `decoding.unflatten`."""
        frames = nodes.Reshape(tokens, [1, -1, self.n_books - self.n_given])
        return nodes.Transpose(frames, perm=[0, 2, 1])


class Coarse(Stage):
    """The first books, in chunks that keep their ends if they keep anything."""

    @classmethod
    def of(cls, spec: Spec, parts: Mapping[str, ir.Model], settings: Mapping[str, ir.Value]) -> "Coarse":
        """Made of what `one_file` has."""
        books, steps = spec.n_coarse_codebooks, settings["steps"]
        return cls("coarse", spec, parts["coarse"], settings, steps, 0, books, spec.coarse_chunk)

    def generated(self, nodes: Nodes, mask: ir.Value) -> ir.Value:
        """`pipeline.keep_the_ends`."""
        n_frames = nodes.Squeeze(nodes.size(mask, FRAMES))
        frames = nodes.Range(np.int64(0), n_frames, np.int64(1))
        last = nodes.Equal(frames, nodes.Sub(n_frames, np.int64(1)))
        is_end = nodes.Or(nodes.Equal(frames, np.int64(0)), last)
        keeps_anything = nodes.Equal(nodes.ReduceMin(mask, keepdims=0), np.int64(0))
        return nodes.Where(nodes.And(is_end, keeps_anything), np.int64(0), mask)


class Fine(Stage):
    """The other books, conditioned on the first, in chunks that are filled up to one length."""

    @classmethod
    def of(cls, spec: Spec, parts: Mapping[str, ir.Model], settings: Mapping[str, ir.Value]) -> "Fine":
        """Made of what `one_file` has."""
        given, steps = spec.n_conditioning_codebooks, settings["fine_steps"]
        return cls("c2f", spec, parts["c2f"], settings, steps, given, spec.n_codebooks, spec.c2f_chunk)

    def padded(self, nodes: Nodes, *arrays: ir.Value | None) -> tuple[ir.Value | None, ...]:
        """Tokens 0 behind the end, to be generated too, as `Pipeline._fill` does."""
        missing = nodes.Sub([self.length], nodes.size(arrays[-1], FRAMES))
        pads = nodes.Concat([0] * 5, missing, axis=0)
        return tuple(
            None if one is None else nodes.Pad(one, pads, np.int64(value))
            for one, value in zip(arrays, (0, 0, 1))
        )


def flat(nodes: Nodes, books: ir.Value) -> ir.Value:
    """(1, P, T) to (N,): the codebook is the fast index; see `decoding.flatten`."""
    return nodes.Reshape(nodes.Transpose(books, perm=[0, 2, 1]), [-1])


def n_masked(nodes: Nodes, masked: ir.Value) -> ir.Value:
    """How many are true, int64 ()."""
    return nodes.ReduceSum(nodes.cast(masked, INT64), keepdims=0)


def n_remasked(nodes: Nodes, progress: ir.Value, n_start: ir.Value, n_now: ir.Value) -> ir.Value:
    """`decoding.n_remasked` and its schedule, rounded where they round; progress float64 (), 1 at the end."""
    angle = nodes.Div(nodes.Mul(nodes.cast(progress, FLOAT), np.float32(np.pi)), np.float32(2))
    share = nodes.cast(nodes.Cos(nodes.cast(angle, DOUBLE)), FLOAT)
    share = nodes.Clip(share, np.float32(1e-10), np.float32(1))
    count = nodes.cast(nodes.Floor(nodes.Mul(share, n_start)), INT64)
    some = nodes.Max(np.int64(1), nodes.Min(nodes.Sub(n_now, np.int64(1)), count))
    return nodes.Where(nodes.Less(progress, np.float64(1)), some, count)


def least_confident(nodes: Nodes, confidence: ir.Value, count: ir.Value, n_places: ir.Value) -> ir.Value:
    """`decoding.least_confident`: which of (N,) are below the one that `count` others are not above."""
    last = nodes.Min(nodes.Reshape(count, [1]), nodes.Sub(n_places, [1]))
    lowest, _ = nodes.TopK(confidence, nodes.Add(last, [1]), n_outputs=2, axis=0, largest=0, sorted=1)
    return nodes.Less(confidence, nodes.Gather(lowest, last, axis=0))


def settings_as_inputs(
    seed: int = 0,
    steps: int = 12,
    fine_steps: int = 2,
    temperature: float = 1.0,
    mask_temperature: float = 10.5,
    greedy: bool = False,
) -> list[np.ndarray]:
    """What goes in behind audio and mask; as in `Pipeline.vamp`, in float32."""
    given = (seed, steps, fine_steps, temperature, mask_temperature, greedy)
    return [np.array(value, kind.numpy()) for value, kind in zip(given, SETTINGS.values())]


def _value(name: str, kind: ir.DataType, shape: tuple[int | str, ...]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(kind), shape=ir.Shape(shape))
