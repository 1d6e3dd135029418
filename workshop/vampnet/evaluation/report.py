"""The scores as tables, as requirements that are met or not, and as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.support.tables import Table
from workshop.scoring.opus import RATES, OpusFigures
from workshop.scoring.statistics import Score, difference, score
from workshop.vampnet.evaluation.codec import Quality, Usage
from workshop.vampnet.evaluation.generation import METHODS, SETTINGS, Generation, Health
from workshop.vampnet.evaluation.tokens import Comparison, Guesses

NLL_RATIO = {"coarse": 0.80, "c2f": 0.95}  # at most, at 50 % masked
ACCURACY_RATIO = 1.5  # at least, at 25 to 75 %
RANDOM_EMBEDDING_MARGINS = 3  # half-intervals by which noise for embeddings must be worse
OPUS_TOLERANCE = 0.10  # log-mel distance beyond that of Opus at 12 kbit/s
LORA_CHANGE = -0.10  # of the NLL, at most
SEEDS_DIFFER = 0.2  # of the generated tokens, at least
LONGEST_DEAD_AIR, LONGEST_REPEAT = 0.2, 0.25  # seconds; a repeat on top of the original's own
LEAST_CHANGE = 0.5  # spectral change from frame to frame over the original's
LOUDEST_CLICK = 1.5  # the largest jump at a joint over the largest elsewhere


@dataclass(frozen=True, repr=False)
class Section(Table):
    """One table of the report."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    headings: tuple[str, ...] = ()
    note: str = ""

    def cells(self) -> list[Sequence[str]]:
        return list(self.rows)

    def summary(self) -> str:
        return self.note

    def __str__(self) -> str:
        return f"{self.title}\n{super().__str__()}".rstrip()

    def _repr_html_(self) -> str:
        return f"<h4>{self.title}</h4>{super()._repr_html_()}"


@dataclass(frozen=True)
class Requirement:
    """A target, what was measured, and whether it is met; None where it could not be measured."""

    name: str
    target: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "NOT MET", None: "not measured"}[self.met]


# --- Tables


def codec_section(qualities: Sequence[Quality], opus: OpusFigures | None) -> Section:
    """The codec at each number of codebooks, and Opus at each rate."""
    rows = [
        (f"codec, {_books(one.n_codebooks)}", f"{one.kbps:.2f}", str(one.log_mel), f"{one.si_sdr.mean:.2f}")
        for one in qualities
    ]
    for rate in RATES if opus else ():
        values = [figures[rate] for figures in opus.log_mel.values()]
        size = np.mean([sizes[rate] for sizes in opus.kbps.values()])
        rows.append((f"Opus at {rate}", f"{size:.2f}", str(score(values)), "-"))
    source = opus.source() if opus else "not installed, and nothing recorded of these files"
    headings = ("codec", "kbit/s", "log-mel distance", "SI-SDR (dB)")
    return Section("Codec, closer is better", tuple(rows), headings, f"Opus: {source}.")


def _books(n: int) -> str:
    return f"{n} codebook" + ("s" if n > 1 else "")


def usage_section(usage: Sequence[Usage]) -> Section:
    """Codes of each codebook that occur in the clips."""
    rows = tuple(
        (
            str(one.codebook),
            f"{one.in_use} of {one.size}",
            f"{one.size - one.in_use}",
            f"{one.perplexity:.1f}",
        )
        for one in usage
    )
    dead = [str(one.codebook) for one in usage if one.is_dead]
    note = f"dead codebooks: {', '.join(dead)}" if dead else "no dead codebook"
    return Section("Codes in use", rows, ("codebook", "in use", "unused", "perplexity"), note)


def tokens_section(found: Mapping[str, Sequence[Guesses]], unigram_source: str) -> Section:
    """Both transformers at every share of masked tokens."""
    headings = ("model", "masked", "NLL (nats)", "unigram NLL", "ratio", "accuracy", "copying", "ratio")
    rows = tuple(
        (
            name,
            f"{one.share:.0%}",
            str(one.nll),
            f"{one.unigram_nll.mean:.3f}",
            str(one.nll_ratio),
            str(one.accuracy),
            _or_dash(one.copy_accuracy),
            _or_dash(one.accuracy_ratio),
        )
        for name, guesses in found.items()
        for one in guesses
    )
    note = (
        f"Frequencies {unigram_source}, one added. Fine residuals are close to noise: c2f is asked for less."
    )
    return Section("Masked tokens", rows, headings, note)


