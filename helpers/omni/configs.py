"""The shapes of the six models, as `config.json` names them. No PyTorch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from helpers.omni.doubt import Bounds
from helpers.omni.spec import N_SPECIAL, Spec, are_words
from helpers.support.config import integer, shown
from helpers.support.errors import InputError

SAMPLE_RATE, N_FFT, MEL_HOP, N_MELS = 16000, 512, 160, 80  # what is heard and said
F_MIN, F_MAX = 50.0, 7600.0
CODE_FRAME = 4  # frames of the spectrum
PICTURE, CELLS, DIGITS = 64, 9, 3
PATCH = 2  # of the eye's 8 x 8 places, 2 x 2 become one of the thinker's


@dataclass(frozen=True)
class BlocksConfig:
    """A stack of blocks; `hidden` is the width between the two halves of a feed-forward."""

    width: int
    n_layers: int
    n_heads: int
    n_shared: int
    hidden: int

    def __post_init__(self):
        if self.width % (2 * self.n_heads) or self.n_heads % self.n_shared:
            raise InputError(
                f"a width of {self.width} has no {self.n_heads} heads of an even size, "
                f"or these no {self.n_shared} equal groups."
            )

    @property
    def size(self) -> int:
        """Of one head."""
        return self.width // self.n_heads


@dataclass(frozen=True)
class CodecConfig:
    """Its width, how wide a frame is while it is coded, and its books."""

    width: int
    coded: int
    n_codebooks: int
    codebook_size: int


@dataclass(frozen=True)
class VoiceConfig:
    """Blocks of convolutions, each `hidden` wide inside."""

    width: int
    n_layers: int
    hidden: int


@dataclass(frozen=True)
class Config:
    """Everything about an omni's shape. n_colours and n_shapes: what the eye can tell in a cell.

    bounds: how sure it must be to answer; they are chosen when it is trained.
    """

    words: tuple[str, ...]
    n_colours: int = 8
    n_shapes: int = 8
    thinker: BlocksConfig = field(default_factory=lambda: BlocksConfig(192, 4, 6, 2, 512))
    ear: BlocksConfig = field(default_factory=lambda: BlocksConfig(144, 4, 4, 4, 384))
    eye: BlocksConfig = field(default_factory=lambda: BlocksConfig(144, 4, 4, 4, 384))
    talker: BlocksConfig = field(default_factory=lambda: BlocksConfig(192, 4, 6, 2, 512))
    codec: CodecConfig = field(default_factory=lambda: CodecConfig(128, 32, 2, 128))
    voice: VoiceConfig = field(default_factory=lambda: VoiceConfig(128, 5, 384))
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def vocabulary(self) -> int:
        return N_SPECIAL + len(self.words)

    @property
    def spec(self) -> Spec:
        """What the runtime must know."""
        return Spec(
            SAMPLE_RATE, MEL_HOP * CODE_FRAME, PICTURE, self.thinker.width, (8 // PATCH) ** 2,
            self.codec.n_codebooks, self.codec.codebook_size, self.thinker.n_layers, self.thinker.n_shared,
            self.thinker.size, self.talker.n_layers, self.talker.n_shared, self.talker.size,
            voice_context(self.voice.n_layers), self.words, self.bounds,
        )  # fmt: skip

    def to_json(self) -> dict:
        return asdict(self) | {"words": list(self.words)}

    @classmethod
    def from_json(cls, content: Mapping) -> "Config":
        """Raises InputError for what is no shape."""
        if not are_words(content.get("words")):
            raise InputError("the config's 'words' should be a list of different words of small letters.")
        counts = {name: integer(content, name) for name in ("n_colours", "n_shapes")}
        parts = {}
        for name, kind in PARTS.items():
            table = content.get(name)
            if not isinstance(table, Mapping):
                raise InputError(f"the config's '{name}' should be a table of numbers, not {shown(table)}.")
            parts[name] = kind(**{one.name: integer(table, one.name) for one in fields(kind)})
        bounds = Bounds.read(content.get("bounds"), content["words"])
        return cls(tuple(content["words"]), **counts, **parts, bounds=bounds)


PARTS = {
    "thinker": BlocksConfig, "ear": BlocksConfig, "eye": BlocksConfig, "talker": BlocksConfig,
    "codec": CodecConfig, "voice": VoiceConfig,
}  # fmt: skip


def voice_context(n_layers: int) -> int:
    """Code frames on either side that a frame of sound depends on: see `codec.Codec` and `voice.Vocoder`."""
    fine = 1 + 3 + 3 + 3 * n_layers + 2  # spectrum frames: last upsampling, codec's end, blocks, overlap
    middle = 1 + 1  # at twice the code rate: upsampling, a convolution
    return -(-(fine + 2 * middle) // CODE_FRAME) + 3
