"""Score the course's own MusicGen on pieces it has not heard: `python -m workshop evaluate musicgen`.

The codec beside Opus; its tokens; whether words do what they say; whether continuations stay in the piece's
tempo and key, beside three others that only look like it: tokens drawn by how frequent they are, the prompt's
last two seconds of frames shuffled, and what another piece goes on with.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from data.music.dice import Dice
from helpers.audio.distance import RATE, at_44100, log_mel
from helpers.audio.loudness import match_level
from helpers.musicgen.fidelity import asked, guesses
from helpers.musicgen.files import MODELS
from helpers.musicgen.graphs import export_bundle
from helpers.musicgen.past import Condition
from helpers.musicgen.pipeline import Pipeline
from helpers.musicgen.reference import TorchPipeline
from helpers.support import commands
from helpers.support.commands import Parser, progress, whole
from helpers.support.files import check_outputs, write_text
from helpers.support.tables import markdown_table
from helpers.verify import log_softmax, loss_of
from workshop.musicgen.evaluation import listening
from workshop.musicgen.evaluation.listening import SAMPLE_RATE, Ear, eighth_of, tempo_of
from workshop.musicgen.music.compose import LEADS, SCALES, TEMPI, TONICS, Facts, Piece, compose, draw_facts
from workshop.musicgen.music.words import describe
from workshop.scoring import opus
from workshop.scoring.hearing import log_spectral_distance
from workshop.scoring.statistics import Score, score

PROMPT, WHOLE = 4.0, 10.0  # seconds
SHOWN = 240  # pieces that the ear learns from, each for one instrument
OPUS = 12  # kbit/s
SMALLER = ("int8", "int4")
SETTINGS = {"top_k": 50, "guidance": 3.0}
KEY = "C major"


@dataclass(frozen=True)
class Row:
    """What was measured, of whom, and the mean with its interval."""

    measure: str
    whose: str
    score: Score


def pieces(split: str, count: int, seconds: float, alone: bool = False) -> list[Piece]:
    """The first pieces of a split; `alone`: those of one instrument."""
    found, i = [], 0
    while len(found) < count:
        facts = draw_facts(Dice("musicgen", split, i))
        if not alone or facts.instruments == [facts.lead]:
            found.append(compose(split, i, seconds))
        i += 1
    return found


def codec_rows(pipeline: Pipeline, music: Sequence[Piece]) -> Iterator[Row]:
    """Distances of what the codec makes of pieces, and of what Opus does, where it is installed."""
    originals = [at_44100(one.audio[None, None], SAMPLE_RATE, round(WHOLE * RATE)) for one in music]
    heard = [pipeline.decode(pipeline.encode(one.audio, SAMPLE_RATE)) for one in music]
    versions = {"codec": [at_44100(one, SAMPLE_RATE, round(WHOLE * RATE)) for one in heard]}
    if opus.is_installed():
        versions[f"Opus at {OPUS}"] = [opus.decoded(one, OPUS)[0] for one in originals]
    for name, made in versions.items():
        yield Row("log-mel distance", name, score([log_mel(a, b) for a, b in zip(made, originals)]))
        apart = [_line_distance(a, b) for a, b in zip(made, originals)]
        yield Row("log spectrum (dB)", name, score(apart))


def _line_distance(heard: np.ndarray, reference: np.ndarray) -> float:
    levelled, _ = match_level(heard, reference, RATE)
    return log_spectral_distance(levelled[0, 0], reference[0, 0], RATE)


def token_rows(pipeline: Pipeline, music: Sequence[Piece], codes: Sequence[np.ndarray]) -> Iterator[Row]:
    """NLL in nats a token with words and without, beside how frequent tokens are; codes in use."""
    spec = pipeline.spec
    texts = [describe(one.facts, Dice("musicgen", "evaluate", i)) for i, one in enumerate(music)]
    for name, conditions in (
        ("model, with words", [pipeline.text(text) for text in texts]),
        ("model, without words", [pipeline.no_text(1)] * len(texts)),
    ):
        values = [_nll(pipeline, one, condition) for one, condition in zip(codes, conditions)]
        yield Row("NLL (nats a token)", name, score(values))
    counts = _counts(codes, spec.codebook_size)
    values = [
        float(np.mean([-np.log(counts[k, one[0, k]]).mean() for k in range(spec.n_codebooks)]))
        for one in codes
    ]
    yield Row("NLL (nats a token)", "how frequent each token is", score(values))


def _counts(codes: Sequence[np.ndarray], size: int) -> np.ndarray:
    """(K, V) probabilities by counting, each token once more than it was seen."""
    joined = np.concatenate(codes, axis=2)[0]
    counts = np.stack([np.bincount(book, minlength=size) + 1 for book in joined])
    return counts / counts.sum(1, keepdims=True)


def _nll(pipeline: Pipeline, codes: np.ndarray, condition: Condition) -> float:
    logits, true = guesses(pipeline, codes, condition)
    return float(-np.take_along_axis(log_softmax(logits), true[:, None], 1).mean())


def precision_rows(pipeline: TorchPipeline, codes: Sequence[np.ndarray]) -> Iterator[Row]:
    """What fewer bits cost on the same pieces: NLL, and how often another token comes first."""
    for precision in SMALLER:
        with tempfile.TemporaryDirectory() as folder:
            small = Pipeline.open(export_bundle(pipeline.models, Path(folder) / "x", precision=precision))
            lost = [loss_of([asked(pipeline, small, one)]) for one in codes]
        yield Row("NLL above float32's (%)", precision, score([100 * one.change for one in lost]))
        yield Row("first choice is float32's", precision, score([one.agreement for one in lost]))


def word_rows(pipeline: Pipeline, ear: Ear, takes: int, seed: int) -> Iterator[Row]:
    """How often a listener tells from the sound which word was said."""
    tempos, players = [], []
    for word in TEMPI:
        texts = [f"a {word} piece in {KEY} for {lead} alone" for lead in LEADS]
        tempos += [tempo_of(one) == word for one in _takes(pipeline, texts, takes, seed)]
    for lead in LEADS:
        texts = [f"a {tempo} piece in {KEY} for {lead} alone" for tempo in TEMPI]
        players += [ear(one) == lead for one in _takes(pipeline, texts, takes, seed)]
    yield Row("tempo is what the word says", f"one of {len(TEMPI)}", score([float(x) for x in tempos]))
    yield Row("lead is what the word says", f"one of {len(LEADS)}", score([float(x) for x in players]))


def _takes(pipeline: Pipeline, texts: Sequence[str], count: int, seed: int) -> list[np.ndarray]:
    texts = [texts[i % len(texts)] for i in range(count)]
    made = pipeline.generate(texts, seconds=WHOLE, seed=[seed + i for i in range(count)], **SETTINGS)
    return list(made.audio[:, 0])


def going_on(
    pipeline: Pipeline, music: Sequence[Piece], codes: Sequence[np.ndarray], seed: int
) -> dict[str, list[np.ndarray]]:
    """Codes (1, K, T) that begin with the first seconds of each piece: how it goes on, and only might."""
    known, n = int(PROMPT * pipeline.frame_rate), int(WHOLE * pipeline.frame_rate)
    rng, counts = np.random.default_rng(seed), _counts(codes, pipeline.codebook_size)
    prompts = [one.audio[: round(PROMPT * SAMPLE_RATE)] for one in music]
    made = pipeline.generate(
        prompt=prompts, prompt_rate=SAMPLE_RATE, seconds=WHOLE, seed=[seed + i for i in range(len(music))],
        top_k=SETTINGS["top_k"],
    )  # fmt: skip
    found = {"model": list(made.codes[:, None]), "the piece itself": [one[:, :, :n] for one in codes]}
    frequent, shuffled = [], []
    for one in codes:
        drawn = [rng.choice(pipeline.codebook_size, n - known, p=p) for p in counts]
        frequent.append(np.concatenate([one[:, :, :known], np.stack(drawn)[None]], axis=2))
        picks = rng.integers(known - 2 * pipeline.frame_rate, known, n - known)
        shuffled.append(np.concatenate([one[:, :, :known], one[:, :, picks]], axis=2))
    return found | {"by frequency": frequent, "last frames shuffled": shuffled}


def heard(pipeline: Pipeline, found: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """The sound (N,) behind the prompt of each; and what follows in another piece."""
    start = int(PROMPT * pipeline.frame_rate) * pipeline.hop
    sounds = {name: [pipeline.decode(one)[0, 0, start:] for one in made] for name, made in found.items()}
    sounds["another piece"] = [*sounds["the piece itself"][1:], sounds["the piece itself"][0]]
    return sounds


def continuation_rows(music: Sequence[Piece], sounds: dict[str, list[np.ndarray]]) -> Iterator[Row]:
    """Whether what follows keeps the piece's tempo, to the frame, and how much of it lies in its scale.

    Shuffled frames of the piece keep its scale by what they are: there the tempo tells.
    """
    for name, made in sounds.items():
        kept = [float(eighth_of(a) == one.facts.eighth) for a, one in zip(made, music)]
        yield Row("continuation keeps the tempo", name, score(kept))
        inside = [in_scale(a, one.facts) for a, one in zip(made, music)]
        yield Row("continuation in the scale", name, score(inside))


def in_scale(audio: np.ndarray, facts: Facts) -> float:
    """The share of what sounds that belongs to the scale."""
    found = listening.chroma(audio)
    steps = [(TONICS[facts.tonic] + step) % 12 for step in SCALES[facts.mode]]
    return float(found[steps].sum() / found.sum())


def health_rows(codes: Sequence[np.ndarray], sounds: Sequence[np.ndarray]) -> Iterator[Row]:
    """Dead air and stuck tones."""
    repeats = [listening.longest_repeat(one[0]) for one in codes]
    yield Row("longest dead air (s)", "model", score([listening.dead_air(one) for one in sounds]))
    yield Row("longest stuck frame (share)", "model", score(repeats))


def rows(pipeline: TorchPipeline, count: int, seed: int) -> Iterator[Row]:
    """Everything, in the order of the table."""
    music = pieces("test", count, WHOLE)
    codes = [pipeline.encode(one.audio, SAMPLE_RATE) for one in music]
    yield from codec_rows(pipeline, music)
    yield from token_rows(pipeline, music, codes)
    yield from precision_rows(pipeline, codes)
    shown, asked = (pieces(split, SHOWN, 8.0, alone=True) for split in ("train", "valid"))
    ear = Ear([one.audio for one in shown], [one.facts.lead for one in shown])
    right = [float(ear(one.audio) == one.facts.lead) for one in asked[:count]]
    yield Row("lead is what the word says", "composed pieces", score(right))
    right = [float(tempo_of(one.audio) == one.facts.tempo) for one in music]
    yield Row("tempo is what the word says", "composed pieces", score(right))
    yield from word_rows(pipeline, ear, count, seed)
    continued = going_on(pipeline, music, codes, seed)
    sounds = heard(pipeline, continued)
    yield from continuation_rows(music, sounds)
    yield from health_rows(continued["model"], sounds["model"])


def report(found: Sequence[Row], name: str, count: int) -> str:
    """A dated table."""
    table = [[row.measure, row.whose, str(row.score)] for row in found]
    when = f"Measured on {date.today()}: `{name}`, {count} pieces a row, means with 95 % intervals."
    headings = ("measure", "of", "mean")
    return f"# MusicGen, as it is\n\n{when}\n\n{markdown_table(headings, table)}\n"


def parser() -> Parser:
    """The command line."""
    command = Parser(prog="python -m workshop evaluate musicgen", description=__doc__)
    command.add_argument(
        "--checkpoints", type=Path, default=MODELS, metavar="DIR", help="default: the course's"
    )
    command.add_argument("--pieces", type=whole(2, 1000), default=24, help="a row (%(default)s)")
    command.add_argument("--seed", type=whole(0), default=0)
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    command.set_defaults(run=run)
    return command


def run(arguments) -> None:
    """Carry the command out."""
    check_outputs([arguments.markdown])
    pipeline, found = TorchPipeline.open(arguments.checkpoints), []
    with progress(unit="row") as bar:
        for row in rows(pipeline, arguments.pieces, arguments.seed):
            found.append(row)
            bar.update()
    text = report(found, Path(arguments.checkpoints).name, arguments.pieces)
    print(text, end="")
    if arguments.markdown:
        write_text(arguments.markdown, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments)
