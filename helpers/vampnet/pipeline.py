"""The pipeline over a bundle of ONNX graphs: encode, fill in coarse then fine tokens, decode. No PyTorch.

Arrays are numpy; codes and masks are int64 (B, C, T), mask 1 = generate, 0 = keep. The graphs, the
decoding loop and `encode(..., condition=False)` need only numpy and onnxruntime.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from helpers import audio as sound
from helpers.audio.signal import positive
from helpers.runtime.sampling import Seed, seeds_of, uniform_noise
from helpers.runtime.session import CPU, Graph, open_graphs
from helpers.runtime.windows import Layout, even_size, in_pieces
from helpers.support.config import shown
from helpers.support.cores import n_cores
from helpers.support.errors import InputError
from helpers.vampnet import masks
from helpers.vampnet.decoding import Noise, Settings, Step, decode_masked
from helpers.vampnet.spec import Spec, read_spec

STAGES = ("coarse", "c2f")
GRAPHS = ("codec_encoder", "codec_decoder", *STAGES)
TARGET_LUFS = -24.0  # the loudness VampNet's models were trained at
PIECE_SECONDS = 5  # how much audio a thread is given at once, at most; more takes memory and no less time
STREAM_SECONDS = 1  # how much audio comes at once while tokens arrive; less would mostly decode context
OnStep = Callable[[Step], object]
NOT_IMPLEMENTED = {
    "cfg_guidance": "guidance needs a prediction without the prompt, which these graphs don't make",
    "feedback_steps": "with one mask it repeats the same vamp; feed the output back in instead",
    "time_stretch_factor": "the runtime has none; stretch the codes with numpy.repeat before masking",
}


class Pipeline:
    """A VampNet: four functions from array to array, and what to do with them.

    `graphs` maps each name in GRAPHS to its function; `Pipeline.open` takes them from a bundle. The codec's
    are called from `n_threads` threads at once. `noise` may be set to another source than PCG64.
    """

    def __init__(self, spec: Spec, graphs: Mapping[str, Graph], n_threads: int = 1):
        self.spec = spec
        self.graphs = graphs
        self.n_threads = n_threads
        self.noise: Noise = uniform_noise
        self.sample_rate, self.hop = spec.sample_rate, spec.hop
        self.n_codebooks, self.codebook_size, self.mask_token = (
            spec.n_codebooks,
            spec.codebook_size,
            spec.mask_token,
        )
        self.n_coarse_codebooks = spec.n_coarse_codebooks
        self.n_conditioning_codebooks = spec.n_conditioning_codebooks

    @classmethod
    def open(
        cls, bundle: str | os.PathLike, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> "Pipeline":
        """Open a bundle. Sessions start when first used, so encoding alone does not load the transformers.

        providers: ONNX Runtime's execution providers, the preferred first; None = CPU. One that is not
        there is left out with a warning. threads: None = one a core. Raises InputError for what is not a
        complete bundle.
        """
        spec = read_spec(bundle)
        threads = n_cores() if threads is None else positive("threads", threads)
        # A transformer's matrix products keep all threads busy; the codec's windows keep one each.
        per_call = {name: threads if name in STAGES else 1 for name in GRAPHS}
        graphs = open_graphs(bundle, per_call, providers)
        return cls(spec, graphs, threads if graphs["coarse"].providers[0] == CPU else 1)

    # --- audio to codes and back

    def encode(self, audio: np.ndarray, sample_rate: int, condition: bool = True) -> np.ndarray:
        """Audio (N,), (channels, N) or (B, channels, N) float -> codes int64 (B, C, T).

        condition: resample, mix to mono, bring to -24 LUFS, as the models were trained. Without it the
        audio is only mixed and padded, and must be at the bundle's own rate.
        """
        if condition:
            audio = sound.condition(audio, sample_rate, self.sample_rate, self.hop, TARGET_LUFS)
        elif sample_rate != self.sample_rate:
            raise InputError(
                f"the audio is at {sample_rate} Hz, the models at {self.sample_rate} Hz; use condition=True."
            )
        else:
            audio = sound.pad_to_multiple(sound.mono(audio), self.hop)
        n_hops = max(audio.shape[-1] // self.hop, self.spec.shortest_input)
        audio = sound.fit_length(audio, n_hops * self.hop)
        return in_pieces(
            self.graphs["codec_encoder"],
            audio,
            n_hops,
            self._share(n_hops),
            self.hop,
            1,
            self.spec.encoder_context,
            self.n_threads,
        )

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes int64 (B, C, T) -> audio float32 (B, 1, M) at `sample_rate`. MASK sounds as token 0."""
        return np.concatenate(list(self.decode_stream(codes)), axis=-1)

    def decode_stream(
        self, codes: np.ndarray | Iterable[np.ndarray], frames: int | None = None
    ) -> Iterator[np.ndarray]:
        """Audio float32 (B, 1, m), piece after piece; one after the other they are what `decode` gives.

        codes: int64 (B, C, T), or an iterable of such arrays that follow one another in time, of any
        lengths: what they suffice for comes before the next is asked for. Memory does not grow with the
        length. frames: how many of them make a piece (None: a second of tokens that arrive, and of an array
        an even share for each thread); the first needs a few more, see `Spec.decoder_context`.
        """
        size = None if frames is None else _frames("frames", frames)
        layout = Layout(1, self.hop, self.spec.decoder_context)
        if isinstance(codes, Iterable) and not isinstance(codes, np.ndarray):
            size = size or sound.seconds_to_frames(STREAM_SECONDS, self.sample_rate, self.hop)
            arrivals = self._arriving(codes)
            return layout.of_stream(self.graphs["codec_decoder"], arrivals, size, self.n_threads)
        codes = self._sounding(codes)
        size = size or self._share(codes.shape[-1])
        return layout.of_whole(self.graphs["codec_decoder"], codes, size, self.n_threads)

    def _arriving(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        n_items = None
        for part in map(self._sounding, parts):
            n_items = n_items or len(part)
            if len(part) != n_items:
                raise InputError(
                    f"codes that come one after the other have {n_items} and then {len(part)} items; give "
                    "each the same number."
                )
            yield part

    def _sounding(self, codes: np.ndarray) -> np.ndarray:
        """Checked codes with token 0 for MASK."""
        codes = self._checked(codes)
        return np.where(codes == self.mask_token, 0, codes)

    def _share(self, n_frames: int) -> int:
        """How many of `n_frames` a thread is given at once."""
        longest = sound.seconds_to_frames(PIECE_SECONDS, self.sample_rate, self.hop)
        return even_size(n_frames, longest, self.n_threads)

    # --- codes to codes

    def coarse(
        self,
        codes: np.ndarray,
        mask: np.ndarray,
        steps: int = 12,
        temperature: float = 1.0,
        mask_temperature: float = 10.5,
        typical_mass: float | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        seed: Seed = 0,
        chunk: int | None = None,
        on_step: OnStep | None = None,
        typical_min_tokens: int = 64,
        sample_cutoff: float = 1.0,
        **unknown: object,
    ) -> np.ndarray:
        """Generate the masked places of the coarse codebooks; all books come back, the fine ones as given.

        codes: int64 (B, C, T) with at least the coarse books. mask: the same shape. The settings are
        those of `decoding.Settings`; `seed` is one for all items, or one for each. `chunk` is in frames
        (None: ten seconds). `on_step` gets a `decoding.Step` after each step; returning False stops, and
        what there is comes back.
        """
        _refuse(unknown)
        settings = Settings(
            steps,
            temperature,
            mask_temperature,
            typical_mass,
            typical_min_tokens,
            top_p,
            sample_cutoff,
            greedy,
        )
        codes, books = self._checked(codes, at_least=self.n_coarse_codebooks), slice(self.n_coarse_codebooks)
        length, mask = _chunk(chunk, self.spec.coarse_chunk), masks.check(mask, codes.shape)
        mask = self._coarse_mask(codes, mask, length)
        coarse = self._fill("coarse", codes[:, books], mask, 0, length, 0, settings, seed, on_step)
        return np.concatenate([coarse, codes[:, self.n_coarse_codebooks :]], axis=1)

    def _coarse_mask(self, codes: np.ndarray, mask: np.ndarray, length: int) -> np.ndarray:
        """What `coarse` generates, in its own books: the ends of a chunk that keeps anything are kept too."""
        books = slice(self.n_coarse_codebooks)
        empty = codes[:, books] == self.mask_token  # a place that holds MASK is generated in any case
        mask = mask[:, books] | empty
        for start in range(0, codes.shape[-1], length):
            frames = slice(start, start + length)
            mask[..., frames] = keep_the_ends(mask[..., frames]) | empty[..., frames]
        return mask

    def generated(self, codes: np.ndarray, mask: np.ndarray, chunk: int | None = None) -> np.ndarray:
        """The places that `vamp` generates with this mask, int64 (B, C, T): a few ends of chunks fewer."""
        codes = self._checked(codes)
        mask = masks.check(mask, codes.shape) | (codes == self.mask_token)
        coarse = self._coarse_mask(codes, mask, _chunk(chunk, self.spec.coarse_chunk))
        fine = mask[:, self.n_conditioning_codebooks :]  # books that both models predict are c2f's in the end
        return np.concatenate([coarse[:, : self.n_conditioning_codebooks], fine], axis=1)

    def fine(
        self,
        codes: np.ndarray,
        mask: np.ndarray | None = None,
        steps: int = 2,
        chunk: int | None = None,
        temperature: float = 1.0,
        mask_temperature: float = 10.5,
        typical_mass: float | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        seed: Seed = 0,
        on_step: OnStep | None = None,
        typical_min_tokens: int = 64,
        sample_cutoff: float = 1.0,
        **unknown: object,
    ) -> np.ndarray:
        """Generate the masked places of the fine codebooks, conditioned on the coarse ones, which are kept.

        codes: int64 (B, C, T) with at least the conditioning books; absent ones count as token 0. mask: the
        same shape, None = all fine books. The rest as in `coarse`; a chunk is three seconds, the last one
        padded to that length.
        """
        _refuse(unknown)
        settings = Settings(
            steps,
            temperature,
            mask_temperature,
            typical_mass,
            typical_min_tokens,
            top_p,
            sample_cutoff,
            greedy,
        )
        n_kept, length = self.n_conditioning_codebooks, _chunk(chunk, self.spec.c2f_chunk)
        codes = self._checked(codes, at_least=n_kept)
        mask = np.ones_like(codes) if mask is None else masks.check(mask, codes.shape)
        absent = [(0, 0), (0, self.n_codebooks - codes.shape[1]), (0, 0)]
        codes, mask = np.pad(codes, absent), np.pad(mask, absent, constant_values=1)
        mask = mask | (codes == self.mask_token)
        mask[:, :n_kept] = 0
        return self._fill("c2f", codes, mask, n_kept, length, length, settings, seed, on_step)

    def _fill(
        self,
        graph: str,
        codes: np.ndarray,
        mask: np.ndarray,
        n_kept: int,
        length: int,
        shortest: int,
        settings: Settings,
        seed: Seed,
        on_step: OnStep | None,
    ) -> np.ndarray:
        """Masked decoding chunk by chunk, `length` frames each: the codes with their masked places filled.

        A chunk with fewer frames than `shortest` is padded: tokens 0, and the padding is generated too, and
        counts in the schedule, in all but the first `n_kept` books. Chunks with nothing masked are skipped.
        """
        result, n_frames = codes.copy(), codes.shape[-1]
        seeds, n_chunks = seeds_of(seed, len(codes)), -(-n_frames // length)
        for i in range(n_chunks):
            frames = slice(i * length, min((i + 1) * length, n_frames))
            if not mask[..., frames].any():
                continue
            n_real = frames.stop - frames.start
            padding = [(0, 0), (0, 0), (0, max(0, shortest - n_real))]
            chunk_mask = np.pad(mask[..., frames], padding, constant_values=1)
            chunk_mask[:, :n_kept, n_real:] = 0
            run = decode_masked(
                self.graphs[graph], np.pad(codes[..., frames], padding), chunk_mask, n_kept, self.mask_token,
                settings, seeds, (STAGES.index(graph), i), self.noise,
            )  # fmt: skip
            for step, arrays in enumerate(run):
                filled, masked, confidence = (array[..., :n_real] for array in arrays)
                result[..., frames] = filled
                seen = Step(
                    graph, i, n_chunks, frames.start, step, settings.steps, filled, masked, confidence
                )
                if on_step is not None and _stops(on_step(seen)):
                    return result
        return result

    def vamp(
        self,
        codes: np.ndarray,
        mask: np.ndarray,
        steps: int = 12,
        fine_steps: int = 2,
        chunk: int | None = None,
        fine_chunk: int | None = None,
        on_step: OnStep | None = None,
        **settings: object,
    ) -> np.ndarray:
        """`coarse`, then `fine`, with the same mask, settings and seed. Codes (B, C, T) to the same shape."""
        stopped = False

        def watch(step: Step) -> bool:
            nonlocal stopped
            stopped = on_step is not None and _stops(on_step(step))
            return not stopped

        codes = self.coarse(codes, mask, steps=steps, chunk=chunk, on_step=watch, **settings)
        if stopped:
            return codes
        return self.fine(codes, mask, steps=fine_steps, chunk=fine_chunk, on_step=on_step, **settings)

    def vamp_stream(
        self, blocks: Iterable[np.ndarray], hop_seconds: float = 1.0, context_seconds: float = 0.5,
        fade_seconds: float = 0.05, prompt=None, seed: int = 0, **settings: object,
    ):  # fmt: skip
        """Sound in, sound out, for as long as it comes: a `stream.VampStream` of float32 (n,) pieces.

        blocks: sound (N,) at `sample_rate`, of any lengths, one after the other. Every hop_seconds a window
        is vamped with context_seconds more on either side, as `vamp.vamp_audio` would vamp that sound alone
        with this `vamp.Prompt`, these settings of `vamp`, and a seed that is one more for each window; where
        two meet they are crossfaded for fade_seconds. As many samples come out as went in, a hop and a
        context later (`delay_seconds`). Memory does not grow. Raises InputError.
        """
        from helpers.vampnet.stream import vamp_stream  # which is made of this class

        return vamp_stream(self, blocks, hop_seconds, context_seconds, fade_seconds, prompt, seed, **settings)

    def _checked(self, codes: np.ndarray, at_least: int | None = None) -> np.ndarray:
        """Codes as int64, or an InputError: whole tokens, (B, C, T), nothing out of range."""
        codes = np.asarray(codes)
        if codes.ndim != 3 or not np.issubdtype(codes.dtype, np.integer):
            raise InputError(
                f"codes are whole numbers shaped (B, {self.n_codebooks}, T), not {codes.dtype} {codes.shape}."
            )
        wanted = self.n_codebooks if at_least is None else at_least
        if not wanted <= codes.shape[1] <= self.n_codebooks:
            several = f"{wanted} to {self.n_codebooks}" if wanted < self.n_codebooks else f"{wanted}"
            raise InputError(f"codes have {codes.shape[1]} codebooks, but should have {several}.")
        if codes.size == 0:
            raise InputError("codes are empty: there is no frame to work on.")
        if codes.min() < 0 or codes.max() > self.mask_token:
            raise InputError(
                f"codes must lie between 0 and {self.mask_token - 1} (or be MASK, {self.mask_token})."
            )
        return codes.astype(np.int64)


def keep_the_ends(mask: np.ndarray) -> np.ndarray:
    """Keep the first and last frame, in every book, of each item that keeps anything at all."""
    mask = mask.copy()
    keeps = (mask == 0).any(axis=(1, 2))
    mask[keeps, :, 0] = 0
    mask[keeps, :, -1] = 0
    return mask


def _stops(answer: object) -> bool:
    """Whether `on_step` returned False; None and anything else goes on."""
    return isinstance(answer, bool | np.bool_) and not answer


def _chunk(chunk: int | None, default: int) -> int:
    return default if chunk is None else _frames("chunk", chunk)


def _frames(name: str, value: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {shown(value)}, but should be a whole number of frames, at least 1.")
    return int(value)


def _refuse(unknown: Mapping[str, object]) -> None:
    for name in unknown:
        if name in NOT_IMPLEMENTED:
            raise InputError(f"{name} is not supported: {NOT_IMPLEMENTED[name]}.")
        raise TypeError(f"unexpected keyword argument '{name}'")
