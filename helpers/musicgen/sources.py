"""MusicGen's checkpoints, read but not yet used: which files there are, and what they say of the models."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from helpers.checkpoints import named_tensors, read_dict, read_safetensors, safetensors_files
from helpers.download.records import REPOSITORY
from helpers.musicgen.codec import CodecConfig
from helpers.musicgen.configs import (
    DEFAULT_SECONDS,
    Layout,
    audiocraft_codec,
    audiocraft_language,
    hugging_face_codec,
    hugging_face_language,
    hugging_face_text,
)
from helpers.musicgen.files import (
    CODEC,
    CONFIG,
    GENERATION,
    LANGUAGE,
    find,
    is_audiocraft,
    named,
    tokenizer_of,
)
from helpers.musicgen.language_model import LanguageConfig
from helpers.musicgen.names import (
    AUDIOCRAFT_CODEC,
    AUDIOCRAFT_LANGUAGE,
    AUDIOCRAFT_PROJECTION,
    HUGGING_FACE_PROJECTION,
    CodecNames,
    LanguageNames,
    Names,
)
from helpers.musicgen.spec import Spec, is_a_window
from helpers.musicgen.text_encoder import TextConfig
from helpers.support.config import integer, is_whole, shown
from helpers.support.errors import InputError
from helpers.support.files import read_json
from helpers.support.settings import Settings, read_yaml


@dataclass(frozen=True)
class Part:
    """One model's tensors as stored, its shape, and what it is called in messages."""

    called: str
    path: Path
    config: CodecConfig | LanguageConfig | TextConfig
    tensors: dict[str, Tensor]
    names: Names
    projection: str = ""


@dataclass(frozen=True)
class Sources:
    """The files of a MusicGen, read but not yet used."""

    language: Part
    codec: Part
    text: Part
    layout: Layout
    files: dict[str, Path]
    tokenizer: Path | None

    @classmethod
    def of(
        cls,
        directory: str | os.PathLike,
        text_encoder: str | os.PathLike | None = None,
        codec: str | os.PathLike | None = None,
    ) -> "Sources":
        """Read a directory of either family, and the directories of what it only names."""
        directory = find(directory)
        if is_audiocraft(directory):
            sources = _audiocraft(directory, text_encoder, codec)
        else:
            sources = _hugging_face(directory)
        sources.check()
        return sources

    def check(self) -> None:
        """Whether the three belong together. Raises InputError."""
        language, codec = self.language.config, self.codec.config
        books = language.n_codebooks // self.layout.channels
        if books != codec.n_codebooks or language.codebook_size != codec.codebook_size:
            raise InputError(
                f"{self.codec.path} has {codec.n_codebooks} codebooks of {codec.codebook_size}, the language "
                f"model {books} of {language.codebook_size} a channel: they don't belong together."
            )
        if not is_a_window(self.layout.max_seconds, codec.sample_rate, codec.hop):
            raise InputError(
                f"{self.language.path} is made for {self.layout.max_seconds:g} seconds at once: no window is "
                "shorter than two frames, or longer than a day."
            )

    def spec(self) -> Spec:
        """What the loop must know."""
        codec, language, layout = self.codec.config, self.language.config, self.layout
        return Spec(
            sample_rate=codec.sample_rate,
            hop=codec.hop,
            channels=layout.channels,
            n_codebooks=language.n_codebooks,
            codebook_size=language.codebook_size,
            delays=layout.delays,
            width=language.width,
            n_layers=language.n_layers,
            n_heads=language.n_heads,
            vocab_size=self.text.config.vocab_size,
            text_padding=layout.text_padding,
            max_seconds=layout.max_seconds,
            n_lstm=codec.n_lstm,
            codec_width=codec.width,
            encoder_context=codec.encoder_context[0],
            encoder_context_after=codec.encoder_context[1],
            decoder_context=codec.decoder_context[0],
            decoder_context_after=codec.decoder_context[1],
        )


