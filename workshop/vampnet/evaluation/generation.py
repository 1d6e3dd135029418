"""Vamps of the clips: do they keep tempo and harmony, and is anything broken in them?

Every clip is vamped as the command does it (every 7th frame kept in the first 3 codebooks), with SETTINGS,
and set beside what the codec makes of the original, on the frames that were generated. Three things that need
no transformer are measured in the same way: the other clips; tokens drawn by their frequency; tokens copied
from the nearest kept frame (codebooks that keep nothing are left out of that sound, which is kinder to it
than noise).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers import audio as sound
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.vamp import Prompt
from workshop.scoring import likeness
from workshop.scoring.statistics import Score, difference, score
from workshop.vampnet.evaluation.baselines import copied, sample
from workshop.vampnet.evaluation.encoded import Encoded, decode_books

PROMPT = Prompt(periodic=7, codebooks=3)
SETTINGS = {"temperature": 0.5, "fine_steps": 8}  # chosen on other music: see models/README.md
SEEDS = (0, 1)
METHODS = ("vamp", "other clips", "unigram sampling", "nearest-frame copying")
JOINT_SECONDS, JOINT_CHUNK = 6, 2  # seconds of a clip that are vamped in chunks of two, for their joints


@dataclass(frozen=True)
class Heard:
    """What is compared of a sound: its onset envelope, its chromagram, and which frames are not silent."""

    onsets: np.ndarray
    chroma: np.ndarray
    sounds: np.ndarray

    def like(self, original: "Heard", frames: np.ndarray) -> tuple[float, float]:
        """(onset correlation, chroma similarity) with the original, the latter where the original sounds."""
        n = min(len(frames), len(original.sounds))
        return (
            likeness.correlation(self.onsets, original.onsets, frames),
            likeness.cosine(self.chroma, original.chroma, frames[:n] & original.sounds[:n]),
        )


@dataclass(frozen=True)
class Health:
    """What could be broken in the vamps of one clip, the worse of two seeds.

    dead_air: seconds. repeat: seconds with the same coarse tokens, and how long the original has that.
    change, flatness: spectral change and flatness over the original's. click: the largest jump at a joint
    of chunks over the largest elsewhere. seeds_differ: the share of generated tokens that do.
    """

    dead_air: float
    repeat: float
    original_repeat: float
    change: float
    flatness: float
    click: float
    seeds_differ: float


@dataclass(frozen=True)
class Generation:
    """By method: onset correlation and chroma similarity with the original; by rival: the vamp's lead."""

    onsets: dict[str, Score]
    chroma: dict[str, Score]
    onset_leads: dict[str, Score]
    chroma_leads: dict[str, Score]
    health: dict[str, Health]  # by clip


def generation_scores(
    pipeline: TorchPipeline,
    encoded: Sequence[Encoded],
    unigrams: Sequence[np.ndarray],
    on_clip: Callable[[], object] = lambda: None,
) -> Generation:
    """Vamp every clip and score the vamps. unigrams: for each clip log-probabilities (C, V)."""
    originals = [hear(pipeline, item.rebuilt) for item in encoded]
    pairs, health = {method: [] for method in METHODS}, {}
    for i, item in enumerate(encoded):
        mask = generated_places(pipeline, item)
        frames = compared_frames(pipeline, mask)
        vamps = [pipeline.vamp(item.codes, mask, seed=seed, **SETTINGS) for seed in SEEDS]
        sounds = [pipeline.decode(vamp) for vamp in vamps]
        rng = np.random.default_rng((SEEDS[0], i))
        others = {
            "vamp": [hear(pipeline, audio) for audio in sounds],
            "other clips": originals[:i] + originals[i + 1 :],
            "unigram sampling": [hear(pipeline, by_frequency(pipeline, item, mask, unigrams[i], rng))],
            "nearest-frame copying": [hear(pipeline, by_copying(pipeline, item, mask))],
        }
        for method, heard in others.items():
            likes = [one.like(originals[i], frames) for one in heard] or [(np.nan, np.nan)]
            pairs[method].append(np.mean(likes, axis=0))
        health[item.name] = check_health(pipeline, item, mask, vamps, sounds)
        on_clip()
    onsets, chroma = ({name: np.array(rows)[:, k] for name, rows in pairs.items()} for k in (0, 1))
    rivals = METHODS[1:]
    return Generation(
        {name: score(values) for name, values in onsets.items()},
        {name: score(values) for name, values in chroma.items()},
        {name: difference(onsets["vamp"], onsets[name]) for name in rivals},
        {name: difference(chroma["vamp"], chroma[name]) for name in rivals},
        health,
    )


