"""What a VampNet checkpoint holds, in words, before it is transferred."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from helpers.checkpoints import LORA_ENDINGS, Checkpoint
from helpers.support.config import shown
from helpers.support.tables import megabytes
from helpers.transfer import WEIGHT_NORM_SPELLINGS
from helpers.vampnet.codec import CodecConfig
from helpers.vampnet.transformer import VampNetConfig

MOST_SHOWN = 8


def describe_checkpoint(checkpoint: Checkpoint) -> Iterator[str]:
    """Architecture, tensors, sizes, and what is unusual."""
    yield f"{checkpoint.path}: {architecture(checkpoint)}"
    tensors = checkpoint.tensors
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    kinds = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    yield f"  {len(tensors)} tensors, {n_numbers:,} numbers, {megabytes(n_bytes)}, {kinds}"
    for part, size in _largest(sizes_by_part(checkpoint)):
        yield f"    {megabytes(size):>10}  {part}"
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


def sizes_by_part(checkpoint: Checkpoint) -> dict[str, int]:
    """Bytes by the first two parts of the tensors' names."""
    sizes: dict[str, int] = defaultdict(int)
    for name, tensor in checkpoint.tensors.items():
        sizes[".".join(name.split(".")[:2])] += tensor.nbytes
    return sizes


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


def _largest(sizes: dict[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(sizes.items(), key=lambda pair: -pair[1])
    rest = sum(size for _, size in ordered[MOST_SHOWN:])
    return ordered[:MOST_SHOWN] + ([(f"{len(ordered) - MOST_SHOWN} other parts", rest)] if rest else [])


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(str(name)[:100] for name in names[:3]) + more