def _audiocraft(
    directory: Path, text_encoder: str | os.PathLike | None, codec: str | os.PathLike | None
) -> Sources:
    path = directory / LANGUAGE
    settings, tensors = package(path)
    config, layout = audiocraft_language(settings)
    name = _text_name(settings)
    home = Path(text_encoder) if text_encoder else named(directory, name, TEXT_HOMES, "--text-encoder")
    projection = {one: tensors[one] for one in tensors if one.startswith(AUDIOCRAFT_PROJECTION + ".")}
    language = Part(
        "the language model",
        path,
        config,
        {one: tensor for one, tensor in tensors.items() if one not in projection},
        AUDIOCRAFT_LANGUAGE,
    )
    settings = _config(home)
    found, files = _model(home)
    text = Part(
        "the text encoder",
        home,
        hugging_face_text(settings, _projected(settings, projection, AUDIOCRAFT_PROJECTION, config.width)),
        found | projection,
        Names(),
        AUDIOCRAFT_PROJECTION,
    )
    codec, codec_files = _audiocraft_codec(directory, codec, config.n_codebooks // layout.channels)
    files = {f"text_encoder/{file.name}": file for file in files}
    return Sources(language, codec, text, layout, {LANGUAGE: path} | codec_files | files, tokenizer_of(home))


def _text_name(settings: Settings) -> str:
    """What an audiocraft file calls its text encoder. Raises InputError."""
    name = settings.get("conditioners.description.t5.name")
    if not isinstance(name, str):
        raise InputError(f"{settings.called}: its text encoder has no name.")
    return name


def _codec_name(path: Path) -> str | None:
    """What an audiocraft directory calls its codec; None where the file at `path` is one."""
    if not path.is_file():
        return DEFAULT_CODEC
    content = read_dict(path)
    if "pretrained" not in content:
        return None
    name = content["pretrained"]
    if not isinstance(name, str) or name.startswith("dac"):
        raise InputError(f"{path} names the codec {shown(name)}; only EnCodec is supported.")
    return name


def named_elsewhere(directory: Path) -> dict[str, str]:
    """The repositories that an audiocraft directory names and needs, by the directories they belong into."""
    settings, _ = package(directory / LANGUAGE)
    found = {}
    for name in (_text_name(settings), _codec_name(directory / CODEC)):
        if name is not None:
            repository = name if "/" in name else f"{T5_OWNER}/{name}"
            if not re.fullmatch(REPOSITORY, repository, re.ASCII):
                raise InputError(f"{directory} names {shown(name)}, which is no public repository.")
            found[repository.partition("/")[2]] = repository
    return found


def package(path: Path) -> tuple[Settings, dict[str, Tensor]]:
    """An exported audiocraft file: its settings and its tensors. Raises InputError."""
    content = read_dict(path)
    if "best_state" not in content or "xp.cfg" not in content:
        raise InputError(f"{path} has no 'best_state' and 'xp.cfg': it is not an exported audiocraft file.")
    return read_yaml(content["xp.cfg"], f"{path}: xp.cfg"), named_tensors(path, content["best_state"])


def _audiocraft_codec(
    directory: Path, codec: str | os.PathLike | None, n_codebooks: int
) -> tuple[Part, dict[str, Path]]:
    """The codec inside a directory, or in the one that it names."""
    home = Path(codec) if codec else directory
    path = home / CODEC
    if path.is_file() and _codec_name(path) is None:
        settings, tensors = package(path)
        config = _with_books(audiocraft_codec(settings), n_codebooks)
        return Part("the codec", path, config, tensors, AUDIOCRAFT_CODEC), {CODEC: path}
    if not codec:
        home = named(directory, _codec_name(path), CODEC_HOMES, "--codec")
    settings = _config(home)
    tensors, files = _model(home)
    config = _with_books(hugging_face_codec(settings, _books(tensors, CodecNames())), n_codebooks)
    return Part("the codec", home, config, tensors, CodecNames()), {f"codec/{f.name}": f for f in files}


def _hugging_face(directory: Path) -> Sources:
    settings = _config(directory)
    settings.only("model_type", "musicgen")
    tensors, files = _model(directory)
    heads = ("text_encoder.", "audio_encoder.", HUGGING_FACE_PROJECTION + ".")
    parts: dict[str, dict[str, Tensor]] = {head: {} for head in (*heads, "")}
    for name, tensor in tensors.items():
        parts[next((head for head in heads if name.startswith(head)), "")][name] = tensor
    path, names = directory / files[0].name, CodecNames("audio_encoder.")
    books = _books(parts["audio_encoder."], names)
    codec = hugging_face_codec(settings.part("audio_encoder"), books)
    generation = _generation(directory)
    config, layout = hugging_face_language(settings.part("decoder"), _seconds(generation, codec))
    _check_special_token(generation, config)
    codec = _with_books(codec, config.n_codebooks // layout.channels)
    projection = parts[HUGGING_FACE_PROJECTION + "."]
    text = settings.part("text_encoder")
    projected = _projected(text, projection, HUGGING_FACE_PROJECTION, config.width)
    return Sources(
        Part("the language model", path, config, parts[""], LanguageNames("decoder.")),
        Part("the codec", path, codec, parts["audio_encoder."], names),
        Part(
            "the text encoder",
            path,
            hugging_face_text(text, projected),
            parts["text_encoder."] | projection,
            Names("text_encoder."),
            HUGGING_FACE_PROJECTION,
        ),
        layout,
        {file.name: file for file in files},
        tokenizer_of(directory),
    )


TEXT_HOMES, CODEC_HOMES = ("t5", "text_encoder"), ("encodec", "codec")
T5_OWNER = "google-t5"  # of the names that come without one
DEFAULT_CODEC = "facebook/encodec_32khz"


def _config(directory: Path) -> Settings:
    return Settings(read_json(directory / CONFIG), str(directory / CONFIG))


def _model(directory: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """A Hugging Face directory's tensors, and all files that they depend on."""
    shards = safetensors_files(directory)
    return read_safetensors(shards), [*shards, directory / CONFIG]


def _books(tensors: Mapping[str, Tensor], names: CodecNames) -> int:
    """How many codebooks the tensors hold: `config.json` only says for which bit rates."""
    count = 0
    while names / f"{names.quantizer}.{count}.{names.book}.embed" in tensors:
        count += 1
    return max(count, 1)


def _with_books(config: CodecConfig, n_codebooks: int) -> CodecConfig:
    """The codec with as many of its codebooks as the language model speaks: the first ones."""
    used = min(config.n_codebooks, max(1, n_codebooks))
    return replace(config, n_codebooks=used)


def _projected(settings: Settings, projection: Mapping, name: str, width: int) -> int | None:
    """The width that the text is projected to; None where it has it already and there is no projection."""
    needless = integer(settings, "d_model", 512) == width and f"{name}.weight" not in projection
    return None if needless else width


def _generation(directory: Path) -> Settings:
    """`generation_config.json`, which may be absent."""
    path = directory / GENERATION
    return Settings(read_json(path) if path.is_file() else {}, str(path))


def _check_special_token(generation: Settings, config: LanguageConfig) -> None:
    """Raise InputError where generation would begin with another token than one past the last code."""
    for name in ("decoder_start_token_id", "bos_token_id"):  # the first that is there counts
        first = generation.get(name)
        if first is not None:
            if not is_whole(first) or first < config.codebook_size:  # beyond the table nothing could begin
                generation.only(name, config.codebook_size)
            return


def _seconds(generation: Settings, codec: CodecConfig) -> float:
    """The longest piece, which `generation_config.json` has in tokens."""
    longest = integer(generation, "max_length", minimum=1, default=0) if generation.get("max_length") else 0
    return longest / max(1, codec.sample_rate // codec.hop) if longest else DEFAULT_SECONDS
