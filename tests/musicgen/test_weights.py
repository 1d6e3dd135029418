"""Checkpoints of both families: what is read, what is refused and by which name, what strangers write."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
import torch
from fabricate_musicgen import (
    CODEC,
    GOLDEN,
    audiocraft_settings,
    changed,
    modules,
    save_package,
    write_audiocraft,
    write_hugging_face,
)
from refusals import refused
from safetensors.torch import load_file, save_file

from helpers.musicgen import files
from helpers.musicgen.weights import load_models
from helpers.runtime.tokenizer import Tokenizer


@pytest.fixture
def audiocraft(tmp_path):
    """A copy of the golden files that may be changed."""
    for name in ("audiocraft", "t5", "finetune"):
        shutil.copytree(GOLDEN / name, tmp_path / name)
    return tmp_path / "audiocraft"


@pytest.fixture
def hugging_face(tmp_path):
    return shutil.copytree(GOLDEN / "hf", tmp_path / "hf")


def resave(path, change_tensors=lambda tensors: None, change_settings=lambda settings: settings):
    """Change a file of audiocraft's."""
    package = torch.load(path, weights_only=True)
    tensors = dict(package["best_state"])
    change_tensors(tensors)
    save_package(path, tensors, change_settings(audiocraft_settings(path.name)))


def reconfigure(directory, path, value):
    """Change one setting of a `config.json`."""
    file = directory / "config.json"
    file.write_text(json.dumps(changed(json.loads(file.read_text()), path, value)))


# --- what is read


@pytest.mark.parametrize("shards", [1, 3])
def test_other_shapes_are_read_from_both_families(tmp_path, shards):
    codec, language = modules()
    hf = load_models(write_hugging_face(tmp_path / "hf", codec, language, shards=shards))
    ac = load_models(write_audiocraft(tmp_path / "ac", codec, language))
    for found in (hf, ac):
        assert found.spec.delays == (0, 0, 1, 1, 2, 2) and found.spec.channels == 2
        assert found.spec.hop == 30 and found.spec.frame_rate == 53
        for name, value in codec.named_parameters():
            torch.testing.assert_close(found.codec.get_parameter(name), value, atol=1e-6, rtol=1e-5)
    for name, value in language.named_parameters():
        assert torch.equal(hf.language.get_parameter(name), value)
        assert torch.equal(ac.language.get_parameter(name), value.half().float())
    assert len(hf.files) == shards + 1 and all(len(value) == 64 for value in hf.sha256().values())


def encodec_directory(directory):
    """A codec alone, as Hugging Face stores it."""
    tensors = load_file(GOLDEN / "hf" / "model.safetensors")
    prefix = "audio_encoder."
    directory.mkdir()
    inside = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    save_file(inside, directory / "model.safetensors")
    config = json.loads((GOLDEN / "hf" / "config.json").read_text())["audio_encoder"]
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def test_a_codec_that_is_only_named(audiocraft, tmp_path):
    shutil.copy(tmp_path / "finetune" / "compression_state_dict.bin", audiocraft)
    with refused("facebook/encodec_32khz", "--codec DIR"):
        load_models(audiocraft)
    elsewhere = encodec_directory(tmp_path / "elsewhere")
    given = load_models(audiocraft, codec=elsewhere)
    elsewhere.rename(tmp_path / "encodec_32khz")
    beside = load_models(audiocraft)
    assert given.codec.config.edges == "reflect"
    for one, other in zip(given.codec.parameters(), beside.codec.parameters()):
        assert torch.equal(one, other)
    (audiocraft / "compression_state_dict.bin").unlink()
    assert load_models(audiocraft).files.keys() == beside.files.keys()


def test_a_text_encoder_that_is_only_named(audiocraft, tmp_path):
    (tmp_path / "t5").rename(tmp_path / "read")
    with refused("t5-base", "--text-encoder DIR"):
        load_models(audiocraft)
    assert load_models(audiocraft, text_encoder=tmp_path / "read").tokenizer.name == "spiece.model"
    shutil.move(tmp_path / "read", audiocraft / "t5-base")
    load_models(audiocraft)


