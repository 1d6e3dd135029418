"""What a MusicGen's files hold, in words, before anything is transferred."""

from collections.abc import Iterator
from pathlib import Path

from helpers.checkpoints import describe_tensors, read_dict, read_safetensors
from helpers.musicgen.configs import audiocraft_codec, audiocraft_language
from helpers.musicgen.files import CODEC, LANGUAGE, OnlyNamed
from helpers.musicgen.sources import Sources, package
from helpers.support.config import shown


def describe_directory(directory: Path) -> Iterator[str]:
    """What the models are together, and each of them; where one is only named, the files that are there."""
    try:
        sources = Sources.of(directory)
    except OnlyNamed as missing:
        for name in (LANGUAGE, CODEC):
            if (directory / name).is_file():
                yield from describe_file(directory / name)
        yield f"note: {missing}"
        return
    spec = sources.spec()
    yield (
        f"{directory}: MusicGen, {spec.sample_rate} Hz, {spec.frame_rate} frames a second, "
        f"{spec.channels} channel{'s' * (spec.channels > 1)}, {spec.n_codebooks} codebooks of "
        f"{spec.codebook_size}, delays {shown(spec.delays)}, {spec.max_seconds:g} s at once, "
        f"padding of texts: {spec.text_padding}"
    )
    for part in (sources.language, sources.codec, sources.text):
        yield f"{part.path}: {part.called}"
        yield from describe_tensors(part.tensors, n_parts=0)
        yield from _numbers(part.config)
    yield f"tokenizer: {sources.tokenizer or 'none'}"


def describe_file(path: Path) -> Iterator[str]:
    """One file: its shape where the file itself says it, and its tensors. Raises InputError."""
    if path.suffix.lower() == ".safetensors":
        yield f"{path}: tensors alone; what they are, {path.parent} says"
        yield from describe_tensors(read_safetensors([path]))
        return
    content = read_dict(path)
    if "pretrained" in content:
        yield f"{path}: no codec but the name of one, {shown(content['pretrained'])}"
        return
    settings, tensors = package(path)
    is_codec = settings.get("compression_model") is not None and settings.get("lm_model") is None
    yield f"{path}: {'the codec' if is_codec else 'the language model'} of an audiocraft checkpoint"
    yield from describe_tensors(tensors)
    yield from _numbers(audiocraft_codec(settings) if is_codec else audiocraft_language(settings)[0])


def _numbers(config: object) -> Iterator[str]:
    for name, value in vars(config).items():
        yield f"  {name} = {shown(value)}"
