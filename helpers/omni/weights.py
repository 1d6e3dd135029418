"""An omni's weights, out of its files into its modules and back."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from helpers.checkpoints import read_safetensors
from helpers.layers.spectrogram import InverseSTFT, LogMel
from helpers.omni.codec import Codec
from helpers.omni.configs import PARTS, Config
from helpers.omni.ear import Ear, front
from helpers.omni.eye import Eye
from helpers.omni.files import CONFIG, MODEL_TYPE, part_file, read_config
from helpers.omni.talker import Talker
from helpers.omni.thinker import Thinker
from helpers.omni.voice import Vocoder, back
from helpers.support.files import sha256, write_json, written_whole
from helpers.transfer import Transfer, TransferReport, built, check_depth

MODULES: dict[str, type[nn.Module]] = {
    "thinker": Thinker, "ear": Ear, "eye": Eye, "talker": Talker, "codec": Codec, "voice": Vocoder,
}  # fmt: skip
EXACT = ("codec",)  # stays in float32: each book codes what those before left over


@dataclass(frozen=True)
class Models:
    """The six models, what is computed, how the weights got there, and from which files."""

    config: Config
    thinker: Thinker
    ear: Ear
    eye: Eye
    talker: Talker
    codec: Codec
    voice: Vocoder
    reports: dict[str, TransferReport] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    front: LogMel = field(default_factory=front)
    back: InverseSTFT = field(default_factory=back)

    def sha256(self) -> dict[str, str]:
        """Of every file that numbers came from."""
        return {name: sha256(path) for name, path in self.files.items()}


def load_models(directory: str | os.PathLike) -> Models:
    """Read, build and fill all six. Raises InputError that names the file and the tensor."""
    directory = Path(directory)
    config = read_config(directory)
    moved = {part: load_part(directory, part, config) for part in PARTS}
    files = [directory / CONFIG, *(part_file(directory, part) for part in PARTS)]
    return Models(
        config,
        **{part: module for part, (module, _) in moved.items()},
        reports={part: report for part, (_, report) in moved.items()},
        files={path.name: path for path in files},
    )


def load_part(directory: Path, part: str, config: Config) -> tuple[nn.Module, TransferReport]:
    """One of the six, and where its tensors went. Raises InputError."""
    path = part_file(directory, part)
    tensors = read_safetensors([path])
    check_depth(directory / CONFIG, getattr(getattr(config, part), "n_layers", 1), tensors)
    module = built(directory / CONFIG, MODULES[part], config)
    move = Transfer(str(path), module, tensors)
    for name in module.state_dict():
        move.copy(name, name)
    return module, move.finish()


def fresh(config: Config, seed: int = 0) -> Models:
    """Models with random weights."""
    return Models(config, **{part: fresh_part(part, config, seed) for part in PARTS})


def fresh_part(part: str, config: Config, seed: int = 0) -> nn.Module:
    """One of the six with random weights, the same for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODULES[part](config).eval()


def save(directory: str | os.PathLike, models: Models, half: bool = True) -> Path:
    """Write a whole checkpoint, its weights in half precision unless told otherwise."""
    directory = Path(directory)
    for part in PARTS:
        save_part(directory, part, getattr(models, part), models.config, half)
    return directory


def save_part(directory: Path, part: str, module: nn.Module, config: Config, half: bool = True) -> Path:
    """Write one part's file, and `config.json` beside it; returns the file."""
    from safetensors.torch import save_file

    rounded = torch.float16 if half and part not in EXACT else torch.float32
    stored = {name: value.detach().to(rounded).contiguous() for name, value in module.state_dict().items()}
    path = part_file(directory, part)
    with written_whole(path) as temporary:
        save_file(stored, temporary)
    save_config(directory, config)
    return path


def save_config(directory: Path, config: Config) -> None:
    """Write `config.json`."""
    write_json(directory / CONFIG, {"model_type": MODEL_TYPE, **config.to_json()})
