"""Training the transformers and their overlays: masks, tokens, what is learned and written; the command."""

import dataclasses
import os
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import checkpoints
from helpers.layers import RelativePositionBias
from helpers.support.errors import InputError
from helpers.vampnet.codec import CodecConfig
from helpers.vampnet.weights import load_models, transfer_codec, transfer_vampnet
from tests.workshop.test_train import TINY, chords, write_music
from workshop.training.loop import Budget, run
from workshop.vampnet.training import command as command
from workshop.vampnet.training.codec import trainable_codec
from workshop.vampnet.training.lora import LoraTraining, adapt
from workshop.vampnet.training.saving import save_codec
from workshop.vampnet.training.tokens import PART, Tokens, encode_piece, read_tokens
from workshop.vampnet.training.transformer import (
    Recipe,
    TransformerTraining,
    draw_masks,
    masked_nll,
    with_near_frames_first,
)

COARSE = Recipe(
    n_codebooks=2, embedding_dim=32, n_layers=1, n_heads=2, batch=6, frames=40, warm_up=5, rate=1e-2,
    rate_matrices=0.03, check_chunks=4,
)  # fmt: skip
C2F = dataclasses.replace(COARSE, n_codebooks=3, n_conditioning_codebooks=2)


def pattern(seed, length=400):
    """Tokens (3, length) in which each book follows from the one before: there is something to learn."""
    first = np.repeat(np.random.default_rng(seed).integers(0, 32, -(-length // 8)), 8)[:length]
    return np.stack([first, (first + 5) % 32, (first + 9) % 32]).astype(np.int16)


@pytest.fixture(scope="module")
def codec_path(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("codec") / "codec.pth"
    save_codec(path, trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)), TINY.kwargs)
    return path


@pytest.fixture(scope="module")
def tokens():
    return Tokens([pattern(seed) for seed in range(8)], 32), Tokens([pattern(100)], 32)


@pytest.fixture(scope="module")
def trained(codec_path, tokens, tmp_path_factory):
    """A short run of each transformer: name -> training, all written beside the codec."""
    folder = codec_path.parent
    trainings = {}
    for name, recipe in (("coarse", COARSE), ("c2f", C2F)):
        trainings[name] = TransformerTraining(recipe, codec_path, *tokens)
        trainings[name].rows = run(trainings[name], folder / f"{name}.pth", Budget(steps=100))
    return trainings


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_music(tmp_path_factory.mktemp("music"), 6)


def test_a_step_is_as_long_whatever_the_scale_of_the_codecs_rows(codec_path, tokens, tmp_path):
    scaled = torch.load(codec_path, weights_only=True)
    for i in range(3):
        scaled["state_dict"][f"quantizer.quantizers.{i}.codebook.weight"] *= 64.0
    torch.save(scaled, tmp_path / "codec.pth")
    scores = []
    for path in (codec_path, tmp_path / "codec.pth"):
        training = TransformerTraining(COARSE, path, *tokens)
        training.save(tmp_path / "coarse.pth")  # in the middle of a run it goes on afterwards
        for step in range(5):
            training.step(step, 0.0)
        scores.append(training.check()["score"])
        training.save(tmp_path / "coarse.pth")
        model, _ = transfer_vampnet(checkpoints.read(tmp_path / "coarse.pth"), checkpoints.read(path))
        training.model = model
        assert training.check()["score"] == pytest.approx(scores[-1], abs=1e-4)  # written as it computes
    assert scores[0] == pytest.approx(scores[1], abs=0.01)  # but for the MASK rows


# --- Masks and tokens -------------------------------------------------------------------------------------


@given(n_kept=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_masks_keep_the_condition_and_hold_only_0_and_1(n_kept, seed):
    mask = draw_masks((3, 4, 11), n_kept, np.random.default_rng(seed))
    assert mask.shape == (3, 4, 11) and not mask[:, :n_kept].any() and set(np.unique(mask)) <= {0, 1}


def test_the_share_of_hidden_places_follows_the_cosine():
    """P(share < s) = 1 - 2/pi arccos(s) when the moment is uniform."""
    shares = draw_masks((2000, 1, 400), 0, np.random.default_rng(0)).mean((1, 2))
    for share in (0.3, 0.6, 0.9):
        assert (shares < share).mean() == pytest.approx(1 - 2 / np.pi * np.arccos(share), abs=0.04)


def test_only_hidden_tokens_count():
    codes = torch.zeros(1, 3, 2, dtype=torch.long)
    mask = torch.tensor([[[1, 1], [1, 0], [0, 0]]])  # the first book conditions, whatever its mask says
    logits = torch.zeros(1, 2, 2, 4)
    logits[0, 0, 0, 0] = 50.0  # sure of the one hidden place
    assert masked_nll(logits, codes, mask) == pytest.approx(0.0, abs=1e-6)
    logits[0, 0, 0, 0] = 0.0
    assert masked_nll(logits, codes, mask) == pytest.approx(np.log(4))


def test_crops_lie_in_the_pieces_and_follow_from_the_seed(tokens):
    train, _ = tokens
    one, same = (train.crops(np.random.default_rng(1), 20, 50) for _ in range(2))
    assert one.shape == (20, 3, 50) and np.array_equal(one, same)
    assert np.array_equal((one[:, 0] + 5) % 32, one[:, 1])
    with pytest.raises(InputError, match="500 frames"):
        train.crops(np.random.default_rng(0), 1, 500)


def test_chunks_and_counts_are_of_all_tokens(tokens):
    train, valid = tokens
    assert valid.chunks(150).shape == (2, 3, 150)
    assert train.counts().shape == (3, 32) and (train.counts().sum(1) == 8 * 400).all()
    assert np.array_equal(train.counts()[1], np.roll(train.counts()[0], 5))


def test_tokens_are_the_codecs_and_are_made_once_a_codec(sounds, codec_path, tmp_path):
    cache = tmp_path / "tokens" / "train.npz"
    first = read_tokens(codec_path, sounds / "train", cache, versions=2)
    again = read_tokens(codec_path, tmp_path / "no music needed", cache, versions=2)
    assert all(np.array_equal(a, b) for a, b in zip(first.pieces, again.pieces, strict=True))
    assert len(first.pieces) == 2 and not np.array_equal(*(piece[:, :150] for piece in first.pieces))
    with pytest.raises(InputError, match="no FLAC"):  # other versions: the cache does not serve
        read_tokens(codec_path, tmp_path / "no music", cache, versions=1)


def test_processes_that_share_the_music_make_the_same_tokens(sounds, codec_path, tmp_path, monkeypatch):
    alone = read_tokens(codec_path, sounds / "train", tmp_path / "alone.npz", versions=3)
    monkeypatch.setattr("workshop.vampnet.training.tokens.WORTH_SHARING", 0)
    shared = read_tokens(codec_path, sounds / "train", tmp_path / "shared.npz", versions=3)
    assert all(np.array_equal(a, b) for a, b in zip(alone.pieces, shared.pieces, strict=True))


def test_tokens_of_the_parts_are_those_of_the_whole(codec_path):
    codec, _ = transfer_codec(checkpoints.read(codec_path))
    n = 32 * (2 * PART + 5)
    sound = chords(2, 0)[:n].repeat(-(-n // 16000))[:n]
    with torch.inference_mode():
        whole = codec.encode(torch.from_numpy(sound)[None, None])[0]
    assert np.array_equal(encode_piece(codec, sound), whole)
    assert encode_piece(codec, sound[: 32 * PART]).shape == (3, PART)


# --- Training ---------------------------------------------------------------------------------------------


def test_the_transformers_learn_what_there_is_to_learn(trained):
    coarse, c2f = (trained[name].rows for name in ("coarse", "c2f"))
    assert min(coarse[0]["score"], c2f[0]["score"]) > 0.8 * np.log(32)
    assert coarse[-1]["score"] < 0.7 * np.log(32)
    assert coarse[-1]["nll_25"] < 0.8 * coarse[-1]["nll_75"]  # the less is hidden, the easier
    assert c2f[-1]["score"] < 0.1 * np.log(32)  # the condition says it all


def test_before_training_it_knows_how_frequent_codes_are_and_which_are_alike(codec_path):
    rng = np.random.default_rng(0)
    skewed = np.minimum(rng.geometric(0.2, (2, 400)) - 1, 31).astype(np.int16)
    music = Tokens([skewed], 32)
    training = TransformerTraining(COARSE, codec_path, music, music)
    frequencies = (music.counts() + 1) / (music.counts() + 1).sum(1, keepdims=True)
    entropy = -(frequencies * np.log(frequencies)).sum(1).mean()
    assert training.check()["nll_75"] == pytest.approx(entropy, rel=0.1) and entropy < 0.8 * np.log(32)

    codec = checkpoints.read(codec_path)
    rows = codec.tensors["quantizer.quantizers.1.codebook.weight"]
    weights = training.model.classifier.weight.detach().unflatten(0, (32, 2))[:, 1]
    between_rows, between_weights = torch.pdist(rows), torch.pdist(weights)
    assert torch.allclose(
        between_weights / between_weights.mean(), between_rows / between_rows.mean(), atol=1e-4
    )


def test_before_training_heads_look_at_near_frames_back_ahead_and_wide():
    bias = RelativePositionBias(4)
    with_near_frames_first(bias)
    with torch.no_grad():
        shares = bias(201)[0].softmax(-1)[:, 100]  # how the frame in the middle spreads its attention
    back, ahead = shares[:, :100].sum(1), shares[:, 101:].sum(1)
    near = shares[:, 92:109].sum(1)
    assert back[0] > 10 * ahead[0] and ahead[1] > 10 * back[1]
    assert torch.allclose(back[2:], ahead[2:], atol=1e-5)
    assert near[0] > near[2] > 0.5 > near[3]


def test_the_codecs_rows_stay_and_the_mask_rows_learn(trained, codec_path):
    codec = checkpoints.read(codec_path)
    rows = trained["coarse"].model.embedding.table.detach().unflatten(0, (2, 33))
    for i in range(2):
        table = codec.tensors[f"quantizer.quantizers.{i}.codebook.weight"]
        assert torch.equal(rows[i, :-1], table) and not torch.allclose(rows[i, -1], table.mean(0), atol=1e-3)


@pytest.mark.parametrize("name", ["coarse", "c2f"])
def test_the_checkpoint_is_read_back_as_the_trained_model(trained, codec_path, name, tmp_path):
    training = trained[name]
    training.save(tmp_path / "now.pth")
    checkpoint = checkpoints.read(tmp_path / "now.pth")
    model, report = transfer_vampnet(checkpoint, checkpoints.read(codec_path))
    assert set(checkpoint.tensors) <= set(report.sources)
    codes = torch.from_numpy(np.stack([pattern(7, 30)]))[:, : training.recipe.n_codebooks].long()
    codes[..., ::3] = 32
    with torch.no_grad():
        assert torch.allclose(model(codes), training.model(codes), atol=1e-5)


def test_a_resumed_run_is_the_uninterrupted_one(codec_path, tokens, tmp_path):
    class Interrupted(TransformerTraining):
        def step(self, step, progress):
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().step(step, progress)

    whole = TransformerTraining(COARSE, codec_path, *tokens)
    run(whole, tmp_path / "whole.pth", Budget(steps=8))
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(COARSE, codec_path, *tokens), tmp_path / "parts.pth", Budget(steps=8))
    last = TransformerTraining(COARSE, codec_path, *tokens)
    run(last, tmp_path / "parts.pth", Budget(steps=8))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, last.model.state_dict()[name]), name


def test_a_state_made_with_another_codec_is_refused(trained, codec_path, tokens, tmp_path):
    save_codec(tmp_path / "codec.pth", trainable_codec(CodecConfig.from_kwargs(TINY.kwargs)), TINY.kwargs)
    other = TransformerTraining(COARSE, tmp_path / "codec.pth", *tokens)
    with pytest.raises(InputError, match="codec"):
        run(other, codec_path.parent / "coarse.pth", Budget(steps=200))


def test_training_goes_on_from_a_checkpoint(trained, codec_path, tokens, tmp_path):
    trained["coarse"].save(tmp_path / "coarse.pth")
    later = TransformerTraining(COARSE, codec_path, *tokens, start=tmp_path / "coarse.pth")
    assert later.check()["score"] == pytest.approx(trained["coarse"].check()["score"], rel=1e-4)
    other = dataclasses.replace(COARSE, n_layers=2)
    with pytest.raises(InputError, match="another shape"):
        TransformerTraining(other, codec_path, *tokens, start=tmp_path / "coarse.pth")


# --- The overlay ------------------------------------------------------------------------------------------


def test_an_overlay_starts_as_the_base_and_trains_nothing_else(trained, codec_path):
    folder = codec_path.parent
    base = checkpoints.read(folder / "coarse.pth")
    model, _ = transfer_vampnet(base, checkpoints.read(codec_path))
    codes = torch.from_numpy(pattern(7, 30)[None, :2].astype(np.int64))
    with torch.no_grad():
        before = model(codes)
        learned = adapt(model, rank=3)
        assert torch.equal(model(codes), before)
    assert len(learned) == 2 * 5 * COARSE.n_layers
    assert {min(matrix.shape) for matrix in learned} == {3}


def test_an_overlay_learns_a_style_and_folds_into_its_base(trained, codec_path, tokens, tmp_path):
    folder = codec_path.parent
    other = np.array([[0], [11], [0]])  # another distance between the books
    style = [Tokens([(piece + other) % 32 for piece in split.pieces], 32) for split in tokens]
    recipe = dataclasses.replace(COARSE, rate=3e-2)
    training = LoraTraining(recipe, 8, folder, "coarse", *style)
    base_score = training.check()["score"]
    run(training, tmp_path / "style.coarse.pth", Budget(steps=60))
    assert training.check()["score"] < 0.95 * base_score
    training.save(tmp_path / "style.coarse.pth")
    overlay = checkpoints.read(tmp_path / "style.coarse.pth")
    assert overlay.is_lora
    models = load_models(folder, [tmp_path / "style.coarse.pth"])
    codes = torch.from_numpy(pattern(7, 30)[None, :2].astype(np.int64))
    with torch.no_grad():
        assert torch.allclose(models.coarse(codes), training.model(codes), atol=1e-5)


# --- The command ------------------------------------------------------------------------------------------


def test_one_command_trains_a_checkpoint_and_another_its_overlays(sounds, tmp_path, monkeypatch, capsys):
    tiny = {"codec": dataclasses.replace(TINY, batch=2), "coarse": COARSE, "c2f": C2F}
    monkeypatch.setattr(command, "RECIPES", tiny)
    out = tmp_path / "run"
    folders = ["--music", str(sounds), "--out", str(out), "--steps", "3"]
    assert command.main(["all", *folders]) == 0
    shown = capsys.readouterr().out
    assert shown.count("accounted for") == 3 and "log_mel" in shown and "nll_50" in shown
    assert command.main(["lora", *folders, "--name", "bells", "--half"]) == 0
    overlays = [out / f"bells.{name}.pth" for name in ("coarse", "c2f")]
    models = load_models(out, overlays)
    assert models.codec.config.n_codebooks == 3 and all(models.loras.values())
    with np.load(out / "unigram.npz") as counts:
        assert counts["counts"].shape == (3, TINY.codebook_size)


def test_a_command_offers_what_its_recipe_has(capsys):
    with pytest.raises(SystemExit):
        command.main(["codec", "--help"])
    codec_help = capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["coarse", "--help"])
    coarse_help = capsys.readouterr().out
    assert "--plain" in codec_help and "--plain" not in coarse_help and "--n-layers" in coarse_help
    assert "--decoder-only " in codec_help and "--waveform WAVEFORM" in codec_help
