"""Compose and render music into a folder.

    python -m data.music OUT_DIR --minutes 60 --seed 0 --split train
    python -m data.music OUT_DIR --minutes 20 --style music_box

Each piece becomes a FLAC file (44.1 kHz, mono, 16 bits), and OUT_DIR/SPLIT.json lists the pieces. Run the
same command again after an interruption, or with more minutes: pieces that are already there are kept.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from data.music.compose import Piece, compose
from data.music.phrases import SPLITS
from data.music.render import SAMPLE_RATE, measured_loudness, render, synthesizer, write_flac
from data.music.styles import ALL_STYLES
from helpers.support import commands
from helpers.support.commands import Parser, number
from helpers.support.errors import InputError
from helpers.support.files import read_json, write_json

STYLE_HELP = (
    "only this style; without it those of the mixture take turns; music_box and calypso are not in it, "
    "which suits a fine-tune"
)


def row(piece: Piece, seed: int, seconds: float, loudness: float) -> dict:
    """What the manifest says about a piece; `phrases` holds the fingerprints by part."""
    return {
        "piece": piece.plan.name,
        "seed": seed,
        "split": piece.plan.split,
        "style": piece.plan.style_name,
        "key": piece.plan.key.name,
        "tempo": piece.plan.tempo,
        "beats": piece.plan.style.beats,
        "form": piece.plan.form,
        "instruments": piece.plan.players,
        "seconds": round(seconds, 2),
        "loudness": round(loudness, 2),
        "notes": piece.digest,
        "phrases": piece.fingerprints,
    }


def read_manifest(path: Path) -> dict[str, dict]:
    """Piece -> its row; empty where there is no manifest yet."""
    if not path.exists():
        return {}
    try:
        return {entry["piece"]: entry for entry in read_json(path) if entry["seconds"] > 0}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a manifest of this command; choose another folder.") from error


def make(folder: Path, minutes: float, seed: int, split: str, style: str | None) -> list[dict]:
    """Render pieces until they last `minutes`; return their rows in order."""
    synthesizer()  # complain before the work if it is missing
    manifest = folder / f"{split}.json"
    rows, made = read_manifest(manifest), []
    with tqdm(total=round(60 * minutes), unit="s", desc=f"music for {split}", disable=None) as progress:
        while sum(r["seconds"] for r in made) < 60 * minutes:
            piece = compose(seed, split, len(made), style)
            path = folder / f"{piece.plan.name}.flac"
            if not (path.exists() and rows.get(piece.plan.name, {}).get("notes") == piece.digest):
                audio = render(piece)
                write_flac(path, audio)
                rows[piece.plan.name] = row(piece, seed, len(audio) / SAMPLE_RATE, measured_loudness(audio))
                write_json(manifest, [rows[name] for name in sorted(rows)])
            made.append(rows[piece.plan.name])
            progress.update(min(round(made[-1]["seconds"]), progress.total - progress.n))
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = Parser(prog="python -m data.music", description="Compose and render music.")
    parser.add_argument("folder", metavar="OUT_DIR", type=Path)
    parser.add_argument("--minutes", type=number(0.001, 6000), default=60.0, help="of music (60)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other pieces (0)")
    parser.add_argument("--split", choices=SPLITS, default="train", help="no phrase is in two splits (train)")
    parser.add_argument("--style", choices=ALL_STYLES, help=STYLE_HELP)
    parser.set_defaults(run=carry_out)
    return commands.main(parser, arguments, stopped="stopped; the same command continues.")


def carry_out(options: argparse.Namespace) -> None:
    """Make the music; say how much there is."""
    rows = make(options.folder, options.minutes, options.seed, options.split, options.style)
    print(f"{len(rows)} pieces, {sum(r['seconds'] for r in rows) / 60:.1f} minutes in {options.folder}")


if __name__ == "__main__":
    sys.exit(main())