def test_a_whole_t5_leaves_its_decoder(audiocraft, tmp_path):
    path = tmp_path / "t5" / "model.safetensors"
    more = {"decoder.final_layer_norm.weight": torch.ones(40), "lm_head.weight": torch.ones(288, 40)}
    tensors = load_file(path)
    save_file(tensors | more | {"encoder.embed_tokens.weight": tensors["shared.weight"].clone()}, path)
    report = load_models(audiocraft).reports["text"]
    assert {row.sources[0] for row in report.unused} == {*more, "encoder.embed_tokens.weight"}


def test_old_names(hugging_face):
    path = hugging_face / "model.safetensors"
    tensors = load_file(path)
    old = {
        n.replace("parametrizations.weight.original0", "weight_g")
        .replace("parametrizations.weight.original1", "weight_v"): t
        for n, t in tensors.items()
    }  # fmt: skip
    old["decoder.model.decoder.embed_positions.weights"] = torch.zeros(2048, 48)
    before = load_models(hugging_face)
    save_file(old, path)
    after = load_models(hugging_face)
    for one, other in zip(before.codec.parameters(), after.codec.parameters()):
        assert torch.equal(one, other)


def test_a_codec_with_more_books_than_are_spoken(tmp_path):
    codec, language = modules()
    _, short = modules(language=type(language.config)(**(vars(language.config) | {"n_codebooks": 4})))
    found = load_models(write_hugging_face(tmp_path / "hf", codec, short))
    assert found.codec.config.n_codebooks == 2
    assert any("does not speak" in row.how for row in found.reports["codec"].unused)


# --- what is refused, by name