def _or_dash(one: Score | None) -> str:
    return "-" if one is None else str(one)


def comparison_section(
    title: str, names: tuple[str, str], found: Mapping[str, Comparison], note: str
) -> Section:
    """Pairs of models asked for the same masked tokens."""
    headings = ("model", f"NLL, {names[0]}", f"NLL, {names[1]}", "difference", "relative change")
    rows = tuple(
        (name, str(one.first), str(one.second), str(one.difference), str(one.change))
        for name, one in found.items()
    )
    return Section(title, rows, headings, note)


def generation_section(found: Generation) -> Section:
    """Rhythm and harmony of the vamps and of what needs no transformer."""
    rows = tuple(
        (
            method,
            str(found.onsets[method]),
            str(found.chroma[method]),
            _or_dash(found.onset_leads.get(method)),
            _or_dash(found.chroma_leads.get(method)),
        )
        for method in METHODS
    )
    headings = (
        "method",
        "onset correlation",
        "chroma similarity",
        "vamp's lead: onsets",
        "vamp's lead: chroma",
    )
    settings = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in SETTINGS.items())
    note = (
        f"Vamps: {settings}. With the codec's own version of the original, on frames without coarse tokens."
    )
    return Section("Generation", rows, headings, note)


def health_section(health: Mapping[str, Health]) -> Section:
    """What could be broken in the vamps, clip by clip."""
    headings = (
        "clip", "dead air (s)", "same tokens (s)", "original's", "spectral change", "flatness",
        "click at joints", "seeds differ",
    )  # fmt: skip
    rows = tuple(
        (
            name,
            *(
                f"{value:.2f}"
                for value in (
                    one.dead_air, one.repeat, one.original_repeat, one.change, one.flatness, one.click
                )
            ),
            f"{one.seeds_differ:.0%}",
        )
        for name, one in health.items()
    )  # fmt: skip
    note = "Change and flatness over the original's; click: the largest jump at a joint over those elsewhere."
    return Section("Health of the vamps (the worse of two seeds)", rows, headings, note)


def requirements_section(requirements: Sequence[Requirement]) -> Section:
    """What the course asks of its checkpoint, and what it got."""
    rows = tuple((one.name, one.target, one.measured, one.verdict) for one in requirements)
    met = sum(one.met is True for one in requirements)
    note = f"{met} of {len(requirements)} met"
    return Section("Requirements", rows, ("what", "target", "measured", "verdict"), note)


# --- Requirements


def codec_requirements(
    qualities: Sequence[Quality], usage: Sequence[Usage], names: Sequence[str], opus: OpusFigures | None
) -> list[Requirement]:
    """All codebooks beside Opus; better with every codebook; none of them dead."""
    best = qualities[-1].log_mel.clips
    found = []
    for rate, most, target in (
        (8, 0.0, "closer than Opus at 8"),
        (12, OPUS_TOLERANCE, f"within {OPUS_TOLERANCE:.2f} of Opus at 12"),
    ):
        if opus is None:
            found.append(Requirement(f"codec, log-mel, Opus {rate}", target, "-", None))
            continue
        pairs = [(mine, opus.log_mel[name][rate]) for name, mine in zip(names, best) if name in opus.log_mel]
        lead = difference(*zip(*pairs))
        met = lead.mean < most if rate == 8 else lead.mean <= most
        found.append(Requirement(f"codec, log-mel, Opus {rate}", target, f"codec - Opus = {lead}", met))
    for name, sign in (("log_mel", -1), ("si_sdr", 1)):
        means = [getattr(one, name).mean for one in qualities]
        target = "better from " + " to ".join(str(one.n_codebooks) for one in qualities)
        shown = ", ".join(f"{mean:.3f}" for mean in means)
        met = all(sign * (after - before) > 0 for before, after in zip(means, means[1:]))
        found.append(Requirement(f"codec, {name.replace('_', '-')}", target, shown, met))
    dead = [one.codebook for one in usage if one.is_dead]
    fewest = min(one.in_use for one in usage)
    found.append(Requirement("codec, codes in use", "no dead codebook", f"fewest: {fewest}", not dead))
    return found


