"""The golden arrays: what the public implementation computed, in PyTorch and in ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.classify.model import pooled
from helpers.export.bundle import save_graph
from helpers.export.graph import GraphToExport, to_onnx
from helpers.layers.spectrogram import LogMel, fourier_kernels, mel_bands
from helpers.runtime.session import OnnxGraph

GOLDEN_32K = Path(__file__).parents[1] / "golden" / "classify" / "frontend32k.npz"
THEIRS = {"scores": "clipwise_output", "embedding": "embedding", "framewise": "framewise_output"}


def close(ours, theirs, most=1e-5):
    """Within `most` of the largest; of what is below 1, within `most` itself."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=most * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("which", ["", ".0", ".1"])
def test_outputs(pipeline, golden, which):
    audio = golden[f"audio{which}"]
    made = pipeline.graphs["classifier"](audio)
    for output, ours in zip(pipeline.spec.outputs, made, strict=True):
        close(ours, golden[f"{THEIRS[output]}{which}"])


def test_every_tensor_is_accounted_for(classifier):
    report = classifier.report
    assert all(row.status == "exact" for row in report.rows if row.target)
    assert {row.how for row in report.unused} == {"counts training steps"}
    parts = len(list(classifier.classifier.parameters())) + len(report.unused)
    assert len(report.sources) == parts + 2 * len(report.unused)  # each norm has a mean and a variance


def test_layers(classifier, golden, name):
    """What comes out of each block; the golden arrays have the first 16 frames of the larger ones."""
    network = classifier.classifier.network
    seen = {}

    def note(what, made):
        if f"act.{what}" in golden:
            most = golden[f"act.{what}"].shape[2] if made.dim() == 4 else None
            seen[what] = made.numpy()[:, :, :most] if most else made.numpy()

    prefix, first = ("conv_block", 1) if name.startswith("Cnn14") else ("features.", 0)
    with torch.inference_mode():
        x = network.leveled(torch.from_numpy(golden["logmel"]))
        note("bn0", x.transpose(1, 3))
        for i, block in enumerate(network.blocks, first):
            x = block(x)
            note(f"{prefix}{i}", x)
        if not classifier.config.by_steps:
            note("fc1", network.hidden(pooled(x, "peak")))
    assert len(seen) >= 7 and sum(np.ptp(made) > 0 for made in seen.values()) >= 5
    for what, made in seen.items():
        close(made, golden[f"act.{what}"])


def test_log_mel(classifier, golden):
    with torch.inference_mode():
        ours = classifier.classifier.front(torch.from_numpy(golden["audio"])).numpy()
    assert np.abs(ours - golden["logmel"]).max() < 1e-3


def test_log_mel_at_32_khz_is_computed_and_exported(tmp_path):
    with np.load(GOLDEN_32K) as arrays:
        golden = dict(arrays)
    np.testing.assert_allclose(mel_bands(32000, 1024, 64, 50, 14000), golden["melW"], atol=1e-7)
    front = LogMel.computed(32000, 1024, 320, 64, 50, 14000).eval()
    axes = {"audio": {0: "batch", 1: "samples"}, "decibels": {0: "batch", 2: "frames"}}
    graph = GraphToExport(front, {"audio": torch.zeros(2, 9000)}, ["decibels"], axes)
    save_graph(to_onnx(graph), tmp_path / "front.onnx")
    graph = OnnxGraph(tmp_path / "front.onnx", threads=1)
    with torch.inference_mode():
        ours = front(torch.from_numpy(golden["audio"])).numpy()
    for made in (ours, graph(golden["audio"])):
        assert made.shape == golden["logmel"].shape and np.abs(made - golden["logmel"]).max() < 1e-3
    assert graph(golden["audio"][:1, :777]).shape == (1, 1, 3, 64)


@pytest.mark.parametrize("name", ["Cnn14_16k", "MobileNetV1"])
def test_kernels_and_bands_are_what_files_hold(name):
    from helpers.checkpoints import read
    from helpers.classify import panns

    tensors = read(GOLDEN_32K.parent / name / f"{name}.pth").tensors
    n_fft = tensors[panns.REAL].shape[2]
    rate, _, f_max = panns.FRONTS[n_fft]
    for kernel, stored in zip(fourier_kernels(n_fft), (panns.REAL, panns.IMAG)):
        np.testing.assert_allclose(kernel, tensors[stored][:, 0].numpy(), atol=2e-6)
    np.testing.assert_allclose(mel_bands(rate, n_fft, 64, 50, f_max), tensors[panns.MEL].numpy(), atol=1e-7)
