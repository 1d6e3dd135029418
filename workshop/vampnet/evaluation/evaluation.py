"""Everything at once: the checkpoint on the clips, the tables, the verdicts."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from helpers.audio.clips import COURSE_CLIPS, LONGEST, Clip, load_clip, load_clips
from helpers.support import files
from helpers.vampnet.museum import with_random_embeddings
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.weights import Models, load_models
from workshop.scoring.opus import OpusFigures, opus_figures
from workshop.vampnet.evaluation import report
from workshop.vampnet.evaluation.baselines import unigrams
from workshop.vampnet.evaluation.codec import Quality, Usage, codebook_usage, codec_scores
from workshop.vampnet.evaluation.encoded import OTHER_STYLES, encode, tokens_of
from workshop.vampnet.evaluation.generation import Generation, generation_scores
from workshop.vampnet.evaluation.report import Requirement, Section
from workshop.vampnet.evaluation.tokens import DRAWS, SHARES, Comparison, Guesses, compare, guesses, stages

QUICK_CLIPS, QUICK_SECONDS = 3, 4.0  # a rough look
STYLE_DRAWS = 8  # a style has few clips: more masks instead
HALF = 0.5  # masked, where two models are compared
TOOLS = ("torch", "numpy", "librosa", "soxr")
OnProgress = Callable[[str], object]


@dataclass(frozen=True)
class Evaluation:
    """All scores of one checkpoint. `lora` is empty where no overlay was given."""

    directory: str
    clips: list[dict]
    style_clips: list[dict]
    sha256: dict[str, str]
    quick: bool
    codec: list[Quality]
    usage: list[Usage]
    opus: OpusFigures | None
    unigram_source: str
    tokens: dict[str, list[Guesses]]
    random_embeddings: dict[str, Comparison]
    generation: Generation
    lora: dict[str, Comparison]
    left_out: list[str]
    date: str = field(default_factory=lambda: date.today().isoformat())

    @property
    def requirements(self) -> list[Requirement]:
        """What the course asks of its checkpoint, each met or not."""
        names = [clip["name"] for clip in self.clips]
        return [
            *report.codec_requirements(self.codec, self.usage, names, self.opus),
            *report.tokens_requirements(self.tokens),
            *report.embedding_requirements(self.random_embeddings),
            *report.generation_requirements(self.generation),
            *report.lora_requirements(self.lora),
        ]

    @property
    def passed(self) -> bool:
        """Whether every requirement was measured and met."""
        return all(requirement.met is True for requirement in self.requirements)

    @property
    def sections(self) -> list[Section]:
        """The report's tables, the requirements last."""
        found = [
            report.codec_section(self.codec, self.opus),
            report.usage_section(self.usage),
            report.tokens_section(self.tokens, self.unigram_source),
            report.comparison_section(
                "Embeddings replaced by noise, 50 % masked", ("true", "random"), self.random_embeddings,
                "What a checkpoint loses when the codec's tables are not loaded into it.",
            ),
            report.generation_section(self.generation),
            report.health_section(self.generation.health),
        ]  # fmt: skip
        if self.lora:
            names = ", ".join(clip["name"] for clip in self.style_clips)
            unit = next(iter(self.lora.values())).unit
            found.append(
                report.comparison_section(
                    "LoRA on its style, 50 % masked", ("base", "with LoRA"), self.lora,
                    f"Scored on {names}; the intervals are over {unit}.",
                )
            )  # fmt: skip
        return [*found, report.requirements_section(self.requirements)]

    def heading(self) -> str:
        """What was scored on what."""
        seconds = sum(clip["seconds"] for clip in self.clips)
        names = ", ".join(clip["name"] for clip in self.clips)
        lines = [
            f"checkpoints of {self.directory}",
            f"{len(self.clips)} held-out clips, {seconds:.1f} s: {names}",
        ]
        if self.left_out:
            lines.append(f"left out, as its style is not in the training music: {', '.join(self.left_out)}")
        if self.quick:
            lines.append("a rough look: few clips, cut short")
        lines.append("means over clips with 95 % bootstrap intervals")
        return "\n".join(lines)

    def __str__(self) -> str:
        return "\n\n".join([self.heading(), *map(str, self.sections)])

    def _repr_html_(self) -> str:
        heading = "".join(f"<p>{line}</p>" for line in self.heading().splitlines())
        return heading + "".join(section._repr_html_() for section in self.sections)

    def to_json(self) -> dict:
        """What `--json` writes: every score of every clip, and what it was measured on and with."""
        tools = {name: version(name) for name in TOOLS} | {"python": platform.python_version()}
        return {**report.plain(self), "tools": tools, "requirements": report.plain(self.requirements)}


