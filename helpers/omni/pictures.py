"""A picture out of a file, as the eye takes it: its middle, made small. No PyTorch."""

import os
import warnings
from pathlib import Path

import numpy as np

from helpers.support.arrays import load_array
from helpers.support.errors import InputError
from helpers.support.libraries import library

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
ARRAY = ".npy"
LARGEST_FILE = 64 << 20  # bytes
MOST_PIXELS = 64 << 20  # a small file may claim any number


def load_picture(path: str | os.PathLike, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Read an image, or a .npy of shape (H, W, 3): (size, size, 3) uint8, and how wide and high it was.

    What is transparent becomes black. Raises InputError for what is no picture.
    """
    path = Path(path)
    image = _from_array(path) if path.suffix.lower() == ARRAY else _from_file(path)
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if (width, height) != (size, size):
        middle = image.crop((left, top, left + side, top + side))
        image = middle.resize((size, size), library("PIL.Image").Resampling.LANCZOS)
    return np.asarray(image), (width, height)


def _from_array(path: Path):
    """An array of bytes, or of numbers from 0 to 1."""
    array = load_array(path, LARGEST_FILE)
    if array.ndim != 3 or array.shape[2] != 3 or not array.size or array.dtype.kind not in "uf":
        raise InputError(
            f"{path} holds {array.dtype} {array.shape}; a picture is (height, width, 3), uint8 or float."
        )
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError(f"{path}: a picture's values lie between 0 and 1, or, as uint8, up to 255.")
        array = (array * 255).round()
    elif array.max() > 255:
        raise InputError(f"{path}: a picture's whole numbers lie between 0 and 255.")
    return library("PIL.Image").fromarray(np.ascontiguousarray(array.astype(np.uint8)))


def _from_file(path: Path):
    """An image of three bytes a pixel; the first where a file has several."""
    images = library("PIL.Image")
    try:
        if not path.is_file():  # nobody may ever write into a pipe
            raise InputError(f"{path} is no file; name a picture ({', '.join(FORMATS)} or {ARRAY}).")
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is too large for a picture; make it smaller first.")
        with warnings.catch_warnings(), images.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # whatever a damaged file makes the library say
            if image.width * image.height > MOST_PIXELS:
                raise InputError(
                    f"{path} claims {image.width} x {image.height} pixels; make it smaller first."
                )
            seen = image.convert("RGBA")
        ground = images.new("RGBA", seen.size, (0, 0, 0, 255))
        return images.alpha_composite(ground, seen).convert("RGB")
    except InputError:
        raise
    except Exception as error:  # a damaged or hostile file can fail in any way
        raise InputError(
            f"{path} cannot be read as a picture: damaged, or none of {', '.join(FORMATS)}, {ARRAY}."
        ) from error
