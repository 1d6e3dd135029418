"""A vamp from audio to audio: choose what to keep, generate the rest, come back as loud and as long.

No PyTorch here: it works on any `runtime.Pipeline`, and a `vampnet.TorchPipeline` is one.
"""

from dataclasses import dataclass

import numpy as np

from helpers import audio as sound
from helpers.runtime.sampling import seeds_of
from helpers.vampnet import masks
from helpers.vampnet.pipeline import OnStep, Pipeline

MASK_NOISE = 2  # tells the noise that draws a mask apart from the noise that draws tokens


@dataclass(frozen=True)
class Prompt:
    """What of the input to keep. A place is generated if every rule says so; the codebook rule comes last.

    periodic, width, roll: every n-th frame, so many frames wide, moved to the right (0: keep none).
    prefix, suffix: seconds at the start and end. onsets: frames on either side of each onset.
    beats: seconds from each beat on. random: the share of places that may be generated.
    dropout: the share of kept places to give up. codebooks: the number of books that may be kept.
    """

    periodic: int = 7
    width: int = 1
    roll: int = 0
    prefix: float = 0.0
    suffix: float = 0.0
    onsets: int = 0
    beats: float = 0.0
    random: float = 1.0
    dropout: float = 0.0
    codebooks: int | None = 3

    def mask(
        self, pipeline: Pipeline, shape: tuple[int, ...], audio: np.ndarray, sample_rate: int, seed: int = 0
    ) -> np.ndarray:
        """The mask, int64, 1 = generate, for codes of `shape` (B, C, T) made from `audio` (channels, N)."""

        def frames(seconds: float) -> int:
            return sound.seconds_to_frames(seconds, pipeline.sample_rate, pipeline.hop)

        rng = np.random.default_rng([*seeds_of(seed, 1), MASK_NOISE])
        rules = [
            masks.periodic(shape, self.periodic, self.width, self.roll),
            masks.inpaint(shape, frames(self.prefix), frames(self.suffix)),
            masks.random(shape, self.random, rng),
        ]
        if self.onsets or self.beats:
            audio = sound.resample(audio, sample_rate, pipeline.sample_rate)
        if self.onsets:
            found = sound.onset_frames(audio, pipeline.sample_rate, pipeline.hop)
            rules.append(masks.onsets(shape, found, self.onsets))
        if self.beats:
            found = sound.beat_frames(audio, pipeline.sample_rate, pipeline.hop)
            rules.append(masks.beats(shape, found, 0, frames(self.beats)))
        return masks.build(*rules, drop=self.dropout, rng=rng, generate_from=self.codebooks)


PRESETS = {  # places to start from, the nearest to the input first
    "fine only": Prompt(periodic=1, codebooks=4),
    "close": Prompt(periodic=2, codebooks=4),
    "variation": Prompt(),
    "outline": Prompt(periodic=1, codebooks=1),
    "rhythm": Prompt(periodic=0, onsets=2, codebooks=4),
    "bridge": Prompt(periodic=0, prefix=1.0, suffix=1.0, codebooks=None),
    "continue": Prompt(periodic=0, prefix=1.5, codebooks=None),
    "nothing": Prompt(periodic=0, codebooks=0),
}


@dataclass(frozen=True)
class Vamp:
    """What came out: audio (channels, N) like the input's, and what happened on the way, all int64 (1, C, T).

    `mask` marks what was generated: a little less than was asked for, see `Pipeline.generated`.
    `missing_db` is above 0 where the peak limit kept the audio quieter than the input.
    """

    audio: np.ndarray
    codes_in: np.ndarray
    mask: np.ndarray
    codes_out: np.ndarray
    missing_db: float


def vamp_audio(
    pipeline: Pipeline,
    audio: np.ndarray,
    sample_rate: int,
    prompt: Prompt | np.ndarray,
    seed: int = 0,
    on_step: OnStep | None = None,
    **settings: object,
) -> Vamp:
    """Vamp a sound (channels, N) at any rate. `settings` are those of `Pipeline.vamp`.

    prompt: a `Prompt`, or a mask (1, C, T) or (C, T). The result has the input's rate, length, channels
    (each with the same sound: the models are mono) and loudness, with a peak of at most 1.
    """
    audio = sound.as_batch(audio)[0]
    codes = pipeline.encode(whole_frames(pipeline, audio, sample_rate), sample_rate)
    if isinstance(prompt, Prompt):
        mask = prompt.mask(pipeline, codes.shape, audio, sample_rate, seed)
    else:
        mask = masks.check(prompt[None] if np.ndim(prompt) == 2 else prompt, codes.shape)
    generated = pipeline.vamp(codes, mask, seed=seed, on_step=on_step, **settings)
    vamped = sound.resample(pipeline.decode(generated)[0], pipeline.sample_rate, sample_rate)
    vamped = np.repeat(sound.fit_length(vamped, audio.shape[-1]), len(audio), axis=0)
    vamped, missing_db = sound.match_level(vamped, audio, sample_rate)
    mask = pipeline.generated(codes, mask, settings.get("chunk"))
    return Vamp(vamped, codes, mask, generated, float(missing_db[0]))


def whole_frames(pipeline: Pipeline, audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Add the zeros that a codec with odd rates would otherwise lose from the end of the sound."""
    lost = pipeline.spec.shortest_input - 1
    return np.pad(audio, [(0, 0), (0, -(-lost * pipeline.hop * sample_rate // pipeline.sample_rate))])
