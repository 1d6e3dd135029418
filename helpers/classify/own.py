"""The course's own classifiers: `config.json` has the shape and the labels, `model.safetensors` the numbers.

The ear is not stored: it is computed from its settings.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from helpers.checkpoints import COUNTER, read_safetensors
from helpers.classify.configs import Config, Front
from helpers.classify.files import CONFIG, MODEL_TYPE, WEIGHTS
from helpers.classify.model import EARS, Classifier, Network
from helpers.classify.spec import LONGEST_LABEL
from helpers.layers.spectrogram import LogMel
from helpers.support.errors import InputError
from helpers.support.files import read_json, write_json, written_whole
from helpers.transfer import Transfer, TransferReport, built, check_depth


def read_config(directory: Path) -> tuple[Config, tuple[str, ...]]:
    """What `config.json` says: the shape, and the labels. Raises InputError."""
    content = read_json(directory / CONFIG)
    if not isinstance(content, Mapping) or content.get("model_type") != MODEL_TYPE:
        raise InputError(f"{directory / CONFIG} is not of a '{MODEL_TYPE}'.")
    config, labels = Config.from_json(content), content.get("labels")
    known = isinstance(labels, list) and all(isinstance(one, str) for one in labels)
    if not known or len(labels) != config.head.n_labels or max(map(len, labels)) > LONGEST_LABEL:
        raise InputError(f"{directory / CONFIG} should have 'labels': {config.head.n_labels} names.")
    return config, tuple(labels)


def load(directory: Path) -> tuple[Classifier, TransferReport, tuple[str, ...]]:
    """Build and fill a classifier: itself, where each tensor went, the labels. Raises InputError."""
    config, labels = read_config(directory)
    tensors = read_safetensors([directory / WEIGHTS])
    check_depth(directory / CONFIG, len(config.blocks), tensors)
    classifier = built(directory / CONFIG, Classifier, config)
    classifier.front = ear(config.front)
    move = Transfer(str(directory / WEIGHTS), classifier.network, tensors)
    walk(move, classifier.network)
    return classifier.eval(), move.finish(), labels


def walk(move: Transfer, network: Network) -> None:
    """Tell a `Transfer` that every tensor has the name that it has in the module."""
    norms = {name for name, part in network.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}
    for norm in sorted(norms):
        move.batch_norm(norm, norm)
    for name, _ in network.named_parameters():
        if name.rpartition(".")[0] not in norms:
            move.copy(name, name)


def ear(front: Front) -> LogMel:
    """The front end, its kernels and bands computed."""
    return (
        EARS[front.ear]
        .computed(front.sample_rate, front.n_fft, front.hop, front.n_mels, front.f_min, front.f_max)
        .eval()
    )


def fresh(config: Config, seed: int = 0) -> Classifier:
    """A classifier to be trained: the ear computed, all else random by the seed."""
    config.check()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = Classifier(config)
    classifier.front = ear(config.front)
    return classifier


def save(
    directory: str | os.PathLike, classifier: Classifier, labels: Sequence[str], half: bool = True
) -> Path:
    """Write both files, weights in half precision unless told otherwise; variances stay in float32."""
    from safetensors.torch import save_file

    directory = Path(directory)
    stored = {
        name: (value.half() if half and not name.endswith("running_var") else value).contiguous().clone()
        for name, value in classifier.network.state_dict().items()
        if not name.endswith(COUNTER)
    }
    with written_whole(directory / WEIGHTS) as temporary:
        save_file(stored, temporary)
    content = {"model_type": MODEL_TYPE, **classifier.config.to_json(), "labels": list(labels)}
    write_json(directory / CONFIG, content)
    return directory
