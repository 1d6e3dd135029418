"""The pipeline over a bundle of MusicGen's graphs: listen, read, go on, sound. No PyTorch.

Arrays are numpy; codes are int64 (B, K, T), columns of them (B, K, S) delayed as in `decoding`. The graphs
and the loop need only numpy and onnxruntime; turning text into ids imports a tokenizer's library.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import audio as sound
from helpers.audio.signal import as_array, as_batch, positive
from helpers.musicgen.decoding import UNKNOWN, Settings, probabilities
from helpers.musicgen.generation import Generation, OnStep
from helpers.musicgen.past import Condition, Past
from helpers.musicgen.spec import LONGEST_SECONDS, Spec, read_spec
from helpers.runtime.cache import Cache
from helpers.runtime.manifest import load_manifest, unusable
from helpers.runtime.sampling import Seed, seeds_of
from helpers.runtime.session import open_graphs
from helpers.runtime.stateful import StatefulLayout
from helpers.runtime.tokenizer import Tokenizer
from helpers.support.config import real, shown
from helpers.support.cores import n_cores
from helpers.support.errors import InputError

__all__ = ["Condition", "Made", "Past", "Pipeline", "probabilities"]
GRAPHS = ("encodec_encoder", "encodec_decoder", "text_encoder", "lm_text", "lm")
STRIDE = 0.6  # of a window: how far the next one begins behind it
PIECE_SECONDS = 10  # how much the codec is given at once; more takes memory and no less time
STREAM_SECONDS = 0.4  # how much sound comes at once while tokens are made
MOST_ITEMS = 4096  # of a batch


@dataclass(frozen=True)
class Made:
    """What was generated: codes (B, K, N) and audio (B, channels, N * hop), the prompt included.

    prompt_frames: how many frames of it were the prompt; one number, or one an item where they differ.
    """

    codes: np.ndarray
    audio: np.ndarray
    prompt_frames: int | tuple[int, ...]


class Pipeline:
    """A MusicGen: five functions from arrays to arrays, and what to do with them."""

    def __init__(self, spec: Spec, graphs: Mapping[str, Callable], tokenizer: Tokenizer | None = None):
        self.spec, self.graphs, self.tokenizer = spec, graphs, tokenizer
        self.sample_rate, self.hop, self.frame_rate = spec.sample_rate, spec.hop, spec.frame_rate
        self.channels, self.n_codebooks, self.codebook_size = (
            spec.channels,
            spec.n_codebooks,
            spec.codebook_size,
        )
        self.special_token, self.max_seconds = spec.special_token, spec.max_seconds

    @classmethod
    def open(
        cls, bundle: str | os.PathLike, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> "Pipeline":
        """Open a bundle. Sessions start when first used.

        providers: ONNX Runtime's execution providers, the preferred first; None = CPU. threads: None = one a
        core. Raises InputError for what is not a complete bundle.
        """
        spec = read_spec(bundle)
        threads = n_cores() if threads is None else positive("threads", threads)
        graphs = open_graphs(bundle, dict.fromkeys(GRAPHS, threads), providers)
        path = tokenizer_of(bundle)
        return cls(spec, graphs, path and Tokenizer(path, spec.vocab_size))

    # --- sound and codes

    def encode(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Audio (N,), (channels, N) or (B, channels, N) float -> codes int64 (B, K, T), T = ceil(N / hop).

        Resampled and brought to the model's channels; its level is left as it is.
        """
        audio = sound.resample(as_batch(audio), sample_rate, self.sample_rate)
        if audio.shape[1] != self.channels:
            audio = (
                sound.mono(audio)
                if self.channels == 1
                else audio[:, :2].repeat(3 - min(2, audio.shape[1]), 1)
            )
        spec = self.spec
        layout = StatefulLayout(self.hop, 1, spec.encoder_context, spec.encoder_context_after)
        size = math.ceil(PIECE_SECONDS * self.frame_rate)
        codes = np.concatenate(list(layout.run(self.graphs["encodec_encoder"], [audio], size)), axis=-1)
        if codes.ndim != 3 or codes.shape[1] != self.n_codebooks:
            raise InputError(f"encodec_encoder.onnx gives codes of shape {codes.shape}; export again.")
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes int64 (B, K, T) -> audio float32 (B, channels, T * hop) at `sample_rate`."""
        size = PIECE_SECONDS * self.frame_rate
        return np.concatenate(list(self.decode_stream([self._checked(codes)], size)), axis=-1)

    def decode_stream(self, parts: Iterable[np.ndarray], frames: int | None = None) -> Iterator[np.ndarray]:
        """Audio while codes arrive in `parts`, each (B, K, t): equal to `decode` of all of them at once.

        frames: how many make a piece; the first needs a few more, see `Spec`.
        """
        spec = self.spec
        size = math.ceil(STREAM_SECONDS * self.frame_rate) if frames is None else positive("frames", frames)
        layout = StatefulLayout(1, self.hop, spec.decoder_context, spec.decoder_context_after)
        return layout.run(self.graphs["encodec_decoder"], map(self._checked, parts), size)

    def _checked(self, codes: np.ndarray, most: int | None = None) -> np.ndarray:
        """Codes as int64, or an InputError: whole tokens, (B, K, T), at least one, none out of range."""
        codes, most = as_array(codes, "codes"), self.codebook_size - 1 if most is None else most
        if (
            codes.ndim != 3
            or codes.shape[1] != self.n_codebooks
            or not np.issubdtype(codes.dtype, np.integer)
        ):
            raise InputError(
                f"codes are whole numbers shaped (B, {self.n_codebooks}, T), not {codes.dtype} {codes.shape}."
            )
        if codes.size == 0 or codes.min() < 0 or codes.max() > most:
            raise InputError(f"codes must not be empty, and lie between 0 and {most}.")
        return codes.astype(np.int64)

    # --- text

    def text(
        self,
        texts: str | Sequence[str | None] | None = None,
        ids: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> Condition:
        """What the language model reads: one text for each item, None for an item without one.

        Or ids and mask, int64 (B, L), mask 0 = padding, where the text is ids already.
        """
        if ids is None:
            texts = _listed(texts)
            # The one family takes an empty text for none; the other has a model read that it ends at once.
            absent = [one is None or (one == "" and self.spec.text_padding == "attend") for one in texts]
            if all(absent):
                return self.no_text(len(texts))
            if self.tokenizer is None:
                raise InputError("this bundle has no tokenizer; give ids=..., or export one with it.")
            ids, mask = self.tokenizer([one or "" for one in texts])
            mask = mask * ~np.array(absent)[:, None]
        ids = as_array(ids, "ids")
        mask = np.ones_like(ids) if mask is None else as_array(mask, "the mask")
        good = ids.ndim == 2 and ids.size and mask.shape == ids.shape and np.issubdtype(ids.dtype, np.integer)
        if not good or ids.min() < 0 or ids.max() >= self.spec.vocab_size or not np.isin(mask, (0, 1)).all():
            raise InputError(f"ids are whole numbers (B, L) below {self.spec.vocab_size}, mask 0 or 1.")
        ids, mask = ids.astype(np.int64), mask.astype(np.int64)
        states = self.graphs["text_encoder"](ids, mask)
        if not isinstance(states, np.ndarray) or states.shape != (*ids.shape, self.spec.width):
            raise InputError(
                "text_encoder.onnx gives no states of the model's width; export the bundle again."
            )
        return Condition(states, mask)

    def no_text(self, batch: int) -> Condition:
        """What the language model reads where there is nothing to read."""
        return Condition(np.zeros((batch, 1, self.spec.width), np.float32), np.zeros((batch, 1), np.int64))

    # --- the language model

    def logits(
        self, codes: np.ndarray, condition: Condition, past: Past | None = None
    ) -> tuple[np.ndarray, Past]:
        """Columns (B, K, S), special tokens and all, behind a past -> logits (B, K, S, V), the longer past.

        A past may be gone on from more than once, and cut anywhere: the logits are the same.
        """
        codes = self._checked(codes, self.special_token)
        if len(codes) != len(condition.states):
            raise InputError(
                f"{len(codes)} items of codes, {len(condition.states)} texts: give as many of both."
            )
        if past is not None and past.cache.n_items != len(codes):
            raise InputError(
                f"{len(codes)} items of codes, a past of {past.cache.n_items}: give as many of both."
            )
        if past is None or past.condition is not condition:
            text = self.graphs["lm_text"](condition.states)
            spec, n = self.spec, len(codes)
            cache = Cache.empty(n, spec.n_layers, spec.n_heads, spec.width // spec.n_heads)
            past = Past(condition, text, cache if past is None else past.cache)
        mask, cache = condition.attended(self.spec.text_padding), past.cache
        logits, *new = self.graphs["lm"](codes, mask, np.array(cache.n), *past.text, *cache.held)
        if logits.shape != (*codes.shape, self.codebook_size):
            raise InputError(f"lm.onnx gives logits of shape {logits.shape}; export the bundle again.")
        held = (len(codes), self.spec.n_heads, codes.shape[2], self.spec.width // self.spec.n_heads)
        if [one.shape for one in new] != [held] * (2 * self.spec.n_layers):
            raise InputError("lm.onnx gives other keys and values than it takes; export the bundle again.")
        return logits, Past(condition, past.text, cache.longer(new))

    def generate(
        self,
        text: str | Sequence[str | None] | None = None,
        prompt: np.ndarray | Sequence[np.ndarray] | None = None,
        prompt_rate: int | None = None,
        seconds: float = 10,
        guidance: float = 3.0,
        temperature: float = 1.0,
        top_k: int = 250,
        top_p: float = 0.0,
        greedy: bool = False,
        seed: Seed = 0,
        on_step: OnStep | None = None,
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
        batch: int = 1,
    ) -> Made:
        """Music from a text, from a recording that goes on, or from both.

        text: one, or one an item (None: without). prompt: audio at `prompt_rate`, (N,), (channels, N) or
        (B, channels, N), or a list of such of any lengths. seconds: of the whole, the prompt included. How
        tokens are chosen: see `decoding.Settings`; `seed` is one for all items, or one for each.
        on_step: gets a `decoding.Step` after each column; returning False stops, and what is complete comes
        back. window_seconds, stride_seconds: see `decoding.windows` (None: what the model was trained on, and
        0.6 of it). batch: how many pieces, where neither text nor prompt say it.
        """
        run = self._start(
            text, prompt, prompt_rate, seconds, guidance, temperature, top_k, top_p, greedy, seed, on_step,
            window_seconds, stride_seconds, batch,
        )  # fmt: skip
        codes = run.finished()
        nothing = np.zeros((len(codes), self.channels, 0), np.float32)
        return Made(codes, self.decode(codes) if codes.size else nothing, run.prompt_frames)

    def stream(self, *arguments: object, **settings: object) -> Iterator[np.ndarray]:
        """What `generate` gives, as sound (B, channels, n) while it is made; the same arguments."""
        run = self._start(*arguments, **settings)
        return self.decode_stream(run.parts())

    def _start(
        self, text=None, prompt=None, prompt_rate=None, seconds=10, guidance=3.0, temperature=1.0, top_k=250,
        top_p=0.0, greedy=False, seed=0, on_step=None, window_seconds=None, stride_seconds=None, batch=1,
    ) -> Generation:  # fmt: skip
        """The arguments of `generate`, checked, as a run that has not begun."""
        settings = Settings(guidance, temperature, top_k, top_p, greedy)
        n_frames = self._frames("seconds", seconds)
        longest = self._frames(
            "window_seconds", self.max_seconds if window_seconds is None else window_seconds
        )
        stride = max(1, int(longest * STRIDE + 1e-9))
        if stride_seconds is not None:
            stride = self._frames("stride_seconds", stride_seconds)
        if stride >= longest < n_frames:
            raise InputError("stride_seconds must be shorter than a window: the next one goes on from it.")
        prompts = self._prompts(prompt, prompt_rate, n_frames)
        texts = _listed(text)
        batch = max(positive("batch", batch), len(texts), len(prompts))
        if batch > MOST_ITEMS:
            raise InputError(f"a batch has {shown(batch)} items; {MOST_ITEMS} are the most.")
        for what, items in (("texts", texts), ("prompts", prompts)):
            if items and len(items) not in (1, batch):
                raise InputError(
                    f"there are {len(items)} {what} for {batch} items; give one, or one for each."
                )
        condition = self.text(texts * batch if len(texts) == 1 else texts)
        prompts = prompts * batch if len(prompts) == 1 else prompts
        lengths = [one.shape[-1] for one in prompts] or [0]
        codes = np.full((batch, self.n_codebooks, n_frames), UNKNOWN, np.int64)
        for row, one in zip(codes, prompts):
            row[:, : one.shape[-1]] = one
        seeds, window = seeds_of(seed, batch), (longest, stride)
        return Generation(self.logits, self.spec, codes, lengths, condition, settings, seeds, window, on_step)

    def _prompts(self, prompt: object, rate: int | None, n_frames: int) -> list[np.ndarray]:
        """The codes (K, T) of each recording that is to go on, of fewer frames than the whole."""
        if prompt is None:
            return []
        if rate is None:
            raise InputError("a prompt needs its sample rate: give prompt_rate.")
        recordings = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
        if not recordings:
            raise InputError("the list of prompts is empty.")
        for one in recordings:  # before any of them is coded, which may take minutes
            n_samples = -(-as_batch(one).shape[-1] * self.sample_rate // positive("prompt_rate", rate))
            frames = -(-n_samples // self.hop)
            if frames >= n_frames:
                raise InputError(
                    f"the prompt alone lasts {frames / self.frame_rate:.2f} seconds of "
                    f"{n_frames / self.frame_rate:g}; ask for more."
                )
        return [codes for one in recordings for codes in self.encode(one, rate)]

    def _frames(self, name: str, seconds: float) -> int:
        """Whole frames in a time, as the models count them: what is left of a frame does not count."""
        if not 0 < real(seconds) <= LONGEST_SECONDS:
            raise InputError(f"{name} is {shown(seconds)}, but should be a number up to {LONGEST_SECONDS}.")
        frames = int(real(seconds) * self.frame_rate)
        if frames < 1:
            raise InputError(f"{name} is {shown(seconds)}, less than one frame (1/{self.frame_rate} s).")
        return frames


def _listed(texts: object) -> list[str | None]:
    """One text, or several, or none, as a list with at least one entry."""
    several = list(texts) if isinstance(texts, list | tuple) else [texts]
    if not all(one is None or isinstance(one, str) for one in several):
        raise InputError("a text is a string, or None for an item without one.")
    return several or [None]


def tokenizer_of(bundle: str | os.PathLike) -> Path | None:
    """The tokenizer's file of a bundle that has one. Raises InputError."""
    name = load_manifest(bundle).get("tokenizer")
    if name is not None and (not isinstance(name, str) or Path(name).name != name):
        raise unusable(bundle, "tokenizer")
    return Path(bundle) / name if name else None
