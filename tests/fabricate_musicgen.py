"""MusicGens of other shapes with random weights, in both families of files, for tests."""

import copy
import json
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from helpers.musicgen.codec import Codec, CodecConfig
from helpers.musicgen.language_model import LanguageConfig, LanguageModel
from helpers.musicgen.names import (
    AUDIOCRAFT_CODEC,
    AUDIOCRAFT_LANGUAGE,
    CodecNames,
    LanguageNames,
    walk_codec,
    walk_language,
)
from helpers.transfer import WEIGHT_NORM_SPELLINGS

GOLDEN = Path(__file__).parent / "golden" / "musicgen"
CODEC = CodecConfig(
    sample_rate=1600, n_filters=4, ratios=(3, 2, 5), n_residual=2, dilation_base=2, compress=2, kernel=7,
    residual_kernel=3, last_kernel=7, n_lstm=1, dimension=12, n_codebooks=3, codebook_size=32,
    edges="reflect",
)  # fmt: skip
LANGUAGE = LanguageConfig(width=24, n_heads=2, n_layers=2, feed_forward=48, n_codebooks=6, codebook_size=32)


class Writer:
    """A `Move` the other way: from a module's parameters to a checkpoint's tensors."""

    def __init__(self, module, spelling=0):
        self.values = {name: value.detach() for name, value in module.named_parameters()}
        self.spelling, self.tensors = WEIGHT_NORM_SPELLINGS[spelling], {}

    def copy(self, target, source, shape=None):
        self.tensors[source] = self.values[target].clone()

    def linear(self, target, prefix, alpha=None):
        self.copy(f"{target}.weight", f"{prefix}.weight")

    def split(self, targets, source):
        self.tensors[source] = torch.cat([self.values[target] for target in targets])

    def weight_norm(self, target, prefix, shape=None):
        weight = self.values[target]
        gain = weight.flatten(1).norm(dim=1).reshape(-1, 1, 1)
        for part, value in zip(self.spelling, (gain, 3 * weight)):
            self.tensors[f"{prefix}.{part}"] = value

    def conv(self, target, prefix):
        self.copy(f"{target}.bias", f"{prefix}.bias")
        self.weight_norm(f"{target}.weight", prefix)


def modules(codec=CODEC, language=LANGUAGE, seed=0):
    """A codec and a language model with random weights."""
    torch.manual_seed(seed)
    return Codec(codec).eval(), LanguageModel(language).eval()


def audiocraft_settings(name="state_dict.bin"):
    """The golden settings of one file, as nested dicts that may be changed."""
    return yaml.safe_load(torch.load(GOLDEN / "audiocraft" / name, weights_only=True)["xp.cfg"])


def write_audiocraft(directory, codec, language, channels=2, delays=(0, 0, 1, 1, 2, 2)):
    """`state_dict.bin` in half precision, `compression_state_dict.bin`, and the golden T5 beside them."""
    settings = audiocraft_settings()
    shape = language.config
    settings["transformer_lm"] |= {
        "dim": shape.width, "num_heads": shape.n_heads, "num_layers": shape.n_layers,
        "n_q": shape.n_codebooks,
        "card": shape.codebook_size, "hidden_scale": shape.feed_forward // shape.width,
    }  # fmt: skip
    settings["interleave_stereo_codebooks"]["use"] = channels == 2
    settings["codebooks_pattern"]["delay"]["delays"] = list(delays)
    writer = Writer(language)
    walk_language(writer, shape, AUDIOCRAFT_LANGUAGE)
    head = "condition_provider.conditioners.description.output_proj"
    writer.tensors |= {
        f"{head}.weight": torch.randn(shape.width, 40) / 6,
        f"{head}.bias": torch.zeros(shape.width),
    }
    halves = {name: tensor.half() for name, tensor in writer.tensors.items()}
    directory.mkdir(parents=True, exist_ok=True)
    save_package(directory / "state_dict.bin", halves, settings)
    settings, writer = audiocraft_settings("compression_state_dict.bin"), Writer(codec)
    walk_codec(writer, codec.config, AUDIOCRAFT_CODEC)
    settings["sample_rate"] = codec.config.sample_rate
    settings["seanet"] |= {
        "ratios": list(codec.config.ratios), "n_residual_layers": codec.config.n_residual,
        "n_filters": codec.config.n_filters, "lstm": codec.config.n_lstm, "pad_mode": codec.config.edges,
        "dimension": codec.config.dimension,
    }  # fmt: skip
    settings["rvq"] |= {"n_q": codec.config.n_codebooks, "bins": codec.config.codebook_size}
    save_package(directory / "compression_state_dict.bin", writer.tensors, settings)
    shutil.copytree(GOLDEN / "t5", directory / "t5-base")
    return directory


def save_package(path, tensors, settings):
    """An exported audiocraft file."""
    text = settings if isinstance(settings, str) else yaml.safe_dump(settings)
    torch.save({"best_state": tensors, "xp.cfg": text, "version": "1", "exported": True}, path)


def write_hugging_face(directory, codec, language, channels=2, shards=1):
    """`config.json` and `model.safetensors`, or shards of it, with the golden T5 inside."""
    config = json.loads((GOLDEN / "hf" / "config.json").read_text())
    shape = language.config
    config["decoder"] |= {
        "hidden_size": shape.width, "num_attention_heads": shape.n_heads, "num_hidden_layers": shape.n_layers,
        "ffn_dim": shape.feed_forward, "num_codebooks": shape.n_codebooks, "vocab_size": shape.codebook_size,
        "audio_channels": channels,
    }  # fmt: skip
    config["audio_encoder"] |= {
        "sampling_rate": codec.config.sample_rate, "upsampling_ratios": list(codec.config.ratios),
        "num_residual_layers": codec.config.n_residual, "num_lstm_layers": codec.config.n_lstm,
        "hidden_size": codec.config.dimension, "codebook_dim": codec.config.dimension,
        "codebook_size": codec.config.codebook_size, "pad_mode": codec.config.edges,
    }  # fmt: skip
    one, other = Writer(language), Writer(codec, spelling=1)
    walk_language(one, shape, LanguageNames("decoder."))
    walk_codec(other, codec.config, CodecNames("audio_encoder."))
    t5 = {f"text_encoder.{name}": value for name, value in load_file(GOLDEN / "t5/model.safetensors").items()}
    projection = {"enc_to_dec_proj.weight": torch.randn(shape.width, 40) / 6,
                  "enc_to_dec_proj.bias": torch.zeros(shape.width)}  # fmt: skip
    tensors = {
        name: value.contiguous() for name, value in (one.tensors | other.tensors | t5 | projection).items()
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    for name in ("generation_config.json", "tokenizer.json"):
        shutil.copy(GOLDEN / "hf" / name, directory)
    names = sorted(tensors)
    parts = [names[i::shards] for i in range(shards)]
    files = ["model.safetensors"] if shards == 1 else [f"model-{i}.safetensors" for i in range(shards)]
    for file, part in zip(files, parts):
        save_file({name: tensors[name] for name in part}, directory / file)
    if shards > 1:
        index = {name: file for file, part in zip(files, parts) for name in part}
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return directory


def changed(settings, path, value):
    """Nested settings with one of them changed."""
    settings = copy.deepcopy(settings)
    *parents, last = path.split(".")
    inner = settings
    for part in parents:
        inner = inner.setdefault(part, {})
    inner[last] = value
    return settings