def evaluate(
    directory: str | os.PathLike,
    clips: str | os.PathLike | None = None,
    loras: Sequence[str | os.PathLike] = (),
    style_clips: str | os.PathLike | None = None,
    quick: bool = False,
    on_progress: OnProgress = lambda what: None,
) -> Evaluation:
    """Score the checkpoints of a directory on a directory of clips (None: the course's).

    loras: overlays to score on `style_clips` (None: the course's clip of another style). quick: a few clips,
    cut short. `on_progress` is told what was just done. Raises InputError.
    """
    models = load_models(directory)
    pipeline = TorchPipeline(models.codec, models.coarse, models.c2f)
    found, left_out = _clips(clips, quick)
    adapted = load_models(directory, loras) if loras else None
    style = _style(style_clips) if adapted else []

    def told(what: str) -> Callable[[], object]:
        return lambda: on_progress(what)

    encoded = []
    for clip in found:
        encoded.append(encode(pipeline, clip))
        on_progress("encode")
    codes = [item.codes for item in encoded]
    home = models.sources["codec"].path.parent
    log_p, source = unigrams(home, codes, pipeline.codebook_size)
    at_shares = {
        name: [
            guesses(model, codes, log_p, chunk, share, 1 if quick else DRAWS, on_clip=told(name))
            for share in SHARES
        ]
        for name, (model, chunk) in stages(pipeline).items()
    }
    lora = {}
    if adapted:
        style_codes = [tokens_of(pipeline, clip) for clip in style]
        style_log_p, _ = unigrams(home, style_codes, pipeline.codebook_size)
        lora = _lora_scores(pipeline, adapted, style_codes, style_log_p, told("LoRA"))
    return Evaluation(
        directory=home.name,  # not its path: the result travels
        clips=[_described(clip) for clip in found],
        style_clips=[_described(clip) for clip in style],
        sha256={name: checkpoint.sha256() for name, checkpoint in models.sources.items()}
        | {Path(path).name: files.sha256(path) for path in loras},
        quick=quick,
        codec=codec_scores(pipeline, encoded, told("codec")),
        usage=codebook_usage(codes, pipeline.codebook_size),
        opus=opus_figures(found, on_clip=told("Opus")),
        unigram_source=source,
        tokens=at_shares,
        random_embeddings=_random_embeddings(pipeline, codes, log_p, at_shares, told("random embeddings")),
        generation=generation_scores(pipeline, encoded, log_p, told("vamp")),
        lora=lora,
        left_out=left_out,
    )


def _clips(folder: str | os.PathLike | None, quick: bool) -> tuple[list[Clip], list[str]]:
    """The clips to score and the names of those left out."""
    folder = Path(COURSE_CLIPS if folder is None else folder)
    without = OTHER_STYLES if folder.resolve() == COURSE_CLIPS.resolve() else ()
    found = load_clips(folder, without, QUICK_SECONDS if quick else LONGEST)
    return (found[:QUICK_CLIPS] if quick else found), list(without)


def _style(folder: str | os.PathLike | None) -> list[Clip]:
    if folder is not None:
        return load_clips(folder)
    return [load_clip(COURSE_CLIPS / f"{name}.flac") for name in OTHER_STYLES]


def _described(clip: Clip) -> dict:
    return {"name": clip.name, "seconds": round(clip.seconds, 3), "sha256": clip.sha256}


def _random_embeddings(
    pipeline: TorchPipeline,
    codes: Sequence[np.ndarray],
    log_p: Sequence[np.ndarray],
    at_shares: dict[str, list[Guesses]],
    on_clip: Callable[[], object],
) -> dict[str, Comparison]:
    """Both transformers beside themselves without embeddings, on the masks already used at 50 %."""
    found = {}
    for name, (model, chunk) in stages(pipeline).items():
        true = next(one for one in at_shares[name] if one.share == HALF)
        draws = true.nll_by_mask.shape[1]
        noise = guesses(with_random_embeddings(model), codes, log_p, chunk, HALF, draws, on_clip=on_clip)
        found[name] = compare(true, noise)
    return found


def _lora_scores(
    pipeline: TorchPipeline,
    adapted: Models,
    codes: Sequence[np.ndarray],
    log_p: Sequence[np.ndarray],
    on_clip: Callable[[], object],
) -> dict[str, Comparison]:
    """Each transformer that an overlay belongs to, without it and with it, on the style's tokens."""
    found = {}
    for name, (base, chunk) in stages(pipeline).items():
        if adapted.loras[name]:
            pair = [
                guesses(model, codes, log_p, chunk, HALF, STYLE_DRAWS, on_clip=on_clip)
                for model in (base, getattr(adapted, name))
            ]
            found[name] = compare(*pair)
    return found
