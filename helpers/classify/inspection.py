"""What a classifier's file holds, in words, before anything is transferred."""

from collections.abc import Iterator
from pathlib import Path

from helpers.checkpoints import describe_tensors, read, read_safetensors
from helpers.classify import own
from helpers.classify.configs import Config
from helpers.classify.files import WEIGHTS, find
from helpers.classify.weights import family_of
from helpers.support.config import shown
from helpers.support.errors import InputError


def describe_checkpoint(path: Path) -> Iterator[str]:
    """Architecture, front end, outputs, tensors. Raises InputError."""
    path = find(path)
    if path.is_dir():
        config, labels = own.read_config(path)
        yield f"{path}: {config.architecture}, a classifier of {len(labels)} labels: {shown(list(labels))}"
        yield from describe_tensors(read_safetensors([path / WEIGHTS]), n_parts=0)
        yield from describe_config(config)
        return
    checkpoint = read(path)
    try:
        config = family_of(checkpoint.tensors).read_config(path, checkpoint.tensors, None)
    except InputError as error:
        yield f"{path}: a classifier that is not clear"
        yield from describe_tensors(checkpoint.tensors)
        yield f"  note: {error}"
        return
    yield f"{path}: {config.architecture}, a classifier of {config.head.n_labels} labels"
    yield from describe_tensors(checkpoint.tensors)
    yield from describe_config(config)


def describe_config(config: Config) -> Iterator[str]:
    """What goes in, what comes out."""
    front, head = config.front, config.head
    yield (
        f"  front end: {front.sample_rate} Hz, window {front.n_fft}, hop {front.hop}, {front.n_mels} mel "
        f"bands from {front.f_min:g} to {front.f_max:g} Hz"
    )
    yield f"  blocks: {', '.join(f'{one.kind} {one.width}/{one.stride}' for one in config.blocks)}"
    yield f"  gives {' and '.join(config.outputs)}; scores by {head.scores}"
    yield f"  shortest sound: {config.shortest} samples, {config.shortest / front.sample_rate:.2f} s"
