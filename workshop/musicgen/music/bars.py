"""Write the bars that Part II's notebooks play to MusicGen: pieces that its training never heard.

python -m workshop.musicgen.music.bars
"""

import soundfile

from helpers.support.files import ROOT
from workshop.musicgen.music.compose import compose
from workshop.musicgen.music.instruments import SAMPLE_RATE

HOME = ROOT / "data" / "bars"
PIECES = (7, 14, 20)  # of the split "test"
SECONDS = 8.0


def main() -> None:
    """Write all files again; a test compares them."""
    HOME.mkdir(exist_ok=True)
    for number, index in enumerate(PIECES, 1):
        audio = compose("test", index, SECONDS).audio
        soundfile.write(HOME / f"bar_{number}.flac", audio, SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
