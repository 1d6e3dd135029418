"""MusicGen in PyTorch against what the reference implementations computed, both families of files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.musicgen.weights import load_models

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "musicgen"
FAMILIES = {"audiocraft": "expected.npz", "hf": "expected_hf.npz"}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """The models of one family, and the arrays that go with them."""
    text_encoder = GOLDEN / "t5" if request.param == "audiocraft" else None
    with np.load(GOLDEN / FAMILIES[request.param]) as arrays:
        expected = {
            name: torch.from_numpy(arrays[name]) for name in arrays if arrays[name].dtype.kind in "fi"
        }
    return load_models(GOLDEN / request.param, text_encoder=text_encoder), expected


def largest(ours, theirs):
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


def test_every_tensor_is_accounted_for(family):
    models, _ = family
    for report in models.reports.values():
        assert report.rows and {row.status for row in report.rows} <= {"exact", "close", "unused"}


@pytest.mark.parametrize("case", ["b1_s1", "b1_s7", "b1_s60"])
def test_logits(family, case):
    models, expected = family
    given = (expected[f"lm_{case}_{name}"] for name in ("codes", "condition", "mask"))
    with torch.inference_mode():
        assert largest(models.language(*given), expected[f"lm_{case}_logits"]) < 1e-4


def test_conditions(family):
    models, expected = family
    with torch.inference_mode():
        assert largest(models.text(expected["text_ids"], expected["text_mask"]), expected["condition"]) < 1e-5


@pytest.mark.parametrize("frames", [1, 2, 7, 50, 131])
def test_codes_to_sound(family, frames):
    models, expected = family
    with torch.inference_mode():
        audio = models.codec.decode(expected[f"decode_t{frames}_codes"])
    assert largest(audio, expected[f"decode_t{frames}_audio"]) < 1e-4


@pytest.mark.parametrize("n", [1, 7, 63, 64, 65, 320, 579, 1979, 2560])
def test_sound_to_codes(family, n):
    models, expected = family
    with torch.inference_mode():
        codes = models.codec.encode(expected["audio"][:1, :, :n])
    assert torch.equal(codes, expected[f"encode_n{n}"])
