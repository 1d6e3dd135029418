"""What a checkpoint says of its shape, and what it asks for that this course has no layer for.

Two families write down the same model in two ways: audiocraft as YAML with references, Hugging Face as JSON.
Both are a stranger's data: numbers are checked, and a setting that would change what is computed is refused
by its name instead of being ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from helpers.musicgen.codec import CodecConfig
from helpers.musicgen.language_model import LanguageConfig
from helpers.musicgen.spec import LONGEST_DELAY, LONGEST_SECONDS
from helpers.musicgen.text_encoder import TextConfig
from helpers.support.config import integer, integers, is_whole, shown
from helpers.support.errors import InputError
from helpers.support.settings import Settings

EDGES = ("constant", "reflect")
DEFAULT_SECONDS = 30.0


@dataclass(frozen=True)
class Layout:
    """What lies around the three models: how many channels take turns, how books are delayed, how long it is.

    text_padding: whether columns may look at the padding of a shorter text ("attend") or not ("mask").
    """

    channels: int
    delays: tuple[int, ...]
    max_seconds: float
    text_padding: str


# --- audiocraft -------------------------------------------------------------------------------------------

AUDIOCRAFT_ONLY = {  # what is supported, and what it is where the settings say nothing
    "lm_model": ("transformer_lm", None),
    "transformer_lm.activation": ("gelu", "relu"),
    "transformer_lm.norm": ("layer_norm", "layer_norm"),
    "transformer_lm.norm_first": (True, False),
    "transformer_lm.bias_ff": (False, True),
    "transformer_lm.bias_attn": (False, True),
    "transformer_lm.bias_proj": (False, True),
    "transformer_lm.causal": (True, False),
    "transformer_lm.positional_embedding": ("sin", "sin"),
    "transformer_lm.positional_scale": (1.0, 1.0),
    "transformer_lm.max_period": (10_000, 10_000),
    "transformer_lm.layer_scale": (None, None),
    "transformer_lm.qk_layer_norm": (False, False),
    "transformer_lm.qk_layer_norm_cross": (False, False),
    "transformer_lm.past_context": (None, None),
    "transformer_lm.kv_repeat": (1, 1),
    "transformer_lm.two_step_cfg": (False, False),
    "two_step_cfg": (False, False),
    "codebooks_pattern.modeling": ("delay", None),
    "codebooks_pattern.delay.flatten_first": (0, 0),
    "codebooks_pattern.delay.empty_initial": (0, 0),
    "interleave_stereo_codebooks.per_timestep": (False, False),
    "fuser.cross_attention_pos_emb": (False, False),
    "conditioners.description.model": ("t5", None),
    "conditioners.description.t5.finetune": (False, False),
    "conditioners.description.t5.normalize_text": (False, False),
}
AUDIOCRAFT_CODEC_ONLY = {
    "compression_model": ("encodec", None),
    "encodec.autoencoder": ("seanet", None),
    "encodec.quantizer": ("rvq", None),
    "encodec.causal": (False, False),
    "encodec.renormalize": (False, False),
    "seanet.channels": (1, 1),
    "seanet.causal": (False, False),
    "seanet.activation": ("ELU", "ELU"),
    "seanet.activation_params.alpha": (1.0, 1.0),
    "seanet.norm": ("weight_norm", "none"),
    "seanet.true_skip": (True, True),
    "seanet.decoder.final_activation": (None, None),
}
OF_THE_DECODER = ("trim_right_ratio", "final_activation", "final_activation_params")  # the first if causal


def refuse_others(settings: Settings, only: Mapping[str, tuple[object, object]]) -> None:
    """Raise InputError for a setting that is not the one supported."""
    for name, (allowed, default) in only.items():
        settings.only(name, allowed, default)


def audiocraft_language(settings: Settings) -> tuple[LanguageConfig, Layout]:
    """Of `xp.cfg` in `state_dict.bin`. Raises InputError, by name, for what is not supported."""
    conditioners = settings.get("conditioners")
    for name in conditioners if isinstance(conditioners, Mapping) else ():
        if name not in ("description", "args"):
            raise InputError(
                f"{settings.called}: it is also conditioned on {shown(name)}; only a text is supported."
            )
    refuse_others(settings, AUDIOCRAFT_ONLY)
    for name in ("prepend", "sum", "input_interpolate"):
        settings.only(f"fuser.{name}", [], [])
    settings.only("fuser.cross", ["description"])
    width = integer(settings, "transformer_lm.dim", minimum=4)
    config = _language(
        LanguageConfig(
            width=width,
            n_heads=integer(settings, "transformer_lm.num_heads"),
            n_layers=integer(settings, "transformer_lm.num_layers"),
            feed_forward=width * integer(settings, "transformer_lm.hidden_scale", 4),
            n_codebooks=integer(settings, "transformer_lm.n_q"),
            codebook_size=integer(settings, "transformer_lm.card"),
        )
    )
    is_stereo = settings.get("interleave_stereo_codebooks.use", False)
    if not isinstance(is_stereo, bool):
        raise InputError(
            f"{settings.called}: 'interleave_stereo_codebooks.use' is {shown(is_stereo)}, not true or false."
        )
    channels = 2 if is_stereo else 1
    seconds = _seconds(settings.get("dataset.segment_duration", DEFAULT_SECONDS), settings.called)
    delays = settings.get("codebooks_pattern.delay.delays")
    return config, _layout(config, channels, delays, seconds, "attend", settings.called)


def audiocraft_codec(settings: Settings) -> CodecConfig:
    """Of `xp.cfg` in `compression_state_dict.bin`. Raises InputError, by name, for what is not supported."""
    refuse_others(settings, AUDIOCRAFT_CODEC_ONLY)
    settings.only("seanet.encoder", {}, {})
    its_own = settings.get("seanet.decoder", {})
    for name in Settings(its_own, f"{settings.called}: 'seanet.decoder'").root:
        if name not in OF_THE_DECODER:
            raise InputError(f"{settings.called}: its decoder has a {shown(name)} of its own: not supported.")
    return _codec(
        settings.called,
        CodecConfig(
            sample_rate=integer(settings, "sample_rate"),
            n_filters=integer(settings, "seanet.n_filters"),
            ratios=integers(settings, "seanet.ratios"),
            n_residual=integer(settings, "seanet.n_residual_layers"),
            dilation_base=integer(settings, "seanet.dilation_base"),
            compress=integer(settings, "seanet.compress"),
            kernel=integer(settings, "seanet.kernel_size"),
            residual_kernel=integer(settings, "seanet.residual_kernel_size"),
            last_kernel=integer(settings, "seanet.last_kernel_size"),
            n_lstm=integer(settings, "seanet.lstm", 0),
            dimension=integer(settings, "seanet.dimension"),
            n_codebooks=integer(settings, "rvq.n_q"),
            codebook_size=integer(settings, "rvq.bins"),
            edges=settings.get("seanet.pad_mode", "reflect"),
        ),
    )


# --- Hugging Face -----------------------------------------------------------------------------------------


def hugging_face_language(settings: Settings, max_seconds: float) -> tuple[LanguageConfig, Layout]:
    """Of `config.json`'s `decoder`, which does not say how long the music may be."""
    settings.only("model_type", "musicgen_decoder", "musicgen_decoder")
    settings.only("activation_function", "gelu", "gelu")
    settings.only("scale_embedding", False, False)
    config = _language(
        LanguageConfig(
            width=integer(settings, "hidden_size", 1024, minimum=4),
            n_heads=integer(settings, "num_attention_heads", 16),
            n_layers=integer(settings, "num_hidden_layers", 24),
            feed_forward=integer(settings, "ffn_dim", 4096),
            n_codebooks=integer(settings, "num_codebooks", 4),
            codebook_size=integer(settings, "vocab_size", 2048),
        )
    )
    channels = integer(settings, "audio_channels", 1)
    if channels > 2:
        raise InputError(f"{settings.called}: 'audio_channels' is {channels}; 1 and 2 are supported.")
    delays = [k // channels for k in range(config.n_codebooks)]
    return config, _layout(config, channels, delays, max_seconds, "mask", settings.called)


def hugging_face_codec(settings: Settings, n_codebooks: int) -> CodecConfig:
    """Of an EnCodec's `config.json`, or of the part `audio_encoder`; the tensors say how many codebooks."""
    refuse_others(
        settings,
        {
            "model_type": ("encodec", None),
            "audio_channels": (1, 1),
            "chunk_length_s": (None, None),
            "normalize": (False, False),
            "norm_type": ("weight_norm", "weight_norm"),
            "use_causal_conv": (False, True),
            "use_conv_shortcut": (False, True),
        },
    )
    dimension = integer(settings, "hidden_size", 128)
    settings.only("codebook_dim", dimension, dimension)
    ratios = integers(settings, "upsampling_ratios")
    return _codec(
        settings.called,
        CodecConfig(
            sample_rate=integer(settings, "sampling_rate", 24000),
            n_filters=integer(settings, "num_filters", 32),
            ratios=ratios,
            n_residual=integer(settings, "num_residual_layers", 1),
            dilation_base=integer(settings, "dilation_growth_rate", 2),
            compress=integer(settings, "compress", 2),
            kernel=integer(settings, "kernel_size", 7),
            residual_kernel=integer(settings, "residual_kernel_size", 3),
            last_kernel=integer(settings, "last_kernel_size", 7),
            n_lstm=integer(settings, "num_lstm_layers", 2),
            dimension=dimension,
            n_codebooks=n_codebooks,
            codebook_size=integer(settings, "codebook_size", 1024),
            edges=settings.get("pad_mode", "reflect"),
        ),
    )


def hugging_face_text(settings: Settings, projected: int | None) -> TextConfig:
    """Of a T5's `config.json`, or of the part `text_encoder`; `projected` as in `TextConfig`."""
    settings.only("model_type", "t5")
    settings.only("feed_forward_proj", "relu", "relu")
    settings.only("dense_act_fn", "relu", "relu")
    settings.only("is_gated_act", False, False)
    n_heads = integer(settings, "num_heads", 8)
    buckets = integer(settings, "relative_attention_num_buckets", 32, minimum=4)
    farthest = integer(settings, "relative_attention_max_distance", 128)
    if buckets % 4 or not buckets // 4 < farthest <= 4096 or buckets > 1024:
        raise InputError(f"{settings.called}: no position bias has {buckets} buckets up to {farthest}.")
    eps = settings.get("layer_norm_epsilon", 1e-6)
    if not isinstance(eps, float) or not 0 < eps < 1:
        raise InputError(f"{settings.called}: 'layer_norm_epsilon' is {shown(eps)}, not a small number.")
    return TextConfig(
        vocab_size=integer(settings, "vocab_size", 32128),
        width=integer(settings, "d_model", 512),
        inner=n_heads * integer(settings, "d_kv", 64),
        n_heads=n_heads,
        n_layers=integer(settings, "num_layers", 6),
        feed_forward=integer(settings, "d_ff", 2048),
        n_buckets=buckets,
        max_distance=farthest,
        eps=eps,
        projected=projected,
    )


# --- both -------------------------------------------------------------------------------------------------


def _language(config: LanguageConfig) -> LanguageConfig:
    if config.width % config.n_heads or config.width % 2:
        raise InputError(
            f"the language model's width {config.width} is odd or does not divide by {config.n_heads} heads."
        )
    return config


def _codec(called: str, config: CodecConfig) -> CodecConfig:
    if config.edges not in EDGES:
        raise InputError(
            f"{called}: 'pad_mode' is {shown(config.edges)}; {' and '.join(EDGES)} are supported."
        )
    if config.n_filters % config.compress:
        raise InputError(
            f"{called}: {config.n_filters} filters do not divide by 'compress' {config.compress}."
        )
    if len(config.ratios) > 16 or config.hop > config.sample_rate:
        raise InputError(f"{called}: the ratios {config.ratios} leave no frame a second.")
    return config


def _layout(
    config: LanguageConfig, channels: int, delays: object, seconds: float, padding: str, called: str
) -> Layout:
    delays = list(range(config.n_codebooks)) if delays is None else delays
    whole = isinstance(delays, list) and all(is_whole(one) and 0 <= one <= LONGEST_DELAY for one in delays)
    if not whole or len(delays) != config.n_codebooks or sorted(delays) != delays:
        raise InputError(
            f"{called}: the delays {shown(delays)} are not {config.n_codebooks} rising whole numbers."
        )
    if config.n_codebooks % channels:
        raise InputError(f"{called}: {config.n_codebooks} codebooks cannot be shared by {channels} channels.")
    return Layout(channels, tuple(delays), seconds, padding)


def _seconds(value: object, called: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= LONGEST_SECONDS:
        raise InputError(
            f"{called}: 'segment_duration' is {shown(value)}, but should be a number of seconds."
        )
    return float(value)
