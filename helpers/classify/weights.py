"""A classifier's weights, out of its file into its modules."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from torch import Tensor

from helpers.checkpoints import read
from helpers.classify import efficientat, own, panns
from helpers.classify.configs import Config
from helpers.classify.files import CONFIG, WEIGHTS, find
from helpers.classify.labels import numbered, read_labels
from helpers.classify.model import Classifier
from helpers.classify.spec import Spec
from helpers.support.errors import InputError
from helpers.support.files import sha256
from helpers.transfer import Transfer, TransferReport, built


@dataclass(frozen=True)
class Models:
    """A classifier, how its weights got there, its labels, and from which files."""

    classifier: Classifier
    report: TransferReport
    labels: tuple[str, ...]
    files: dict[str, Path]

    @property
    def config(self) -> Config:
        return self.classifier.config

    @property
    def spec(self) -> Spec:
        """What the runtime must know."""
        config = self.config
        return Spec(
            config.architecture, config.front.sample_rate, config.front.hop, config.shortest,
            config.window_seconds, config.outputs, self.labels,
        )  # fmt: skip

    def sha256(self) -> dict[str, str]:
        """Of every file that numbers came from."""
        return {name: sha256(path) for name, path in self.files.items()}


def load_models(
    path: str | os.PathLike, model: str | None = None, labels: str | os.PathLike | None = None
) -> Models:
    """Read, build and fill a classifier. Raises InputError that names the file and the tensor.

    model: which architecture it is, where the file's name does not say it. labels: a CSV of their names.
    """
    path = find(path)
    if not path.is_dir():
        return load_public(path, model, labels)
    if model is not None:
        raise InputError(f"{path} says itself what it is; --model goes with a file of PANNs.")
    classifier, report, names = own.load(path)
    names = read_labels(labels, len(names)) if labels else names
    return Models(classifier, report, names, {name: path / name for name in (CONFIG, WEIGHTS)})


def family_of(tensors: Mapping[str, Tensor]) -> ModuleType:
    """The module that knows a public file's names."""
    return efficientat if any(name.endswith(efficientat.HALLMARK) for name in tensors) else panns


def load_public(path: Path, model: str | None, labels: str | os.PathLike | None) -> Models:
    """One of PANNs' files, whose ear comes from there too, or one of EfficientAT's, whose ear is computed."""
    checkpoint = read(path)
    family = family_of(checkpoint.tensors)
    config = family.read_config(path, checkpoint.tensors, model)
    names = read_labels(labels, config.head.n_labels) if labels else numbered(config.head.n_labels)
    classifier = built(path, Classifier, config)
    if family is efficientat:
        classifier.front = own.ear(config.front)
    module = classifier if family is panns else classifier.network
    move = Transfer(checkpoint.called, module, checkpoint.tensors)
    family.walk(move, config)
    return Models(classifier.eval(), move.finish(), names, {path.name: path})
