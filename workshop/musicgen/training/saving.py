"""A trained MusicGen as the directory that Hugging Face's format describes."""

import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from helpers.musicgen.codec import Codec
from helpers.musicgen.files import CONFIG, GENERATION
from helpers.musicgen.language_model import LanguageModel
from helpers.musicgen.names import (
    HUGGING_FACE_PROJECTION,
    CodecNames,
    LanguageNames,
    Names,
    walk_codec,
    walk_language,
    walk_text,
)
from helpers.musicgen.text_encoder import TextEncoder
from helpers.support.files import write_json, written_whole
from workshop.training.collect import Collect

TENSORS = "model.safetensors"
EMBEDDING = "shared.weight"


def save(
    directory: str | os.PathLike,
    codec: Codec,
    language: LanguageModel,
    text: TextEncoder,
    tokenizer: bytes,
    longest: int,
) -> None:
    """Write all files. The codec stays in float32: each codebook codes what those before left over, so that a
    rounded encoder gives other tokens than the language model was taught. `longest` is in frames.
    """
    directory = Path(directory)
    found = Collect(codec.state_dict())
    walk_codec(found, codec.config, CodecNames("audio_encoder."))
    half = Collect(language.state_dict())
    walk_language(half, language.config, LanguageNames("decoder."))
    words = Collect(text.state_dict())
    walk_text(words, text.config, Names("text_encoder."), EMBEDDING, HUGGING_FACE_PROJECTION)
    tensors = _stored(found.tensors, torch.float32)
    tensors |= _stored(half.tensors | words.tensors, torch.float16)
    with written_whole(directory / TENSORS) as temporary:
        save_file(tensors, temporary, {"format": "pt"})
    with written_whole(directory / "spiece.model") as temporary:
        temporary.write_bytes(tokenizer)
    write_json(directory / GENERATION, generation_config(language, longest))
    write_json(directory / CONFIG, config(codec, language, text))


def _stored(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", dtype).clone() for name, tensor in tensors.items()}


def generation_config(language: LanguageModel, longest: int) -> dict:
    special = language.config.codebook_size
    return {
        "bos_token_id": special, "decoder_start_token_id": special, "pad_token_id": special,
        "do_sample": True, "guidance_scale": 3.0, "max_length": longest,
    }  # fmt: skip


def config(codec: Codec, language: LanguageModel, text: TextEncoder) -> dict:
    """`config.json`: the three models' shapes by the names that the format has for them."""
    c, m, t = codec.config, language.config, text.config
    bits = c.n_codebooks * (c.codebook_size - 1).bit_length()  # a frame
    audio = {
        "model_type": "encodec", "sampling_rate": c.sample_rate, "audio_channels": 1,
        "num_filters": c.n_filters, "upsampling_ratios": list(c.ratios), "num_residual_layers": c.n_residual,
        "dilation_growth_rate": c.dilation_base, "compress": c.compress, "kernel_size": c.kernel,
        "residual_kernel_size": c.residual_kernel, "last_kernel_size": c.last_kernel,
        "num_lstm_layers": c.n_lstm, "hidden_size": c.dimension, "codebook_dim": c.dimension,
        "codebook_size": c.codebook_size, "pad_mode": c.edges, "norm_type": "weight_norm", "normalize": False,
        "use_causal_conv": False, "use_conv_shortcut": False, "chunk_length_s": None, "overlap": None,
        "trim_right_ratio": 1.0,
        # kbit/s: what says in this format how many codebooks there are
        "target_bandwidths": [bits * c.sample_rate / c.hop / 1000],
    }  # fmt: skip
    decoder = {
        "model_type": "musicgen_decoder", "hidden_size": m.width, "num_attention_heads": m.n_heads,
        "num_hidden_layers": m.n_layers, "ffn_dim": m.feed_forward, "num_codebooks": m.n_codebooks,
        "vocab_size": m.codebook_size, "activation_function": "gelu", "scale_embedding": False,
        "audio_channels": 1, "bos_token_id": m.codebook_size, "pad_token_id": m.codebook_size,
        "tie_word_embeddings": False,
    }  # fmt: skip
    words = {
        "model_type": "t5", "vocab_size": t.vocab_size, "d_model": t.width, "d_kv": t.inner // t.n_heads,
        "num_heads": t.n_heads, "num_layers": t.n_layers, "d_ff": t.feed_forward, "feed_forward_proj": "relu",
        "relative_attention_num_buckets": t.n_buckets, "relative_attention_max_distance": t.max_distance,
        "layer_norm_epsilon": t.eps, "pad_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    return {
        "model_type": "musicgen", "architectures": ["MusicgenForConditionalGeneration"],
        "audio_encoder": audio, "decoder": decoder, "text_encoder": words,
    }  # fmt: skip