REFUSED = {
    "lm_model": "magnet", "conditioners.self_wav": {"model": "chroma_stem"},
    "conditioners.style": {"model": "style"},
    "conditioners.description.model": "clap", "fuser.prepend": ["description"], "fuser.sum": ["x"],
    "fuser.input_interpolate": ["x"], "fuser.cross": [], "fuser.cross_attention_pos_emb": True,
    "codebooks_pattern.modeling": "parallel", "codebooks_pattern.delay.flatten_first": 1,
    "codebooks_pattern.delay.empty_initial": 1, "codebooks_pattern.delay.delays": [0, 1, 2],
    "transformer_lm.positional_embedding": "rope", "transformer_lm.norm_first": False,
    "transformer_lm.layer_scale": 0.1, "transformer_lm.qk_layer_norm": True,
    "transformer_lm.qk_layer_norm_cross": True, "transformer_lm.past_context": 100,
    "transformer_lm.kv_repeat": 2,
    "transformer_lm.two_step_cfg": True, "interleave_stereo_codebooks.per_timestep": True,
    "transformer_lm.activation": "relu", "transformer_lm.causal": False, "transformer_lm.bias_attn": True,
    "transformer_lm.num_heads": 5, "transformer_lm.dim": "48", "transformer_lm.num_layers": 10**7,
    "transformer_lm.card": -3, "dataset.segment_duration": float("inf"),
    "transformer_lm.positional_scale": 0.5, "transformer_lm.max_period": 500,
    "interleave_stereo_codebooks.use": "yes",
    "transformer_lm.n_q": "${n_q" + "x" * 5000 + "}",
}  # fmt: skip
REFUSED_CODECS = {
    "encodec.causal": True, "encodec.renormalize": True, "seanet.norm": "time_group_norm",
    "seanet.true_skip": False,
    "seanet.lstm": 0, "seanet.pad_mode": "replicate", "seanet.activation": "Snake", "seanet.ratios": [],
    "seanet.decoder.final_activation": "Tanh", "seanet.n_filters": True, "compression_model": "dac",
    "channels": 2, "rvq.bins": 64, "seanet.n_residual_layers": 10**6, "seanet.kernel_size": 10**6,
    "seanet.dimension": "${seanet.dimension}", "sample_rate": "${nowhere.at.all}",
    "seanet.decoder.pad_mode": "reflect", "seanet.decoder": [1],
}  # fmt: skip
REFUSED_CONFIGS = {
    "model_type": "musicgen_melody", "decoder.activation_function": "relu", "decoder.scale_embedding": True,
    "decoder.num_codebooks": 10**6, "decoder.audio_channels": 3, "decoder": None, "audio_encoder": [],
    "audio_encoder.chunk_length_s": 1.0, "audio_encoder.normalize": True,
    "audio_encoder.use_causal_conv": True,
    "audio_encoder.use_conv_shortcut": True, "audio_encoder.norm_type": "time_group_norm",
    "audio_encoder.num_lstm_layers": 0, "audio_encoder.model_type": "dac", "audio_encoder.codebook_dim": 99,
    "text_encoder.feed_forward_proj": "gated-gelu", "text_encoder.model_type": "umt5",
    "text_encoder.num_layers": 10**6, "text_encoder.layer_norm_epsilon": "1", "decoder.hidden_size": 47,
    "text_encoder.relative_attention_num_buckets": 2, "text_encoder.dense_act_fn": "gelu_new",
    "text_encoder.is_gated_act": True,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_audiocraft_may_ask_for(audiocraft, name):
    resave(audiocraft / "state_dict.bin", change_settings=lambda old: changed(old, name, REFUSED[name]))
    with refused(name.rpartition(".")[2].replace("dim", "").replace("num_heads", "heads")):
        load_models(audiocraft)


@pytest.mark.parametrize("name", REFUSED_CODECS)
def test_what_a_codec_may_ask_for(audiocraft, name):
    path = audiocraft / "compression_state_dict.bin"
    resave(path, change_settings=lambda old: changed(old, name, REFUSED_CODECS[name]))
    with refused():
        load_models(audiocraft)


@pytest.mark.parametrize("name", REFUSED_CONFIGS)
def test_what_a_config_may_ask_for(hugging_face, name):
    reconfigure(hugging_face, name, REFUSED_CONFIGS[name])
    with refused():
        load_models(hugging_face)


@pytest.mark.parametrize("seconds", [1e-5, 0.03, 90_000])
def test_a_window_that_nothing_can_follow(audiocraft, seconds):
    path = audiocraft / "state_dict.bin"
    resave(path, change_settings=lambda old: changed(old, "dataset.segment_duration", seconds))
    with refused():
        load_models(audiocraft)


def test_settings_that_say_nothing_mean_what_they_mean_to_the_reference(audiocraft):
    def without_causal(settings):
        del settings["transformer_lm"]["causal"]
        return settings

    resave(audiocraft / "state_dict.bin", change_settings=without_causal)
    with refused("causal"):
        load_models(audiocraft)


@pytest.mark.parametrize("name", ["decoder_start_token_id", "bos_token_id"])
def test_generation_that_begins_with_another_token(hugging_face, name):
    file = hugging_face / "generation_config.json"
    file.write_text(json.dumps({name: 5}))
    with refused(name):
        load_models(hugging_face)
    file.write_text(json.dumps({name: 128}))
    load_models(hugging_face)


def test_a_codec_of_another_kind(audiocraft):
    for name in ("dac_44khz", "dac" + "x" * 5000, "x" * 5000):
        torch.save({"pretrained": name, "exported": True}, audiocraft / "compression_state_dict.bin")
        with refused(name[:9]):
            load_models(audiocraft)


# --- tensors that are missing, too many or not what they should be


def drop(tensors, name):
    del tensors[name]


def spoil(tensors, name):
    tensors[name] = torch.full_like(tensors[name], float("nan"))


def bend(tensors, name):
    tensors[name] = tensors[name].flatten()[:-1]


def whole_numbers(tensors, name):
    tensors[name] = tensors[name].long()


@pytest.mark.parametrize("change", [drop, spoil, bend, whole_numbers])
@pytest.mark.parametrize(
    "file, name",
    [
        ("state_dict.bin", "transformer.layers.1.cross_attention.in_proj_weight"),
        ("state_dict.bin", "condition_provider.conditioners.description.output_proj.bias"),
        ("compression_state_dict.bin", "decoder.model.1.lstm.bias_hh_l1"),
        ("compression_state_dict.bin", "encoder.model.3.conv.conv.weight_g"),
    ],
)
def test_a_tensor_that_is_wrong_is_named(audiocraft, change, file, name):
    resave(audiocraft / file, lambda tensors: change(tensors, name))
    with refused(name):
        load_models(audiocraft)


@pytest.mark.parametrize("change", [drop, spoil, bend, whole_numbers])
@pytest.mark.parametrize(
    "name",
    ["decoder.lm_heads.3.weight", "audio_encoder.quantizer.layers.0.codebook.embed",
     "text_encoder.shared.weight", "enc_to_dec_proj.weight"],
)  # fmt: skip
def test_a_tensor_that_is_wrong_is_named_in_the_other_family(hugging_face, change, name):
    path = hugging_face / "model.safetensors"
    tensors = load_file(path)
    change(tensors, name)
    save_file(tensors, path)
    with refused():
        load_models(hugging_face)


def test_a_tensor_too_many_is_named(audiocraft, hugging_face):
    resave(audiocraft / "state_dict.bin", lambda tensors: tensors.update({"lora.\x1b[31m": torch.ones(3)}))
    with refused("lora"):
        load_models(audiocraft)
    path = hugging_face / "model.safetensors"
    save_file(load_file(path) | {"decoder.model.decoder.layers.7.fc1.weight": torch.ones(3)}, path)
    with refused("layers.7.fc1"):
        load_models(hugging_face)


# --- what strangers write


class Touch:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_small_file_does_not_become_gigabytes(audiocraft):
    table = torch.zeros(1 << 16, dtype=torch.float16)
    many = {f"{i}.weight": table for i in range(50)}
    save_package(audiocraft / "state_dict.bin", many, audiocraft_settings())
    with refused("state_dict.bin", "claim"):
        load_models(audiocraft)


def test_nothing_in_a_pickle_runs(audiocraft, tmp_path):
    torch.save({"best_state": Touch(tmp_path / "ran"), "xp.cfg": ""}, audiocraft / "state_dict.bin")
    with refused("system"):
        load_models(audiocraft)
    assert not (tmp_path / "ran").exists()


YAML = {
    "objects": "!!python/object/apply:os.system ['touch ran']",
    "not a table": "- 1\n- 2",
    "damaged": "a: [1, 2",
    "deep": "[" * 3000,
    "long": "a: " + "x" * 10**6,
    "empty": "",
    "bytes": b"a: 1",
    "none": None,
    "itself": "conditioners: &a {description: *a}\nlm_model: ${lm_model}",
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{c}: &{c} [{','.join(['*' + chr(ord(c) - 1)] * 9)}]\n" for c in "bcdefgh"
    ) + "lm_model: *h",
}  # fmt: skip


