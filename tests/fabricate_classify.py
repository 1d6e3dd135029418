"""Classifiers of other sizes with random weights, in PANNs' files, for tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helpers.classify import panns
from helpers.classify.configs import Block, Config, Front, Head
from helpers.classify.model import Classifier
from helpers.layers.spectrogram import LogMel

GOLDEN = Path(__file__).parent / "golden" / "classify"
FRONTS = {
    rate: Front(rate, n_fft, hop, 64, 50.0, f_max) for n_fft, (rate, hop, f_max) in panns.FRONTS.items()
}


class Writer:
    """A `Transfer` the other way: from a module to a checkpoint's tensors."""

    def __init__(self, module):
        self.values = dict(module.named_parameters()) | dict(module.named_buffers())
        self.tensors = {}

    def copy(self, target, source, shape=None):
        self.tensors[source] = self.values[target].detach().clone()

    def batch_norm(self, target, prefix):
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            self.copy(f"{target}.{part}", f"{prefix}.{part}")


def shape(architecture, rate=32000, widths=None, hidden=10, n_labels=7, n_mels=64):
    """A config of one of PANNs' architectures with odd widths."""
    family = panns.family_of(architecture)
    strides = panns.STRIDES[family]
    widths = widths or [3 + i % 4 for i in range(len(strides))]
    blocks = [BLOCKS[family](i, len(strides) - 1, widths, stride) for i, stride in enumerate(strides)]
    head = Head(n_labels, panns.POOLS.get(architecture, "peak"), hidden, scores="sigmoid")
    front = replace(FRONTS[rate], n_mels=n_mels)
    return Config(architecture, front, tuple(blocks), head, window_seconds=panns.SECONDS)


def _mobile_2(i, last, widths, stride):
    how = {"activation": "relu6", "striding": "pool"}
    if i in (0, last):
        return Block("conv", widths[i], stride, 1 if i else 3, **how)
    return Block("inverted", widths[i], stride, expanded=widths[i - 1] * (1 if i == 1 else 6), **how)


BLOCKS = {
    "Cnn14": lambda i, last, widths, stride: Block("twice", widths[i], stride),
    "MobileNetV1": lambda i, last, widths, stride: Block(
        "separable" if i else "conv", widths[i], stride, striding="pool"
    ),
    "MobileNetV2": _mobile_2,
}


def random_classifier(config, seed=0):
    """A classifier with random weights, whose norms know its sounds: else all sound the same to it."""
    torch.manual_seed(seed)
    model = Classifier(config)
    front = config.front
    model.front = LogMel.computed(
        front.sample_rate, front.n_fft, front.hop, front.n_mels, front.f_min, front.f_max
    )
    for module in model.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.uniform_(-0.3, 0.3)
            module.momentum = 1  # the statistics of the one batch
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight)
    with torch.no_grad():
        model.train()(torch.from_numpy(sound(3, 2 * front.sample_rate, seed=seed)))
    return model.eval()


def write_panns(path, model, change=lambda tensors: None, **more):
    """A file as PANNs' are: a state dict, and the state of a sampler with its arrays."""
    writer = Writer(model)
    panns.walk(writer, model.config)
    change(writer.tensors)
    sampler = {"indexes": np.arange(16), "pointer": 3, "queue": [np.array([1.5]), np.int64(2)]}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"iteration": 9, "model": writer.tensors, "sampler": sampler} | more, path)
    return path


def sound(batch, n_samples, seed=0):
    """Tones that glide, and noise: (batch, n_samples) float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / 8000
    pitch = rng.uniform(100, 3000, (batch, 1))
    glide = np.sin(2 * np.pi * (pitch * time + rng.uniform(-500, 500, (batch, 1)) * time**2))
    return (0.3 * glide + 0.05 * rng.standard_normal((batch, n_samples))).astype(np.float32)
