"""What a VampNet checkpoint holds, in words, before it is transferred."""

from collections.abc import Iterable, Iterator

from helpers.checkpoints import LORA_ENDINGS, Checkpoint, describe_tensors
from helpers.support.config import shown
from helpers.transfer import WEIGHT_NORM_SPELLINGS
from helpers.vampnet.codec import CodecConfig
from helpers.vampnet.transformer import VampNetConfig


def describe_checkpoint(checkpoint: Checkpoint) -> Iterator[str]:
    """Architecture, tensors, sizes, and what is unusual."""
    yield f"{checkpoint.path}: {architecture(checkpoint)}"
    yield from describe_tensors(checkpoint.tensors)
    for name, value in checkpoint.kwargs.items():
        yield f"  {shown(name)[1:-1]} = {shown(value)}"
    for line in unusual(checkpoint):
        yield f"  note: {line}"


def architecture(checkpoint: Checkpoint) -> str:
    """One line: what kind of model, and its shape."""
    if checkpoint.is_lora:
        pairs = sum(name.endswith(LORA_ENDINGS[0]) for name in checkpoint.tensors)
        return f"a LoRA overlay of {pairs} pairs, to be laid over a VampNet transformer"
    kwargs = checkpoint.kwargs
    if "encoder_rates" in kwargs:
        config = CodecConfig.from_kwargs(kwargs)
        return (
            f"a neural codec, {config.sample_rate} Hz, hop {config.hop} "
            f"({config.sample_rate / config.hop:.1f} frames/s), "
            f"{config.n_codebooks} codebooks of {config.codebook_size}"
        )
    if "n_heads" in kwargs:
        config = VampNetConfig.from_kwargs(kwargs)
        return (
            f"a VampNet transformer, {config.n_layers} layers, width {config.embedding_dim}, "
            f"{config.n_heads} heads, {config.n_codebooks} codebooks of {config.vocab_size}, "
            f"{config.n_conditioning_codebooks} of them given"
        )
    return "a checkpoint of a model this course does not know"


def unusual(checkpoint: Checkpoint) -> Iterator[str]:
    """What a reader of the file should know beyond its shape."""
    tensors = checkpoint.tensors
    if checkpoint.prefix:
        yield f"every name begins with {checkpoint.prefix!r}, which is left out here"
    for (gain, direction), words in zip(WEIGHT_NORM_SPELLINGS, ("as trained", "re-saved by a newer PyTorch")):
        count = sum(name.endswith(f".{gain}") for name in tensors)
        if count:
            yield f"{count} weight-normed layer{'s' * (count > 1)}, spelled {gain} and {direction} ({words})"
    lora = sum(name.endswith(LORA_ENDINGS) for name in tensors)
    if lora and not checkpoint.is_lora:
        yield f"{lora} LoRA matrices inside, folded into the weights on transfer"
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        yield f"NaN or infinite values in {_some(broken)}"
    others = sorted(map(str, set(checkpoint.metadata) - {"kwargs"}))
    if others:
        yield f"metadata besides kwargs: {_some(others)}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(str(name)[:100] for name in names[:3]) + more
