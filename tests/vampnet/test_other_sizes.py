"""Checkpoints that no golden array covers: other rates, widths, counts, spellings and number formats."""

from dataclasses import dataclass

import fabricate
import numpy as np
import pytest
import reference
import torch
from fabricate import NEW, Shape

from helpers.vampnet import pipeline as runtime
from helpers.vampnet.graphs import export_bundle
from helpers.vampnet.pipeline import Pipeline
from helpers.vampnet.reference import TorchPipeline
from helpers.vampnet.weights import Models, load_models

SHAPES = {
    "one odd stage, one head, tiny codebook": Shape(
        encoder_rates=(3,),
        decoder_rates=(3,),
        encoder_dim=3,
        decoder_dim=6,
        n_codebooks=2,
        codebook_size=3,
        codebook_dim=5,
        sample_rate=8000,
        n_coarse=1,
        n_conditioning=1,
        n_heads=1,
        width=6,
        n_fine_layers=1,
    ),
    "odd rates in another order, LoRA inside, bfloat16": Shape(
        encoder_rates=(3, 5),
        decoder_rates=(5, 3),
        n_codebooks=5,
        codebook_size=100,
        sample_rate=22050,
        n_coarse=3,
        n_conditioning=3,
        n_heads=3,
        width=24,
        n_layers=2,
        lora=True,
        dtype=torch.bfloat16,
    ),
    "three encoder stages, one decoder stage": Shape(
        encoder_rates=(2, 3, 4),
        decoder_rates=(24,),
        encoder_dim=2,
        decoder_dim=8,
        sample_rate=44100,
        weight_norm=NEW,
        n_coarse=3,
        n_conditioning=2,
        logs=True,
    ),
    "five stages, heads of one feature, logs": Shape(
        encoder_rates=(1, 2, 2, 3, 2),
        decoder_rates=(2, 3, 2, 2, 1),
        encoder_dim=1,
        decoder_dim=32,
        n_codebooks=3,
        sample_rate=16000,
        n_conditioning=1,
        n_heads=8,
        width=8,
        logs=True,
        weight_norm=NEW,
        dtype=torch.float16,
    ),
    "no conditioning, wide codes, 48 kHz": Shape(
        encoder_rates=(8, 6),
        decoder_rates=(6, 8),
        codebook_dim=20,
        codebook_size=256,
        sample_rate=48000,
        n_codebooks=6,
        n_coarse=6,
        n_conditioning=0,
        lora=True,
        width=40,
        n_heads=5,
    ),
    "one rate of one": Shape(
        encoder_rates=(7, 1), decoder_rates=(1, 7), n_codebooks=3, sample_rate=11025, n_conditioning=2
    ),
}
OPSETS = dict(zip(SHAPES, (17, 23, 23, 23, 18, 20)))
FRAMES = ((3, 1), (1, 2), (2, 37), (1, 300))  # batch, frames; exports use an example of 12


@dataclass(frozen=True)
class Loaded:
    """One fabricated set, and the pipeline over it in PyTorch."""

    name: str
    models: Models
    torch: TorchPipeline

    def plain(self, name):
        """What `reference` takes: the state dict and the kwargs."""
        source = self.models.sources[name]
        return source.tensors, source.kwargs

    def audio(self, batch, hops, seed=0):
        noise = np.random.default_rng(seed).standard_normal((batch, 1, hops * self.torch.hop))
        return (0.1 * noise).astype(np.float32)

    def codes(self, batch, frames, graph="c2f", mask=True, seed=0):
        """Random tokens with MASK among them for the books that `graph` reads."""
        n_books = self.torch.n_coarse_codebooks if graph == "coarse" else self.torch.n_codebooks
        return np.random.default_rng(seed).integers(0, self.torch.mask_token + mask, (batch, n_books, frames))


@pytest.fixture(scope="module", params=SHAPES)
def loaded(request, tmp_path_factory):
    models = load_models(fabricate.checkpoints(tmp_path_factory.mktemp("checkpoints"), SHAPES[request.param]))
    return Loaded(request.param, models, TorchPipeline(models.codec, models.coarse, models.c2f))


def close(actual, expected, tolerance=1e-4):
    return (
        actual.shape == expected.shape
        and np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()
    )


def hops(loaded):
    """Lengths of audio in hops: the shortest, one more, and some."""
    shortest = loaded.torch.spec.shortest_input
    return ((2, shortest), (1, shortest + 1), (1, 100))


def test_every_tensor_is_accounted_for(loaded):
    for name, report in loaded.models.reports.items():
        own = [source for source in report.sources if not source.startswith("codec:")]
        assert sorted(own) == sorted(loaded.models.sources[name].tensors)
        assert not [row for row in report.rows if row.status == "different"]
        assert all(row.sources[0].startswith("codec:") for row in report.unused)


def test_codes_equal_the_reference(loaded):
    for batch, n in hops(loaded):
        audio = loaded.audio(batch, n)
        expected = reference.encode(*loaded.plain("codec"), torch.from_numpy(audio)).numpy()
        assert np.array_equal(loaded.torch.graphs["codec_encoder"](audio), expected)
        assert expected.shape[-1] == loaded.models.codec.config.frames(audio.shape[-1])


