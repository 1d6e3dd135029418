"""The held-out clips that ship with the course: ten seconds each out of pieces of the test split.

python -m data.music.clips          (in the repository root; writes data/clips and its README)
"""

import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from data.music.compose import Piece, compose
from data.music.notes import BEAT, PHRASE_BARS
from data.music.performance import LEAD_IN
from data.music.render import (
    SAMPLE_RATE,
    faded,
    levelled,
    loudness_target,
    measured_loudness,
    render,
    write_flac,
)
from helpers.support.errors import InputError
from helpers.support.files import written_whole

FOLDER = Path(__file__).resolve().parent.parent / "clips"
SEED, SPLIT = 2026, "test"
SECONDS = 10.0


class Clip(NamedTuple):
    """Ten seconds from phrase `phrase` (counted from 0) of piece `index` of a style."""

    name: str
    style: str
    index: int
    phrase: int
    character: str

    @property
    def piece(self) -> Piece:
        return source(self)


CLIPS = (
    Clip("rock", "rock", 1, 0, "dense, fast, distorted"),
    Clip("funk", "funk", 0, 1, "dense, syncopated, ghost notes"),
    Clip("house", "house", 0, 1, "four on the floor, drum machine"),
    Clip("swing", "swing", 1, 0, "swung eighths, walking bass"),
    Clip("waltz", "waltz", 2, 1, "three beats a bar"),
    Clip("ambient", "ambient", 2, 1, "sparse, sustained"),
    Clip("chamber", "chamber", 1, 2, "tonal, no drums"),
    Clip("drums_slow", "percussion", 0, 1, "percussive, no pitch"),
    Clip("drums_fast", "percussion", 4, 0, "percussive, no pitch, dense"),
    Clip("piano", "solo_piano", 3, 1, "solo, polyphonic"),
    Clip("guitar", "solo_guitar", 4, 1, "solo, plucked"),
    Clip("oboe", "solo_wind", 0, 0, "solo, one voice, with rests"),
    Clip("cello", "solo_strings", 0, 1, "solo, bowed, one voice"),
    Clip("marimba", "solo_mallets", 1, 0, "solo, struck, short notes"),
    Clip("music_box", "music_box", 3, 1, "solo, high; a style outside the mixture"),
)


@cache
def source(clip: Clip) -> Piece:
    """The piece that a clip is cut from."""
    return compose(SEED, SPLIT, clip.index, clip.style)


def start_of(clip: Clip) -> float:
    """Seconds into the piece at which the clip begins: a breath before the phrase, so no attack is cut."""
    piece = clip.piece
    return clip.phrase * PHRASE_BARS * piece.plan.bar / BEAT * 60 / piece.plan.tempo


def cut(clip: Clip) -> np.ndarray:
    """The clip, (N,) float32 at 44.1 kHz, as loud as its piece was meant to be."""
    start = round(start_of(clip) * SAMPLE_RATE)
    audio = render(clip.piece)[start : start + round(SECONDS * SAMPLE_RATE)]
    audio = faded(faded(audio, 0.4)[::-1], LEAD_IN / 2)[::-1]
    return levelled(audio, loudness_target(clip.piece))


def heard(clip: Clip) -> str:
    """Who plays in the clip's first phrase."""
    players = clip.piece.plan.players
    names = [players[part] + (" kit" if part == "drums" else "") for part in clip.piece.phrases[clip.phrase]]
    return ", ".join(dict.fromkeys(name.replace("_", " ") for name in names))


def line(clip: Clip, loudness: float) -> str:
    """The clip's row in the README."""
    piece = clip.piece
    key = piece.plan.key.name if set(piece.plan.players) != {"drums"} else "none"
    return (
        f"| `{clip.name}.flac` | {clip.character} | {heard(clip)} | {key} | {piece.plan.tempo} | "
        f"{loudness:.1f} | {piece.plan.name}, {start_of(clip):.2f} s |"
    )


README = f"""# Held-out clips

{SECONDS:.0f} seconds each, 44.1 kHz, mono, 16-bit FLAC. They are cut from pieces of the `{SPLIT}` split (seed
{SEED}): no four bars of any of their parts, transposed or not, occur in music made for training, whatever its
seed. `music_box` is a style that the mixture leaves out; it is here for the fine-tune.

| file | character | instruments | key | beats a minute | LUFS | piece and start |
| --- | --- | --- | --- | --- | --- | --- |
TABLE

## How they were made
Composed by rule (`data/music/`), played by FluidSynth 2.3 with the sound font FluidR3 (Frank Wen), then
brought to an even loudness. Other versions of FluidSynth round differently, so the samples of a new rendering
may differ slightly; the notes do not.

```
python -m data.music.clips                                        # these clips and this file
python -m data.music OUT_DIR --minutes 60 --seed 0 --split train  # more music, here an hour
python -m data.music OUT_DIR --minutes 20 --style music_box       # one style, for a fine-tune
```

Both need Debian's packages `fluidsynth` and `fluid-soundfont-gm` and the Python package `mido`. The second
command lists what it made in `OUT_DIR/SPLIT.json`, and continues where it was interrupted.

## What "held out" means
What is compared is what one part (melody, chords, bass or drums) plays. Two passages of a pitched part are
the same when their notes begin at the same times and lie the same intervals apart; key, tempo, instrument,
dynamics, swing and note lengths make no difference. Two drum passages are the same when they hit the same
drums at the same times.

The unit that is divided is two neighbouring bars in which the part plays. A hash of each unit marks an
eighth of all units for `test` and another eighth for `valid`. Pieces for training are composed without any
marked unit; in a held-out piece both halves of every four-bar phrase carry its own split's mark. Any four
bars in a row hold half a phrase, so no four bars of any part, beginning at any bar line, are on two sides.
(A part that plays in only one of those bars has no unit there, and is not a phrase.) No list of pieces has
to be kept: the rule holds for all seeds.

## Beside Opus
`opus.json` records how far Opus at 6, 8, 12 and 16 kbit/s is from these clips, file by file, with the version
and the options it was measured with: `python -m workshop evaluate vampnet` puts it beside the course's
codec where `opusenc` is not installed.

## Licence
The notes and these recordings: CC0 1.0 (public domain dedication,
<https://creativecommons.org/publicdomain/zero/1.0/>). Use them for anything. The sound font FluidR3, whose
samples are heard in them but which is not included, is under the MIT licence (copyright 2000-2002, 2008 Frank
Wen).
"""


def main() -> int:
    """Write every clip and the README; return the exit status."""
    lines = []
    try:
        for clip in tqdm(CLIPS, desc="clips"):
            audio = cut(clip)
            write_flac(FOLDER / f"{clip.name}.flac", audio)
            lines.append(line(clip, measured_loudness(audio)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with written_whole(FOLDER / "README.md") as temporary:
        temporary.write_text(README.replace("TABLE", "\n".join(lines)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
