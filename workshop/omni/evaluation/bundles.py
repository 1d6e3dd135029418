"""The bundles beside PyTorch: float32 token for token, and what 8 bit costs."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data.world.items import Item
from helpers.omni.graphs import export_bundle
from helpers.omni.pipeline import Pipeline
from helpers.omni.proof import differing
from helpers.omni.weights import Models
from helpers.runtime.manifest import load_manifest
from helpers.support.errors import InputError
from workshop.omni.asked import aloud, considered, items, typed
from workshop.omni.evaluation.rows import AT_LEAST, AT_MOST, Row, alone, shares
from workshop.omni.evaluation.speaking import misheard, said
from workshop.scoring.listener import Listener
from workshop.scoring.statistics import difference

PRECISIONS = ("fp32", "int8")


@contextlib.contextmanager
def kept_or_not(folder: Path | None) -> Iterator[Path]:
    """Where bundles go: into `folder`, for the next time, or, where it is None, to be thrown away."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def exported(
    models: Models, folder: Path, on_graph: Callable[[str], object] = lambda name: None
) -> dict[str, Path]:
    """A bundle of each precision, in folders of these names; one that was made from these files is kept."""
    found = {}
    for precision in PRECISIONS:
        found[precision] = out = folder / precision
        try:
            is_there = load_manifest(out, "omni").get("source_sha256") == models.sha256()
        except InputError:
            is_there = False
        if not is_there:
            export_bundle(models, out, precision=precision, on_graph=on_graph)
    return found


def n_bytes(bundle: Path) -> int:
    """Of its graphs."""
    return sum(path.stat().st_size for path in bundle.glob("*.onnx*"))


def equality_rows(ours: Pipeline, onnx: Pipeline, count: int) -> Iterator[Row]:
    """Spoken questions about pictures, from the ear to the last code, each in both runtimes."""
    words, codes = [], []
    for one in items("test", count):
        given = aloud(one).given
        expected, found = (pipeline.guessing().ask(**given) for pipeline in (ours, onnx))
        words.append(differing(expected.text.split(), found.text.split()) == 0)
        codes.append(np.array_equal(expected.codes, found.codes))
    of = f"ONNX Runtime and PyTorch, {count} spoken questions"
    yield Row("the same words (%)", of, shares(words), (AT_LEAST, 100.0))
    yield Row("the same codes (%)", of, shares(codes), (AT_LEAST, 100.0))


def eight_bit_rows(
    bundles: dict[str, Path], onnx: Pipeline, small: Pipeline, listener: Listener, some: Sequence[Item]
) -> Iterator[Row]:
    """Answers, what is understood of them, and how much smaller the bundle is."""
    same, right = [], []
    for one in items("test", len(some)):
        texts = [considered(pipeline, typed(one)).text for pipeline in (onnx, small)]
        same.append(texts[0] == texts[1])
        right.append([100.0 * (text == one.answer) for text in texts])
    yield Row("8 bit: answers equal to float32's (%)", "typed", shares(same), (AT_LEAST, 97.0))
    in_float, in_bits = np.array(right).T
    yield Row("8 bit: answers right (points)", "against float32", difference(in_bits, in_float))
    texts = [one.answer for one in some]
    spoken = [[said(pipeline, one)[0] for one in some] for pipeline in (onnx, small)]
    wrong = [misheard(listener, texts, audio) for audio in spoken]
    more = alone(wrong[1].mean - wrong[0].mean)
    yield Row("8 bit: talker's word errors (%)", "unseen sentences", wrong[1])
    yield Row("8 bit: talker's word errors (points)", "against float32", more, (AT_MOST, 1.0))
    size = alone(100 * n_bytes(bundles["int8"]) / n_bytes(bundles["fp32"]))
    yield Row("8 bit: size (%)", "of float32's graphs", size, (AT_MOST, 50.0))