def tokens_requirements(found: Mapping[str, Sequence[Guesses]]) -> list[Requirement]:
    """NLL beside frequencies at 50 %, accuracy beside copying at 25 to 75 %."""
    requirements = []
    for name, guesses in found.items():
        for one in guesses:
            where = f"{name}, {one.share:.0%} masked"
            if one.share == 0.5:
                limit, value = NLL_RATIO[name], one.nll_ratio
                requirements.append(
                    Requirement(
                        f"{where}, NLL", f"<= {limit:.2f} of unigram", str(value), value.mean <= limit
                    )
                )
            if one.accuracy_ratio is not None:
                value = one.accuracy_ratio
                target, met = f">= {ACCURACY_RATIO} x copying", value.mean >= ACCURACY_RATIO
                met = met if math.isfinite(value.mean) else one.accuracy.mean > 0
                requirements.append(Requirement(f"{where}, accuracy", target, str(value), met))
    return requirements


def embedding_requirements(found: Mapping[str, Comparison]) -> list[Requirement]:
    """Random embeddings are worse by several half-widths of the difference's interval."""
    target = f"worse by >= {RANDOM_EMBEDDING_MARGINS} half-intervals"
    return [
        Requirement(
            f"{name}, random embeddings",
            target,
            f"NLL + {one.difference}",
            one.difference.mean > 0
            and one.difference.mean >= RANDOM_EMBEDDING_MARGINS * one.difference.margin,
        )
        for name, one in found.items()
    ]


def lora_requirements(found: Mapping[str, Comparison]) -> list[Requirement]:
    """Each overlay lowers the NLL on its style."""
    return [
        Requirement(
            f"{name}, LoRA, NLL",
            f"change <= {LORA_CHANGE:.0%}",
            str(one.change),
            one.change.mean <= LORA_CHANGE,
        )
        for name, one in found.items()
    ]


def generation_requirements(found: Generation) -> list[Requirement]:
    """The vamp's lead over every rival beyond the interval; nothing broken in any clip; two seeds differ."""
    requirements = [
        Requirement(f"vamp, {what}", f"above {rival}, interval too", f"lead {lead}", lead.low > 0)
        for what, leads in (("onsets", found.onset_leads), ("chroma", found.chroma_leads))
        for rival, lead in leads.items()
    ]
    health = found.health
    requirements += [
        worst("vamp, dead air (s)", {clip: one.dead_air for clip, one in health.items()}, LONGEST_DEAD_AIR),
        worst(
            "vamp, same tokens longer than in the original (s)",
            {clip: one.repeat - one.original_repeat for clip, one in health.items()},
            LONGEST_REPEAT,
        ),
        worst(
            "vamp, spectral change over the original's",
            {clip: one.change for clip, one in health.items()},
            LEAST_CHANGE,
            at_least=True,
        ),
        worst("vamp, click at joints", {clip: one.click for clip, one in health.items()}, LOUDEST_CLICK),
    ]
    seeds = score([one.seeds_differ for one in health.values()])
    requirements.append(
        Requirement(
            "vamp, two seeds differ", f">= {SEEDS_DIFFER:.0%}", str(seeds), seeds.mean >= SEEDS_DIFFER
        )
    )
    return requirements


def worst(name: str, values: Mapping[str, float], limit: float, at_least: bool = False) -> Requirement:
    """A limit that every clip must keep; what is shown is the clip that is nearest to breaking it."""
    clip = (min if at_least else max)(values, key=values.__getitem__)
    met = values[clip] >= limit if at_least else values[clip] <= limit
    return Requirement(name, f"{'>=' if at_least else '<='} {limit}", f"{clip}: {values[clip]:.2f}", met)


# --- JSON


def plain(value: object) -> object:
    """Dataclasses, arrays and tuples as what JSON knows; NaN and infinity, which it does not, as null."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
