"""The names that two families of files give MusicGen's tensors, and those they have in the modules."""

from dataclasses import dataclass

from helpers.musicgen.codec import CodecConfig
from helpers.musicgen.language_model import LanguageConfig
from helpers.musicgen.text_encoder import TextConfig
from helpers.transfer import Move


@dataclass(frozen=True)
class Names:
    """What one family calls the tensors of one model; `prefix` stands before every name."""

    prefix: str = ""

    def __truediv__(self, name: str) -> str:
        return self.prefix + name


@dataclass(frozen=True)
class CodecNames(Names):
    half: str = "layers"  # of the encoder and the decoder
    conv: str = "conv"
    transposed: str = "conv"
    quantizer: str = "quantizer.layers"
    book: str = "codebook"


@dataclass(frozen=True)
class LanguageNames(Names):
    embedding: str = "model.decoder.embed_tokens"
    layers: str = "model.decoder.layers"
    self_attention: str = "self_attn"
    cross_attention: str = "encoder_attn"
    packed: bool = False  # query, key and value one below the other
    norms: tuple[str, str, str] = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
    feed_forward: tuple[str, str] = ("fc1", "fc2")
    norm: str = "model.decoder.layer_norm"
    heads: str = "lm_heads"


AUDIOCRAFT_CODEC = CodecNames("", "model", "conv.conv", "convtr.convtr", "quantizer.vq.layers", "_codebook")
AUDIOCRAFT_LANGUAGE = LanguageNames(
    "", "emb", "transformer.layers", "self_attn", "cross_attention", True, ("norm1", "norm_cross", "norm2"),
    ("linear1", "linear2"), "out_norm", "linears",
)  # fmt: skip
AUDIOCRAFT_PROJECTION = "condition_provider.conditioners.description.output_proj"
HUGGING_FACE_PROJECTION = "enc_to_dec_proj"


def walk_codec(move: Move, config: CodecConfig, names: CodecNames) -> None:
    """Tell `move` of every tensor of a codec: the one list of their names, for reading and for writing."""

    def conv(target: str, half: str, place: str, kind: str = names.conv) -> None:
        move.conv(f"{half}.{target}", names / f"{half}.{names.half}.{place}.{kind}")

    def blocks(half: str, stage: int, first: int) -> None:
        for i in range(config.n_residual):
            for part, place in (("conv_1", 1), ("conv_2", 3)):
                conv(f"stages.{stage}.blocks.{i}.{part}", half, f"{first + i}.block.{place}")

    def recurrent(half: str, place: int) -> None:
        for i in range(config.n_lstm):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                source = names / f"{half}.{names.half}.{place}.lstm.{part}_l{i}"
                move.copy(f"{half}.recurrent.lstm.{part}_l{i}", source)

    stage, n = config.n_residual + 2, len(config.ratios)  # a stage: blocks, activation, change of rate
    conv("conv_in", "encoder", "0")
    for i in range(n):
        blocks("encoder", i, 1 + i * stage)
        conv(f"stages.{i}.down", "encoder", f"{(i + 1) * stage}")
    recurrent("encoder", n * stage + 1)
    conv("conv_out", "encoder", f"{n * stage + 3}")
    for q in range(config.n_codebooks):
        move.copy(f"quantizer.codebooks.{q}.weight", names / f"{names.quantizer}.{q}.{names.book}.embed")
    conv("conv_in", "decoder", "0")
    recurrent("decoder", 1)
    for i in range(n):
        conv(f"stages.{i}.up", "decoder", f"{3 + i * stage}", names.transposed)
        blocks("decoder", i, 4 + i * stage)
    conv("conv_out", "decoder", f"{n * stage + 3}")


def walk_language(move: Move, config: LanguageConfig, names: LanguageNames) -> None:
    """The same of a language model."""
    for k in range(config.n_codebooks):
        move.copy(f"embeddings.{k}.weight", names / f"{names.embedding}.{k}.weight")
        move.copy(f"heads.{k}.weight", names / f"{names.heads}.{k}.weight")
    for i in range(config.n_layers):
        ours, theirs = f"layers.{i}", names / f"{names.layers}.{i}"
        for kind, called in (
            ("self_attention", names.self_attention),
            ("cross_attention", names.cross_attention),
        ):
            parts = [f"{ours}.{kind}.{part}.weight" for part in ("query", "key", "value")]
            if names.packed:
                move.split(parts, f"{theirs}.{called}.in_proj_weight")
            else:
                for target, letter in zip(parts, "qkv"):
                    move.copy(target, f"{theirs}.{called}.{letter}_proj.weight")
            move.linear(f"{ours}.{kind}.out", f"{theirs}.{called}.out_proj")
        for part, called in zip(("w_1", "w_2"), names.feed_forward):
            move.linear(f"{ours}.{part}", f"{theirs}.{called}")
        for part, called in zip(("norm_1", "norm_2", "norm_3"), names.norms):
            _with_bias(move, f"{ours}.{part}", f"{theirs}.{called}")
    _with_bias(move, "norm", names / names.norm)


def walk_text(move: Move, config: TextConfig, names: Names, embedding: str, projection: str) -> None:
    """The same of a text encoder; `embedding` is one of two names for the same table."""
    move.copy("embedding.weight", names / embedding)
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    move.copy("position_bias.weight", names / first)
    for i in range(config.n_layers):
        ours, theirs = f"layers.{i}", names / f"encoder.block.{i}.layer"
        move.copy(f"{ours}.norm_1.weight", f"{theirs}.0.layer_norm.weight")
        for part, called in (("w_qs", "q"), ("w_ks", "k"), ("w_vs", "v"), ("fc", "o")):
            move.linear(f"{ours}.attention.{part}", f"{theirs}.0.SelfAttention.{called}")
        move.copy(f"{ours}.norm_2.weight", f"{theirs}.1.layer_norm.weight")
        for part, called in (("w_1", "wi"), ("w_2", "wo")):
            move.linear(f"{ours}.{part}", f"{theirs}.1.DenseReluDense.{called}")
    move.copy("norm.weight", names / "encoder.final_layer_norm.weight")
    if config.projected:
        _with_bias(move, "projection", projection)


def _with_bias(move: Move, target: str, source: str) -> None:
    for part in ("weight", "bias"):
        move.copy(f"{target}.{part}", f"{source}.{part}")
