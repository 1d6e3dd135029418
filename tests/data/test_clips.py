"""The clips that ship with the course: PyTorch and ONNX Runtime give the same tokens on every one of them."""

from pathlib import Path

import numpy as np
import pytest

from helpers import audio as sound
from helpers.vampnet import masks

CLIPS = sorted((Path(__file__).parents[2] / "data").rglob("*.flac"))
SECONDS = 4  # of each clip, to keep the test short


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_tokens_are_equal_from_sound_to_vamp(path, torch_pipeline, onnx_pipeline):
    clip, rate = sound.load(path)
    clip = clip[:, rate : rate * (1 + SECONDS)]
    codes = onnx_pipeline.encode(clip, rate)
    np.testing.assert_array_equal(codes, torch_pipeline.encode(clip, rate))
    mask = masks.codebook_mask(masks.periodic(codes.shape, 7), 3)
    vamps = [pipeline.vamp(codes, mask, seed=1) for pipeline in (onnx_pipeline, torch_pipeline)]
    np.testing.assert_array_equal(*vamps)
    assert (vamps[0] != codes).mean() > 0.5