def generated_places(pipeline: TorchPipeline, item: Encoded) -> np.ndarray:
    """The places that a vamp of the clip generates, int64 (1, C, T)."""
    mask = PROMPT.mask(pipeline, item.codes.shape, item.clip.audio, item.clip.sample_rate)
    return pipeline.generated(item.codes, mask)


def compared_frames(pipeline: TorchPipeline, mask: np.ndarray) -> np.ndarray:
    """bool (T,): frames with all coarse tokens generated, but for both ends, where every sound begins."""
    frames = mask[0, : pipeline.n_coarse_codebooks].all(0)
    edge = -(-likeness.WINDOW // pipeline.hop)
    frames[:edge], frames[-edge:] = False, False
    return frames


def hear(pipeline: TorchPipeline, audio: np.ndarray) -> Heard:
    """Listen to a decoded sound (1, 1, M)."""
    audio, rate, hop = audio[0, 0], pipeline.sample_rate, pipeline.hop
    return Heard(
        likeness.onset_envelope(audio, rate, hop),
        likeness.chroma(audio, rate, hop),
        likeness.frame_levels(audio, hop) > likeness.SILENT_DB,
    )


def by_frequency(
    pipeline: TorchPipeline, item: Encoded, mask: np.ndarray, log_p: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The sound of tokens drawn by their frequency at the generated places."""
    drawn = sample(log_p, item.codes.shape[-1], rng)[None]
    return pipeline.decode(np.where(mask == 1, drawn, item.codes))


def by_copying(pipeline: TorchPipeline, item: Encoded, mask: np.ndarray) -> np.ndarray:
    """The sound of the first codebooks, as far as each keeps a frame, copied from the nearest such frame."""
    n_books = max(1, int((mask[0] == 0).any(-1).cumprod().sum()))
    tokens = copied(item.codes[:, :n_books], mask[:, :n_books])
    return decode_books(pipeline.codec, np.where(tokens < 0, item.codes[:, :n_books], tokens), n_books)


def check_health(
    pipeline: TorchPipeline, item: Encoded, mask: np.ndarray, vamps: list[np.ndarray], sounds: list
) -> Health:
    """Look for silence, held tones, clicks and sameness in the vamps of one clip and their sounds."""
    rate, hop, books = pipeline.sample_rate, pipeline.hop, slice(pipeline.n_coarse_codebooks)
    original, rebuilt = item.clip.conditioned(rate)[0, 0], item.rebuilt[0, 0]
    places = mask == 1
    change, flatness = likeness.spectral_change(rebuilt, rate, hop), likeness.flatness(rebuilt, hop)
    return Health(
        dead_air=max(likeness.dead_air(audio[0, 0], original, hop) for audio in sounds) * hop / rate,
        repeat=max(likeness.longest_repeat(vamp[0, books]) for vamp in vamps) * hop / rate,
        original_repeat=likeness.longest_repeat(item.codes[0, books]) * hop / rate,
        change=min(likeness.spectral_change(audio[0, 0], rate, hop) for audio in sounds) / change,
        flatness=max(likeness.flatness(audio[0, 0], hop) for audio in sounds) / flatness,
        click=click_at_joints(pipeline, item, mask),
        seeds_differ=float((vamps[0] != vamps[1])[places].mean()),
    )


def click_at_joints(pipeline: TorchPipeline, item: Encoded, mask: np.ndarray) -> float:
    """Vamp the start of the clip in short chunks and look at their joints, the c2f's own among them."""
    n_frames, chunk = (
        sound.seconds_to_frames(seconds, pipeline.sample_rate, pipeline.hop)
        for seconds in (JOINT_SECONDS, JOINT_CHUNK)
    )
    codes, mask = item.codes[..., :n_frames], mask[..., :n_frames]
    audio = pipeline.decode(pipeline.vamp(codes, mask, seed=SEEDS[0], chunk=chunk, **SETTINGS))[0, 0]
    starts = {*range(chunk, codes.shape[-1], chunk)}
    starts |= {*range(pipeline.spec.c2f_chunk, codes.shape[-1], pipeline.spec.c2f_chunk)}
    return likeness.click(audio, np.array(sorted(starts)) * pipeline.hop, pipeline.hop)