def test_audio_equals_the_reference(loaded):
    for batch, frames in FRAMES[:3]:
        codes = loaded.codes(batch, frames, mask=False)
        expected = reference.decode(*loaded.plain("codec"), torch.from_numpy(codes)).numpy()
        assert close(loaded.torch.decode(codes), expected)


@pytest.mark.parametrize("name", ["coarse", "c2f"])
def test_logits_equal_the_reference(loaded, name):
    for batch, frames in FRAMES[:3]:
        codes = loaded.codes(batch, frames, name)
        expected = reference.logits(
            *loaded.plain(name), loaded.models.sources["codec"].tensors, torch.from_numpy(codes)
        )
        assert close(loaded.torch.graphs[name](codes), expected.numpy())


def test_audio_shorter_than_a_hop_has_a_token(loaded):
    for n_samples in (1, loaded.torch.hop - 1, loaded.torch.hop):
        codes = loaded.torch.encode(
            loaded.audio(1, 1)[..., :n_samples], loaded.torch.sample_rate, condition=False
        )
        assert codes.shape[:2] == (1, loaded.torch.n_codebooks) and codes.shape[2] >= 1


def test_pieces_equal_the_whole(loaded, monkeypatch):
    """Encoding and decoding piece by piece, at pieces of many lengths, changes nothing."""
    pipeline, n = loaded.torch, 120
    audio, codes = loaded.audio(1, n), loaded.codes(1, n, mask=False)
    whole_codes, whole_audio = (
        pipeline.graphs["codec_encoder"](audio),
        pipeline.graphs["codec_decoder"](codes),
    )
    for frames in (13, 50):
        monkeypatch.setattr(runtime, "PIECE_SECONDS", frames * pipeline.hop / pipeline.sample_rate)
        assert np.array_equal(pipeline.encode(audio, pipeline.sample_rate, condition=False), whole_codes)
        pieces = pipeline.decode(codes)
        assert pieces.shape == whole_audio.shape and np.abs(pieces - whole_audio).max() < 1e-5


def test_onnx_runtime_equals_pytorch(loaded, tmp_path, monkeypatch):
    """One export a set serves all comparisons: graphs at many sizes, long audio in pieces, a whole vamp."""
    ours = loaded.torch
    theirs = Pipeline.open(export_bundle(loaded.models, tmp_path / "bundle", opset=OPSETS[loaded.name]))
    assert theirs.spec == ours.spec
    for batch, n in hops(loaded):
        audio = loaded.audio(batch, n)
        assert np.array_equal(theirs.graphs["codec_encoder"](audio), ours.graphs["codec_encoder"](audio))
    for batch, frames in FRAMES:
        codes = loaded.codes(batch, frames, mask=False)
        assert close(theirs.decode(codes), ours.decode(codes))
        for name in ("coarse", "c2f"):
            codes = loaded.codes(batch, frames, name)
            assert close(theirs.graphs[name](codes), ours.graphs[name](codes))
    audio = loaded.audio(2, 150)
    codes = ours.encode(audio, ours.sample_rate, condition=False)
    monkeypatch.setattr(runtime, "PIECE_SECONDS", 60 * ours.hop / ours.sample_rate)
    assert np.array_equal(theirs.encode(audio, ours.sample_rate, condition=False), codes)
    mask = np.ones_like(codes)
    mask[..., ::7] = 0
    vamps = [p.vamp(codes, mask, steps=4, seed=(5, 6), chunk=80, fine_chunk=64) for p in (ours, theirs)]
    assert np.array_equal(*vamps) and (vamps[0] != codes).any()
    assert close(theirs.decode(vamps[0]), ours.decode(vamps[0]))


@pytest.mark.parametrize("inside", [False, True], ids=["base without LoRA", "base with LoRA"])
def test_a_lora_overlay_replaces_the_pairs_of_the_base(tmp_path, inside):
    shape = Shape(lora=inside, n_layers=2, n_fine_layers=1)
    directory = fabricate.checkpoints(tmp_path, shape)
    overlay = fabricate.lora_tensors(shape, "coarse", rank=4)
    torch.save(overlay, tmp_path / "coarse-fine-tune.pth")
    models = load_models(directory, [tmp_path / "coarse-fine-tune.pth"])
    source, codec = models.sources["coarse"], models.sources["codec"]
    codes = torch.randint(0, 33, (1, 2, 9), generator=torch.Generator().manual_seed(0))
    expected = reference.logits(source.tensors | overlay, source.kwargs, codec.tensors, codes)
    base = reference.logits(source.tensors, source.kwargs, codec.tensors, codes)
    assert close(models.coarse(codes).numpy(), expected.numpy())
    assert not close(base.numpy(), expected.numpy())
    assert set(overlay) <= set(models.reports["coarse"].sources)


def test_logs_in_the_metadata_are_read_as_plain_numbers(tmp_path):
    directory = fabricate.checkpoints(tmp_path, Shape(logs=True))
    metadata = load_models(directory).sources["coarse"].metadata
    assert metadata["logs"] == {"loss": [0.5, 0.25, 1]}
    assert metadata["tracker"]["step"] == 400000 and metadata["tracker"]["done"] is True
