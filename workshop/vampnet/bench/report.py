"""A benchmark as Markdown and as a picture, and what the course asks of it beside what was reached."""

import os
from collections.abc import Iterable, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from helpers.lesson import plots
from helpers.support.files import written_whole
from helpers.support.tables import markdown_table
from workshop.bench import machine
from workshop.bench.goals import Goal, goals_table, or_dash
from workshop.vampnet.bench.benchmark import EAGER, HALF, Benchmark, Timing
from workshop.vampnet.bench.worker import NEEDS, STAGE_NAMES

FLOAT, EIGHT_BIT = "ONNX Runtime fp32", "ONNX Runtime int8"
GRAPH_OPERATIONS = tuple(name for name in NEEDS if name not in ("product", "vamp"))
CAVEAT = (
    "Ratios differ between processors: PyTorch's matrix library is slow on some, and 8-bit products are fast "
    "only where the processor has instructions for them. A time says nothing without the machine above it."
)
AT_THE_CEILING = (
    "*At the ceiling*: if the whole graph ran as fast as one product of matrices in ONNX Runtime here. A "
    "goal beyond it is out of reach on this machine, whatever the graph looks like."
)
MENTIONED = 0.01  # of the time: an operator with less is left out


def goals(found: Benchmark) -> list[Goal]:
    """The course's goals beside this run."""

    def ratio(operation: str, version: str, beside: str | None = None) -> float | None:
        timing = found.find(operation, version)
        if timing is None or beside is None:
            return None if timing is None else found.ratio(timing)
        other = found.find(operation, beside)
        return None if other is None else other.median / timing.median

    def tokens_ratio(version: str) -> float | None:
        eager, timing = found.find("vamp", EAGER), found.find("vamp", version)
        return None if eager is None or timing is None else eager.tokens_to_tokens / timing.tokens_to_tokens

    coarse, small = found.find("coarse", FLOAT), found.find("coarse", EIGHT_BIT)
    return [
        Goal("coarse, ONNX Runtime fp32", 2.3, "x", ratio("coarse", FLOAT), coarse and found.bound(coarse)),
        Goal("the same, of its own ceiling", 85, "%", _percent(coarse and found.share(coarse)), 100),
        Goal("coarse, 8 bit", 5.5, "x", ratio("coarse", EIGHT_BIT), small and found.bound(small)),
        Goal("the same, beside PyTorch bf16", 1.9, "x", ratio("coarse", EIGHT_BIT, HALF)),
        Goal("encode, fp32", 1.3, "x", ratio("encode", FLOAT)),
        Goal("decode, fp32", 1.3, "x", ratio("decode", FLOAT)),
        Goal("vamp, 8 bit, tokens to tokens", 5.0, "x", tokens_ratio(EIGHT_BIT)),
        Goal("vamp, 8 bit, audio to audio", 2.7, "x", ratio("vamp", EIGHT_BIT)),
        Goal("bundle, 8 bit, smaller by", 65, "%", _saved(found, ("",))),
        Goal("its transformers, smaller by", 73, "%", _saved(found, ("coarse", "c2f"))),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _saved(found: Benchmark, beginnings: tuple[str, ...]) -> float | None:
    """Percent by which the 8-bit bundle's files are smaller than the float32 bundle's."""
    if not {"fp32", "int8"} <= set(found.sizes):
        return None
    whole, small = (
        sum(size for name, size in found.sizes[precision].items() if name.startswith(beginnings))
        for precision in ("fp32", "int8")
    )
    return 100 * (1 - small / whole)


# --- Markdown


def markdown(found: Benchmark) -> str:
    """The whole report."""
    parts = [
        _heading(found),
        "## Matrix products: what the machine can do",
        markdown_table(("library", "precision", "GFLOP/s", "median (ms)"), _products(found)),
        "## Each graph",
        markdown_table(
            ("operation", "version", "median (ms)", "middle half", "times eager", "of ceiling", "peak MB"),
            [_row(found, one) for name in GRAPH_OPERATIONS for one in found.of(name)],
        ),
        f"## A vamp of {found.audio_seconds:g} s: 12 coarse steps, 2 fine ones",
        markdown_table(
            ("version", "audio to audio (s)", "times eager", "tokens to tokens (s)", "times eager",
             *STAGE_NAMES, "peak MB"),
            [_vamp_row(found, one) for one in found.of("vamp")],
        ),
        "## Size",
        markdown_table(
            ("bundle", "MB"),
            [(name, _mb(sum(sizes.values()))) for name, sizes in found.sizes.items()],
        ),
        "## Goals, set for the public size on two cores",
        goals_table(goals(found)),
        AT_THE_CEILING,
    ]  # fmt: skip
    if found.operators:
        parts += [
            "## Where the time of coarse goes",
            markdown_table(("version", "operators"), _operators(found)),
        ]
    if found.not_timed:
        parts += [
            "## Not timed",
            markdown_table(
                ("operation", "version", "why"),
                [(one.operation, one.version, one.reason) for one in found.not_timed],
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _heading(found: Benchmark) -> str:
    versions = machine.listed(found.versions)
    load = or_dash(found.load_before, "{:.1f}")
    return (
        f"# Benchmark of {found.checkpoints}, {found.date}\n\n"
        f"{found.processor}, {found.cores} cores, {found.system}; {found.threads} threads for every version; "
        f"load before the run {load}; {versions}. The same {found.audio_seconds:g} s of sound and the same "
        "tokens for all, in turn, each version in a process of its own; medians.\n\n"
        f"{CAVEAT}"
    )


def _products(found: Benchmark) -> Iterable[Sequence[str]]:
    for one in found.of("product"):
        speed = found.flops["product"] / one.median / 1e9
        yield one.library, one.precision, f"{speed:.0f}", f"{1e3 * one.median:.2f}"


def _row(found: Benchmark, one: Timing) -> Sequence[str]:
    low, high = one.spread
    label = f"{one.version.rpartition(' ')[0]} {one.precision}"  # the codec's precision may be another
    return (
        one.operation, label, f"{1e3 * one.median:.1f}", f"{1e3 * low:.1f} to {1e3 * high:.1f}",
        or_dash(found.ratio(one), "{:.2f}"), or_dash(found.share(one), "{:.0%}"), _mb(one.memory),
    )  # fmt: skip


def _vamp_row(found: Benchmark, one: Timing) -> Sequence[str]:
    eager, stages = found.find("vamp", EAGER), one.stage_medians
    in_tokens = None if eager is None else eager.tokens_to_tokens / one.tokens_to_tokens
    return (
        one.version, f"{one.median:.2f}", or_dash(found.ratio(one), "{:.2f}"),
        f"{one.tokens_to_tokens:.2f}", or_dash(in_tokens, "{:.2f}"),
        *(f"{stages[name] / sum(stages.values()):.0%}" for name in STAGE_NAMES), _mb(one.memory),
    )  # fmt: skip


def _operators(found: Benchmark) -> Iterable[Sequence[str]]:
    for version, shares in found.operators.items():
        yield version, ", ".join(f"{name} {part:.0%}" for name, part in shares.items() if part >= MENTIONED)


def _mb(size: float | None) -> str:
    return or_dash(None if size is None else size / 1e6, "{:.0f}")


# --- Picture


def draw(found: Benchmark, path: str | os.PathLike) -> None:
    """Write a picture: how fast each version is beside PyTorch eager, and where a vamp's time goes."""
    with plt.rc_context(plots.STYLE), written_whole(path) as temporary:
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
        _draw_ratios(found, left)
        _draw_stages(found, right)
        figure.suptitle(f"{found.checkpoints} on {found.processor}, {found.threads} threads, {found.date}")
        figure.savefig(temporary, dpi=120)
        plt.close(figure)


def _draw_ratios(found: Benchmark, ax: Axes) -> None:
    """A dot for each version at each operation."""
    operations = [name for name in NEEDS if name != "product" and found.of(name)]
    names = dict.fromkeys(one.version for name in operations for one in found.of(name))
    for name, colour in zip(names, cycle(plots.SERIES)):
        timings = {one.operation: found.ratio(one) for one in found.timings if one.version == name}
        points = [(timings[place], y) for y, place in enumerate(operations) if timings.get(place) is not None]
        ax.plot(*zip(*points), "o", color=colour, label=name)
    ax.axvline(1, color=plots.GREY, linewidth=0.8)
    ax.set_xlim(left=0)
    ax.set_xlabel("times as fast as PyTorch eager fp32")
    ax.set_yticks(range(len(operations)), operations)
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=8)


def _draw_stages(found: Benchmark, ax: Axes) -> None:
    """Seconds of a vamp, stage after stage."""
    timings = found.of("vamp")
    left = [0.0] * len(timings)
    for stage, colour in zip(STAGE_NAMES, plots.SERIES):
        widths = [one.stage_medians[stage] for one in timings]
        ax.barh([one.version for one in timings], widths, left=left, color=colour, label=stage)
        left = [start + width for start, width in zip(left, widths)]
    ax.set(xlabel=f"seconds for {found.audio_seconds:g} s of audio")
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=8)
