"""`python -m data.chorus OUT`: clips as sound files, a folder a species, and a sheet of spectrograms."""

import argparse
from pathlib import Path

import numpy as np

from data.chorus.compose import SPLITS, N, clip, clips
from data.chorus.species import LABELS, RATE
from helpers import audio as sound
from helpers.layers.spectrogram import LogMel


def sheet(path: Path, seed: int = 0) -> None:
    """A row a species: three close recordings, then two from far off."""
    import matplotlib

    matplotlib.use("Agg")
    import torch
    from matplotlib import pyplot

    ear = LogMel.computed(RATE, 512, 160, 96, 50, 8000)
    figure, rows = pyplot.subplots(len(LABELS), 5, figsize=(16, 1.5 * len(LABELS)), sharex=True, sharey=True)
    for label, axes in enumerate(rows):
        for i, ax in enumerate(axes):
            audio = torch.from_numpy(clip(label, i > 2, (seed, i)))[None]
            picture = ear(audio)[0, 0].numpy().T
            top = picture.max()
            ax.imshow(picture, origin="lower", aspect="auto", cmap="magma", vmin=top - 55, vmax=top,
                      extent=(0, N / RATE, 0, 96))  # fmt: skip
            ax.set(yticks=[], xticks=[0, 1, 2])
        axes[0].set_ylabel(LABELS[label], rotation=0, ha="right", va="center")
    rows[0, 1].set_title("close")
    rows[0, 3].set_title("far")
    figure.supxlabel("seconds")
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def write(out: Path, per_species: int | None) -> None:
    """Every split as `OUT/SPLIT/SPECIES/NUMBER.flac`."""
    for split in SPLITS:
        for i, (audio, label) in enumerate(zip(*clips(split, per_species))):
            folder = out / split / LABELS[label].replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            sound.save(folder / f"{i:04d}.flac", np.asarray(audio), RATE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument(
        "--per-species", type=int, metavar="N", help="clips of each, instead of as many as usual"
    )
    parser.add_argument("--sheet", action="store_true", help="the sheet alone, to OUT as a picture")
    arguments = parser.parse_args()
    if arguments.sheet:
        sheet(arguments.out)
    else:
        write(arguments.out, arguments.per_species)