@pytest.mark.parametrize("name", YAML)
def test_yaml_that_is_not_settings(audiocraft, name):
    package = torch.load(audiocraft / "state_dict.bin", weights_only=True)
    torch.save(package | {"xp.cfg": YAML[name]}, audiocraft / "state_dict.bin")
    with refused():
        load_models(audiocraft)


def header(text, size=None):
    data = text.encode()
    return struct.pack("<Q", len(data) if size is None else size) + data


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 7, header("{}", size=2**62), header("not json"), header("[]"), header('{"a": 1}'),
     header('{"a": {"dtype": "F32", "shape": [99999999999, 9], "data_offsets": [0, 4]}}') + b"1234",
     header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}'), header("{}")],
)  # fmt: skip
def test_safetensors_that_are_not(hugging_face, content):
    (hugging_face / "model.safetensors").write_bytes(content)
    with refused("model.safetensors"):
        load_models(hugging_face)


@pytest.mark.parametrize(
    "index", ["[]", '{"weight_map": 3}', '{"weight_map": {"a": "../../secret.safetensors"}}',
              '{"weight_map": {"a": "missing.safetensors"}}', '{"weight_map": {"a": 3}}', "{",
              '{"weight_map": {}}', json.dumps({"weight_map": {"a": "x" * 300 + ".safetensors"}})]
)  # fmt: skip
def test_an_index_that_lies(hugging_face, index):
    (hugging_face / "model.safetensors.index.json").write_text(index)
    with refused():
        load_models(hugging_face)


