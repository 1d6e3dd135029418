"""EfficientAT's files, made by the names and shapes that the authors' code has: read, exported, refused."""

import math

import numpy as np
import pytest
import torch
from fabricate_classify import sound
from refusals import refused

from helpers import rooms
from helpers.classify import efficientat, own
from helpers.classify.configs import Block, Config, Front, Head
from helpers.classify.graphs import export_bundle
from helpers.classify.proof import verify_bundle
from helpers.classify.weights import load_models
from helpers.layers.spectrogram import KaldiMel

ROWS = (  # of MobileNetV3: kernel, width inside, width, squeeze and excitation (Howard et al. 2019, table 1)
    (3, 16, 16, 0), (3, 64, 24, 0), (3, 72, 24, 0), (5, 72, 40, 1), (5, 120, 40, 1), (5, 120, 40, 1),
    (3, 240, 80, 0), (3, 200, 80, 0), (3, 184, 80, 0), (3, 184, 80, 0), (3, 480, 112, 1), (3, 672, 112, 1),
    (5, 672, 160, 1), (5, 960, 160, 1), (5, 960, 160, 1),
)  # fmt: skip


def divisible(width):
    """The nearest multiple of 8, not much below (as MobileNets round their widths)."""
    near = max(8, int(width + 4) // 8 * 8)
    return near + 8 if near < 0.9 * width else near


def shape(times, n_labels):
    """A config at a multiple of the usual widths."""
    first = divisible(16 * times)
    blocks = [Block("conv", first, 2, 3, activation="hardswish")]
    for i, ((kernel, expanded, width, weighed), stride) in enumerate(zip(ROWS, efficientat.STRIDES)):
        wide = divisible(expanded * times)
        attention = ("se", divisible(wide // 4)) if weighed else ("", 0)
        activation = "relu" if i < 6 else "hardswish"
        width = divisible(width * times)
        more = {"activation": activation, "squeezing": "relu"}
        blocks.append(Block("inverted", width, stride, kernel, wide, *attention, **more))
    blocks.append(Block("conv", 6 * blocks[-1].width, 1, 1, activation="hardswish"))
    head = Head(n_labels, "mean", divisible(1280 * times), "hardswish", scores="sigmoid", embedding="pooled")
    return Config("EfficientAT", efficientat.FRONT, tuple(blocks), head, False, 1e-3, 10.0)


class Writer:
    """A `Transfer` the other way."""

    def __init__(self, module):
        self.values, self.tensors = module.state_dict(), {}

    def copy(self, target, source, shape=None):
        self.tensors[source] = self.values[target].clone()

    def batch_norm(self, target, prefix):
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            self.copy(f"{target}.{part}", f"{prefix}.{part}")


def write(path, config):
    model = own.fresh(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        model.train()(torch.from_numpy(sound(3, 32000)))
    writer = Writer(model.eval().network)
    efficientat.walk(writer, config)
    torch.save(writer.tensors, path)
    return model


def test_the_published_sizes_have_as_many_numbers_and_tensors(tmp_path):
    for times, n_numbers in ((0.4, 983_599), (1.0, 4_876_831)):
        with torch.device("meta"):
            network = own.Network(shape(times, 527))
        assert sum(one.numel() for one in network.parameters()) == n_numbers
        assert len(network.state_dict()) == 312


def test_a_file_goes_all_the_way(tmp_path):
    config = shape(0.1, 5)
    path = tmp_path / "mn01_as_mAP_298.pt"
    model = write(path, config)
    assert rooms.of_checkpoints(path) == rooms.of_checkpoints(tmp_path) == "classify"
    assert "EfficientAT" in rooms.describe(path) and "32000 Hz" in rooms.describe(path)
    models = load_models(path)
    tensors = torch.load(path, weights_only=True)
    assert models.config == config and sorted(models.report.sources) == sorted(tensors)
    audio = torch.from_numpy(sound(2, 30000))
    with torch.inference_mode():
        ours, theirs = models.classifier(audio), model(audio)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert ours[1].shape == (2, config.blocks[-1].width) and (ours[0][0] - ours[0][1]).abs().max() > 1e-3
    certificate = verify_bundle(path, export_bundle(models, tmp_path / "bundle"))
    assert certificate.passed, str(certificate)
    for name in ("features.9.block.1.1.running_mean", "features.5.block.2.conc_se_layers.0.fc2.bias"):
        torch.save({one: value for one, value in tensors.items() if one != name}, path)
        with refused(name):
            load_models(path)
    torch.save(tensors | {"classifier.1.weight": torch.ones(3)}, path)
    with refused("classifier.1.weight"):
        load_models(path)
    with refused("MobileNetV1"):
        load_models(path, "MobileNetV1")


@pytest.mark.parametrize(
    "name, hop, n_mels", [("mn10_as_mAP_471.pt", 320, 128), ("mn10_as_hop_5_mAP_475.pt", 160, 128),
                          ("mn10_as_mels_40_mAP_453.pt", 320, 40)]
)  # fmt: skip
def test_the_name_tells_hop_and_bands(tmp_path, name, hop, n_mels):
    front = efficientat._front(tmp_path / name)
    assert (front.hop, front.n_mels) == (hop, n_mels)


def test_the_ear_is_its_formulas():
    """Pre-emphasis, `torch.stft` under a Hann window of 800, triangles on Kaldi's scale, one by one."""
    front = Front(32000, 1024, 320, 128, 0.0, 15000.0, ear="kaldi")
    audio = torch.from_numpy(sound(2, 9000)).double()
    raised = audio[:, 1:] - 0.97 * audio[:, :-1]
    window = torch.hann_window(800, periodic=False, dtype=torch.float64)
    bins = torch.stft(raised, 1024, 320, 800, window, return_complex=True).abs() ** 2

    def mel(hertz):
        return 1127 * math.log(1 + hertz / 700)

    step = mel(15000) / 129
    weights = torch.zeros(128, 513, dtype=torch.float64)
    for band in range(128):
        for i in range(512):
            away = abs(mel(i * 31.25) - (band + 1) * step) / step
            weights[band, i] = max(0.0, 1 - away)
    expected = (torch.log(weights @ bins + 1e-5) + 4.5) / 5
    with torch.inference_mode():
        made = own.ear(front)(audio.float())
    assert made.shape == (2, 1, (9000 - 1) // 320 + 1, 128)
    np.testing.assert_allclose(made[:, 0].transpose(1, 2).numpy(), expected.numpy(), atol=1e-4)
    assert isinstance(own.ear(front), KaldiMel)
