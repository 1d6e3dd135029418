"""`python -m data.world OUT.png`: a sheet of pictures, each with its question and its answer."""

import argparse
import textwrap
from pathlib import Path

from data.world.items import SPLITS, item


def sheet(path: Path, split: str, seed: int, count: int = 24) -> None:
    """The first items of a split that have a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [one for one in (item(split, i, seed) for i in range(2 * count)) if one.picture is not None]
    figure, axes = pyplot.subplots(count // 6, 6, figsize=(15, 3 * count // 6))
    for ax, one in zip(axes.flat, shown):
        ax.imshow(one.picture)
        ax.set_axis_off()
        ax.set_title(textwrap.fill(f"{one.question}? {one.answer}", 30), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sheet(arguments.out, arguments.split, arguments.seed)