def test_directories_that_are_not(tmp_path, hugging_face):
    for wrong, fragment in ((tmp_path / "none", "not a directory"), (tmp_path, "neither")):
        with refused(fragment):
            load_models(wrong)
    (hugging_face / "config.json").write_text("{}")
    with refused("hf"):
        load_models(hugging_face)
    reconfigure(hugging_face, "model_type", "musicgen_melody")
    with refused("musicgen_melody"):
        load_models(hugging_face)


def test_tokenizers_that_are_not(audiocraft, hugging_face, tmp_path):
    from helpers.musicgen.reference import TorchPipeline

    for directory, file in ((audiocraft, tmp_path / "t5" / "spiece.model"),
                            (hugging_face, hugging_face / "tokenizer.json")):  # fmt: skip
        models = load_models(directory)
        for content in (b"", b"\x00\xff" * 99, b"{}", b'{"model": 3}'):
            file.write_bytes(content)
            with refused(file.name):
                TorchPipeline(models).text("drums")


TABLES = {  # of characters, in base 64: cut off; far more claimed than there is; a number that leads nowhere
    "cut": "AAAA", "claims": "/////w==", "leads": "BAAAAP////8AAAAA"
}  # fmt: skip
PARTS = {
    **{name: {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Precompiled", "precompiled_charsmap": table}]}} for name, table in TABLES.items()},
    "template": {"post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": {},
                                    "single": [{"SpecialToken": {"id": "X", "type_id": 0}}]}},
    "no unknown": {"model": {"type": "WordLevel", "vocab": {}, "unk_token": "<unk>"}},
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_tokenizer_that_are_not(hugging_face, name):
    """What makes the library panic, or end the process, is one line."""
    file = hugging_face / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | PARTS[name]))
    tokenizer = Tokenizer(file, 288)
    with refused(file.name):
        tokenizer(["drums \u00e9"])


def test_a_tokenizer_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "spiece.model")
    with refused("no file"):
        Tokenizer(tmp_path / "spiece.model", 288)(["drums"])


def test_a_directory_is_recognised_and_described():
    assert files.recognises(GOLDEN / "audiocraft") and files.recognises(GOLDEN / "hf")
    assert not files.recognises(GOLDEN) and not files.recognises(GOLDEN.parent / "vampnet")
    assert not files.recognises(GOLDEN / "t5")
    for name, words in (("audiocraft", "float16"), ("hf", "reflect")):
        lines = list(files.describe(GOLDEN / name))
        assert any(words in line for line in lines) and "codebooks of 128" in lines[0]


def test_the_codec_alone_keeps_its_contexts():
    """What a frame depends on, measured: a change outside of the contexts changes nothing."""
    codec, _ = modules()
    before, after = CODEC.decoder_context
    frames = torch.randn(1, CODEC.dimension, 60)
    changed_frames = frames.clone()
    changed_frames[:, :, 30] += 1
    with torch.inference_mode():
        x, y = codec.decoder.before(frames), codec.decoder.before(changed_frames)
        touched = np.flatnonzero((x != y).any(1)[0].numpy())
        assert touched[0] >= 30 - before and touched[-1] <= 30 + before
        z = x.clone()
        z[:, :, 30] += 1
        changed_sound = (codec.decoder.after(x) - codec.decoder.after(z)).abs()[0, 0]
        touched = np.flatnonzero(changed_sound.numpy()) // CODEC.hop
        assert touched[0] >= 30 - after and touched[-1] <= 30 + after
