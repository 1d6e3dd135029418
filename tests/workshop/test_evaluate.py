"""The scores: intervals, baselines by hand, what a faulty sound or model does to them; and the command."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refusals import refused

from helpers import audio as sound
from helpers import checkpoints
from helpers.audio import distance
from helpers.audio.clips import COURSE_CLIPS, load_clips
from helpers.vampnet.museum import with_random_embeddings
from workshop.__main__ import main
from workshop.scoring import likeness, opus
from workshop.scoring.statistics import difference, ratio, score
from workshop.vampnet.evaluation import baselines, report, tokens
from workshop.vampnet.evaluation import encoded as clips
from workshop.vampnet.evaluation.codec import codebook_usage, codec_scores
from workshop.vampnet.evaluation.encoded import Encoded, decode_books, encode
from workshop.vampnet.evaluation.generation import METHODS, generation_scores

RATE = 44100


def music(seconds=3.0, seed=0, rate=RATE):
    """Decaying chords, four a second: (1, N)."""
    rng, t = np.random.default_rng(seed), np.arange(rate // 4) / rate
    notes = [
        sum(np.sin(2 * np.pi * pitch * t) for pitch in rng.uniform(100, 900, 3)) * np.exp(-9 * t)
        for _ in range(round(4 * seconds))
    ]
    return 0.1 * np.concatenate(notes)[None].astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips of three seconds."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("one", "two")):
        sound.save(folder / f"{name}.flac", music(seed=seed), RATE)
    return folder


@pytest.fixture(scope="module")
def encoded(folder, torch_pipeline):
    return [encode(torch_pipeline, clip) for clip in load_clips(folder)]


class Uniform(torch.nn.Module):
    """Stands in for a transformer: every token is as likely as any other, but for those it is told."""

    def __init__(self, n_codebooks=3, given=1, size=16, knows=None):
        super().__init__()
        self.config = SimpleNamespace(
            n_codebooks=n_codebooks,
            n_conditioning_codebooks=given,
            n_predicted=n_codebooks - given,
            vocab_size=size,
        )
        self.knows, self.seen = knows, []

    def forward(self, codes):
        self.seen.append(codes)
        n, _, frames = codes.shape
        logits = torch.zeros(n, self.config.n_predicted, frames, self.config.vocab_size)
        if self.knows is not None:
            logits.scatter_(-1, self.knows[:, self.config.n_conditioning_codebooks :, :, None], 20.0)
        return logits


def random_codes(n_codebooks=3, frames=40, size=16, seed=0):
    return np.random.default_rng(seed).integers(size, size=(1, n_codebooks, frames))


def flat(n_codebooks=3, size=16):
    return baselines.smoothed(np.zeros((n_codebooks, size), np.int64))


# --- Statistics -------------------------------------------------------------------------------------------


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    scores = [score(rng.normal(5, 2, 30)) for _ in range(200)]
    covered = np.mean([one.low <= 5 <= one.high for one in scores])
    assert 0.88 <= covered <= 0.985


def test_a_paired_difference_does_not_see_what_the_clips_have_in_common():
    levels = np.array([1.0, 5, 9, 20, 40])
    lead = difference(levels + [0.9, 1.1, 1.0, 1.05, 0.95], levels)
    assert lead.mean == pytest.approx(1) and 0.9 < lead.low < lead.high < 1.1


def test_a_ratio_is_that_of_the_means():
    found = ratio([1, 3], [2, 2])
    assert found.mean == 1 and found.clips == (0.5, 1.5) and (found.low, found.high) == (0.5, 1.5)
    assert math.isnan(ratio([1, 3], [0, 0]).mean) and str(ratio([1, 3], [0, 0])) == "-"


def test_one_clip_has_a_mean_and_no_interval():
    assert str(score([0.25])) == "0.250" and math.isnan(score([0.25]).low)
    assert score([1, 2, 3]) == score([1, 2, 3])


def test_json_has_no_nan():
    content = report.plain({0.5: score([0.25]), "array": np.array([np.inf, 1])})
    assert content["0.5"] == {"clips": [0.25], "mean": 0.25, "low": None, "high": None}
    assert content["array"] == [None, 1]


# --- Clips and codec --------------------------------------------------------------------------------------


def test_log_mel_of_a_sound_with_itself_is_zero_at_any_level():
    reference = sound.normalize_loudness(music()[None], RATE, -24)
    assert distance.log_mel(reference, reference) < 1e-4
    assert distance.log_mel(0.05 * reference, reference) < 1e-3
    noise = np.random.default_rng(0).normal(0, 0.1, reference.shape).astype(np.float32)
    assert distance.log_mel(noise, reference) > 0.5


def test_the_codec_is_scored_at_each_depth(torch_pipeline, encoded):
    qualities = codec_scores(torch_pipeline, encoded)
    assert [one.n_codebooks for one in qualities] == [1, 4, 14]
    assert qualities[-1].kbps == pytest.approx(14 * 7 * 44100 / 768 / 1000)
    assert all(one.log_mel.mean > 0.1 and len(one.log_mel.clips) == 2 for one in qualities)


def test_a_codec_that_gives_the_sound_back_scores_best(torch_pipeline, encoded):
    item = encoded[0]
    perfect = Encoded(item.clip, item.codes, 0.1 * item.clip.conditioned(RATE))
    best = codec_scores(torch_pipeline, [perfect])[-1]
    assert best.log_mel.mean < 1e-3 and best.si_sdr.mean > 60


def test_all_books_sound_like_the_pipeline(torch_pipeline, encoded):
    codes = encoded[0].codes
    np.testing.assert_array_equal(encoded[0].rebuilt, decode_books(torch_pipeline.codec, codes, 14))
    np.testing.assert_allclose(encoded[0].rebuilt, torch_pipeline.decode(codes), atol=1e-6)
    assert np.abs(decode_books(torch_pipeline.codec, codes, 4) - encoded[0].rebuilt).max() > 1e-4


def test_usage_counts_over_all_clips():
    codes = [np.array([[[0, 1, 2, 3], [5, 5, 5, 5]]]), np.array([[[4, 5, 6, 7], [5, 5, 5, 5]]])]
    even, stuck = codebook_usage(codes, 16)
    assert (even.in_use, even.is_dead) == (8, False) and even.perplexity == pytest.approx(8)
    assert (stuck.in_use, stuck.is_dead) == (1, True) and stuck.perplexity == pytest.approx(1)


def test_clips_are_refused_in_one_line(tmp_path):
    with refused("there is no"):
        load_clips(tmp_path / "absent")
    with refused("holds no clips"):
        load_clips(tmp_path)
    sound.save(tmp_path / "a.wav", music(1.0), RATE)
    with refused("1.00 s long"):
        load_clips(tmp_path)
    sound.save(tmp_path / "a.wav", np.zeros((1, 4 * RATE), np.float32), RATE)
    with refused("silent"):
        load_clips(tmp_path)


def test_long_clips_are_cut_and_styles_left_out(tmp_path):
    sound.save(tmp_path / "a.flac", music(12.0), RATE)
    sound.save(tmp_path / "music_box.flac", music(), RATE)
    assert [clip.seconds for clip in load_clips(tmp_path, without=("music_box",))] == [10.0]


# --- Opus -------------------------------------------------------------------------------------------------


def test_without_the_programs_the_recorded_figures_are_used_and_said_so(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(opus, "is_installed", lambda: False)
    found = load_clips(folder)
    row = {
        "log_mel": {str(rate): 1 / rate for rate in opus.RATES},
        "kbps": {str(rate): rate for rate in opus.RATES},
    }
    content = {
        "date": "2020-02-02",
        "encoder": "opusenc 0",
        "clips": {clip.name: row | {"sha256": clip.sha256} for clip in found},
    }
    content["clips"]["two"]["sha256"] = "of another sound"
    (tmp_path / "opus.json").write_text(json.dumps(content))
    figures = opus.opus_figures(found, tmp_path / "opus.json")
    assert figures.log_mel == {"one": {rate: 1 / rate for rate in opus.RATES}}
    assert figures.source().startswith("recorded on 2020-02-02 with opusenc 0")
    assert opus.opus_figures(found[1:], tmp_path / "opus.json") is None
    assert opus.opus_figures(found, tmp_path / "absent.json") is None
    with refused("opus-tools"):
        opus.record(tmp_path / "new.json", found)


def test_a_damaged_record_is_named(folder, tmp_path):
    (tmp_path / "opus.json").write_text('{"clips": []}')
    with refused("opus.json", "--record-opus"):
        opus.read(tmp_path / "opus.json", load_clips(folder))


def test_the_course_has_figures_for_every_clip_it_ships():
    found = load_clips()
    figures = opus.read(opus.RECORDED, found)
    assert set(figures.log_mel) == {clip.name for clip in found}
    means = [np.mean([row[rate] for row in figures.log_mel.values()]) for rate in opus.RATES]
    assert all(np.diff(means) < 0)


@pytest.mark.skipif(not opus.is_installed(), reason="needs opusenc and opusdec")
def test_opus_comes_closer_with_more_bits(folder, tmp_path):
    opus.record(tmp_path / "opus.json", load_clips(folder)[:1])
    row = json.loads((tmp_path / "opus.json").read_text())["clips"]["one"]
    assert row["log_mel"]["16"] < row["log_mel"]["6"] and 4 < row["kbps"]["6"] < row["kbps"]["16"] < 30


# --- Baselines and masked tokens --------------------------------------------------------------------------


def test_copying_takes_the_nearest_kept_frame_of_the_same_book():
    codes = np.array([[10, 11, 12, 13, 14, 15], [20, 21, 22, 23, 24, 25], [30, 31, 32, 33, 34, 35]])
    masked = np.array([[1, 0, 1, 1, 0, 1], [1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 1, 1]], bool)
    expected = [[11, 11, 11, 14, 14, 14], [23] * 6, [-1] * 6]
    np.testing.assert_array_equal(baselines.copied(codes, masked), expected)
    middle = np.array([[0, 1, 0]], bool)
    np.testing.assert_array_equal(baselines.nearest_kept(middle), [[0, 0, 2]])  # equally near: the earlier


def test_frequencies_come_from_the_other_clips_or_from_the_file(tmp_path):
    codes = [np.array([[[0, 0, 1]]]), np.array([[[1, 1, 1]]])]
    log_p, source = baselines.unigrams(tmp_path, codes, 2)
    np.testing.assert_allclose(np.exp(log_p), [[[1 / 5, 4 / 5]], [[3 / 5, 2 / 5]]])
    assert "other held-out clips" in source
    np.savez(tmp_path / "unigram.npz", counts=np.array([[8, 0]]))
    log_p, source = baselines.unigrams(tmp_path, codes, 2)
    np.testing.assert_allclose(np.exp(log_p), [[[9 / 10, 1 / 10]]] * 2)
    assert "training music" in source
    np.savez(tmp_path / "unigram.npz", counts=np.array([[8, 0, 1]]))
    with refused("unigram.npz", "(1, 2)"):
        baselines.unigrams(tmp_path, codes, 2)


def test_a_model_that_knows_nothing_has_the_nll_of_a_uniform_guess():
    found = tokens.guesses(Uniform(), [random_codes(), random_codes(seed=1)], [flat()] * 2, 20, 0.5)
    assert found.nll.mean == pytest.approx(math.log(16), abs=1e-5)
    assert found.nll_ratio.mean == pytest.approx(1, abs=1e-5) and found.nll_by_mask.shape == (2, tokens.DRAWS)


def test_a_model_that_knows_the_tokens_is_right():
    codes = random_codes()
    found = tokens.guesses(Uniform(knows=torch.from_numpy(codes)), [codes], [flat()], 40, 0.75)
    assert found.nll.mean < 0.01 and found.accuracy.mean == 1 and found.copy_accuracy.mean < 0.4


def test_unigram_nll_is_that_of_the_masked_tokens_in_their_books():
    codes = np.array([[[0, 1, 2, 3], [3, 3, 3, 3], [1, 1, 1, 1]]])
    counts = np.zeros((3, 16), np.int64)
    counts[1, 3], counts[2, 1] = 4, 14
    found = tokens.guesses(Uniform(), [codes], [baselines.smoothed(counts)], 4, 1.0)
    assert found.unigram_nll.mean == pytest.approx(-(math.log(5 / 20) + math.log(15 / 30)) / 2)
    assert found.copy_accuracy is None and found.accuracy_ratio is None


def test_copying_is_right_about_held_tokens_and_given_books_are_not_masked():
    model, held = Uniform(), np.repeat(np.arange(3)[:, None], 40, 1)[None]
    found = tokens.guesses(model, [held], [flat()], 20, 0.5, draws=1)
    assert found.copy_accuracy.mean == 1
    (seen,) = model.seen
    assert seen.shape == (2, 3, 20) and not (seen[:, 0] == 16).any()
    assert [(item == 16).sum().item() for item in seen] == [20, 20]  # half of 2 books x 20 frames


def test_the_same_places_are_masked_for_every_model():
    one, other = Uniform(), Uniform(size=16)
    for model in (one, other):
        tokens.guesses(model, [random_codes()], [flat()], 40, 0.25)
    assert all(torch.equal(a, b) for a, b in zip(one.seen, other.seen))
    assert not torch.equal(one.seen[0], one.seen[1])


def test_random_embeddings_keep_the_scale_of_each_book(models):
    changed = with_random_embeddings(models.coarse)
    before, after = (net.embedding.table.unflatten(0, (4, -1)) for net in (models.coarse, changed))
    assert not torch.allclose(before, after)
    sizes = (table.square().mean((1, 2)).sqrt() for table in (after, before))
    np.testing.assert_allclose(*sizes, rtol=0.15)


def test_a_comparison_over_one_clip_resamples_its_masks():
    better = Uniform(knows=torch.from_numpy(random_codes()))
    base, tuned = (tokens.guesses(m, [random_codes()], [flat()], 40, 0.5, 4) for m in (Uniform(), better))
    found = tokens.compare(base, tuned)
    assert found.unit == "masks" and found.change.mean == pytest.approx(-1, abs=0.01)
    assert report.lora_requirements({"coarse": found})[0].met
    assert not report.lora_requirements({"coarse": tokens.compare(tuned, base)})[0].met


# --- Generation -------------------------------------------------------------------------------------------


def test_a_delayed_sound_correlates_less_and_another_key_has_other_chroma():
    one, same, other = music(seed=0)[0], 0.3 * music(seed=0)[0], music(seed=3)[0]
    frames = np.ones(500, bool)
    onsets = [likeness.onset_envelope(x, RATE, 768) for x in (one, same, np.roll(one, RATE // 8))]
    assert likeness.correlation(onsets[1], onsets[0], frames) > 0.99
    assert likeness.correlation(onsets[2], onsets[0], frames) < 0.5
    chromas = [likeness.chroma(x, RATE, 768) for x in (one, same, other)]
    assert (
        likeness.cosine(chromas[1], chromas[0], frames)
        > 0.99
        > likeness.cosine(chromas[2], chromas[0], frames)
    )


def test_only_the_asked_frames_are_compared():
    one, other = np.arange(10.0), np.arange(10.0)
    other[5:] = 0
    frames = np.arange(10) < 5
    assert likeness.correlation(one, other, frames) == pytest.approx(1)
    assert likeness.correlation(one, other, ~frames) == 0  # constant: nothing to correlate


def test_dead_air_counts_only_where_the_original_is_heard():
    original = 0.1 * np.ones(1000, np.float32)
    gap = original.copy()
    gap[300:700] = 0
    assert likeness.dead_air(gap, original, 10) == 40 and likeness.dead_air(original, original, 10) == 0
    assert likeness.dead_air(gap, gap, 10) == 0


def test_repeats_are_runs_of_equal_frames():
    codes = np.array([[1, 2, 2, 2, 3], [1, 1, 1, 2, 2]])
    assert likeness.longest_repeat(codes) == 2 and likeness.longest_repeat(codes[:1]) == 3
    assert likeness.longest_repeat(np.array([[1, 2, 3]])) == 1


def test_a_held_tone_changes_less_than_music():
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    assert likeness.spectral_change(tone, RATE, 768) < 0.3 * likeness.spectral_change(music()[0], RATE, 768)


def test_a_click_is_a_jump_that_only_joints_have():
    smooth = 0.1 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    joints = np.array([20000])
    assert likeness.click(smooth, joints, 500) == pytest.approx(1, abs=0.01)
    broken = np.concatenate([smooth[:20000], -0.1 - smooth[20000:]])
    assert likeness.click(broken, joints, 500) > 10


def test_a_perfect_vamp_beats_its_rivals(torch_pipeline, encoded, monkeypatch):
    log_p, _ = baselines.unigrams("", [item.codes for item in encoded], 128)
    monkeypatch.setattr(torch_pipeline, "vamp", lambda codes, mask, **settings: codes)
    found = generation_scores(torch_pipeline, encoded, log_p)
    assert tuple(found.onsets) == METHODS
    assert found.onsets["vamp"].mean == pytest.approx(1) and found.chroma["vamp"].mean == pytest.approx(1)
    assert all(found.onsets[rival].mean < 0.999 for rival in METHODS[1:])
    verdicts = {one.name: one.met for one in report.generation_requirements(found)}
    assert verdicts["vamp, onsets"] and not verdicts["vamp, two seeds differ"]


def test_the_worst_clip_decides():
    values = {"one": 0.4, "two": 0.9}
    assert not report.worst("dead air", values, 0.5).met and report.worst("dead air", values, 1.0).met
    assert report.worst("change", values, 0.5, at_least=True) == report.Requirement(
        "change", ">= 0.5", "one: 0.40", False
    )


# --- The command ------------------------------------------------------------------------------------------


def test_the_command_writes_every_score(folder, golden_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(opus, "is_installed", lambda: False)
    place = tmp_path / "scores.json"
    overlay = {
        name: 2 * x
        for name, x in checkpoints.read(golden_dir / "coarse.pth").tensors.items()
        if ".lora_" in name
    }
    torch.save(overlay, tmp_path / "coarse_style.pth")
    arguments = [
        "evaluate",
        "vampnet",
        "--checkpoints",
        golden_dir,
        "--clips",
        folder,
        "--quick",
        "--json",
        place,
    ]
    arguments += ["--lora", tmp_path / "coarse_style.pth", "--style-clips", folder / "two.flac"]
    assert main([*map(str, arguments), "--strict"]) == 1  # random weights meet hardly anything
    printed = capsys.readouterr()
    assert "Requirements" in printed.out and "NOT MET" in printed.out and not printed.err
    scores = json.loads(place.read_text(), parse_constant=pytest.fail)  # no NaN in it
    assert [clip["name"] for clip in scores["clips"]] == ["one", "two"]
    assert set(scores["lora"]) == {"coarse"} and scores["lora"]["coarse"]["difference"]["mean"] != 0
    assert set(scores["sha256"]) == {"codec", "coarse", "c2f", "coarse_style.pth"}
    assert scores["opus"] is None and scores["date"]
    assert [one["share"] for one in scores["tokens"]["coarse"]] == [0.25, 0.5, 0.75, 1.0]
    assert {one["name"]: one["met"] for one in scores["requirements"]}["codec, log-mel, Opus 8"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--checkpoints", "absent"],
        ["--clips", "absent"],
        ["--style-clips", "absent"],
        ["--lora", "absent.pth"],
    ],
)
def test_mistakes_are_one_line(arguments, capsys, golden_dir):
    if arguments[0] != "--checkpoints":
        arguments = [*arguments, "--checkpoints", str(golden_dir)]
    assert main(["evaluate", "vampnet", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_clip_of_another_style_is_left_out_of_the_course_clips():
    assert clips.OTHER_STYLES[0] in {path.stem for path in COURSE_CLIPS.glob("*.flac")}
