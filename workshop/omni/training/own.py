"""One's own lines in place of the world's, for the stages that need no labels of cells and no times of words.

What lines have is in `command`. Item i is a line drawn by (seed, i): a run goes on as with the world.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from data.world.scenes import Sign
from helpers import audio
from helpers.omni.configs import PICTURE as SIZE
from helpers.omni.configs import SAMPLE_RATE, Config
from helpers.omni.pictures import load_picture
from helpers.omni.spec import ANSWER, END, PICTURE, QUESTION, are_words
from helpers.support.config import shown
from helpers.support.errors import InputError
from helpers.support.files import parse_json
from workshop.omni.training.ear import EarStage
from workshop.omni.training.eye import EyeStage, digits_loss, digits_of, stacked
from workshop.omni.training.thinker import ThinkerStage, numbered

HELD_OUT = 10  # one line in so many
LARGEST = 256 << 20  # bytes of a manifest
FIELDS = {  # what a line of a stage's manifest has, in one way or another
    "thinker": (("question", "answer"),),
    "ear": (("sound", "text"),),
    "eye": (("picture", "caption"), ("picture", "number")),
}
FILES = ("sound", "picture")
Line = Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """Lines to learn from and lines to be scored by."""

    lines: tuple[Line, ...]
    held_out: tuple[Line, ...]

    def drawn(self, numbers: Sequence[int], seed: int) -> list[Line]:
        """Items by number."""
        return [self.lines[np.random.default_rng((18, seed, i)).integers(len(self.lines))] for i in numbers]

    @property
    def sha256(self) -> str:
        """Of all that is in it: a run goes on with the lines it began with."""
        return hashlib.sha256(json.dumps([*self.lines, *self.held_out]).encode()).hexdigest()

    @property
    def words(self) -> tuple[str, ...]:
        """All that are read or said in it, in alphabetical order."""
        texts = [line[name] for line in (*self.lines, *self.held_out) for name in line if name in TEXTS]
        return tuple(sorted({word for text in texts for word in text.split()}))


TEXTS = ("question", "answer", "scene", "caption")


def read_manifest(path: Path, stage: str) -> Manifest:
    """Read the lines of a stage. Raises InputError that names the line which is none."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is too large for a manifest.")
        rows = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}.") from error
    lines = [
        _line(row, stage, f"line {k} of {path}", path.parent) for k, row in enumerate(rows, 1) if row.strip()
    ]
    held_out = tuple(lines[HELD_OUT - 1 :: HELD_OUT])
    if not held_out:
        raise InputError(f"{path} has {len(lines)} lines; it needs {HELD_OUT}, of which one is held out.")
    return Manifest(tuple(line for k, line in enumerate(lines, 1) if k % HELD_OUT), held_out)


def _line(row: str, stage: str, where: str, folder: Path) -> Line:
    """One line, checked: its words are small letters, its files are there."""
    wanted = " or ".join(" and ".join(f"'{name}'" for name in names) for names in FIELDS[stage])
    try:
        line = parse_json(row)
    except ValueError as error:
        raise InputError(f"{where} is not JSON.") from error
    if not isinstance(line, dict) or not any(all(name in line for name in names) for names in FIELDS[stage]):
        raise InputError(f"{where} lacks {wanted}.")
    for name, value in line.items():
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: '{name}' should be a text, not {shown(value)}.")
    made = dict(line)
    for name in line:
        if name in FILES:
            made[name] = str(folder / line[name])
            if not Path(made[name]).is_file():
                raise InputError(f"{where}: there is no file {made[name]}.")
        elif name == "number" and not (
            len(line[name]) == 3 and line[name].isascii() and line[name].isdigit()
        ):
            raise InputError(f"{where}: a number has three digits, not {shown(line[name])}.")
        elif name != "number":
            made[name] = " ".join(line[name].lower().split())
            if not are_words(sorted(set(made[name].split()))):
                raise InputError(f"{where}: '{name}' should be words of the letters a to z.")
    return made


class OwnThinkerStage(ThinkerStage):
    """Questions and answers."""

    def __init__(self, manifest: Manifest, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.manifest = known(manifest, self.config)
        self.settings["lines"] = manifest.sha256

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        return self._nll(self.manifest.drawn(numbers, self.recipe.seed))

    def _logits(self, items: Sequence[Line]) -> tuple[Tensor, Tensor]:
        return self._answered([self._pair(line) for line in items])

    def _pair(self, line: Line) -> tuple[list[int], list[int]]:
        words = self.config.words
        scene = [PICTURE, *numbered(words, line["scene"])] if "scene" in line else []
        question = [QUESTION, *numbered(words, line["question"]), ANSWER]
        return scene + question, [*numbered(words, line["answer"]), END]

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """The share of held-out answers without a mistake; "score" is the rest."""
        self.model.eval()
        right = float(self._right(self.manifest.held_out).mean())
        return {"all": right, "score": 1 - right}


class OwnEarStage(EarStage):
    """Sounds and what is said in them."""

    def __init__(self, manifest: Manifest, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.manifest = manifest
        self.settings["lines"] = manifest.sha256

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        lines = self.manifest.drawn(numbers, self.recipe.seed)
        return self._ctc([line["text"] for line in lines], [sound_of(line) for line in lines], rng)

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Word errors in held-out lines."""
        self.model.eval()
        lines = self.manifest.held_out
        wer = self._wer([line["text"] for line in lines], [sound_of(line) for line in lines])
        return {"wer": wer, "score": wer}


class OwnEyeStage(EyeStage):
    """Pictures with captions, and pictures with numbers."""

    def __init__(self, manifest: Manifest, *arguments: object, **settings: object):
        super().__init__(*arguments, **settings)
        self.manifest = known(manifest, self.config)
        self.settings["lines"] = manifest.sha256

    def losses(self, numbers: range, rng: np.random.Generator) -> dict[str, Tensor]:
        named, numbered_ = parted(self.manifest.drawn(numbers, self.recipe.seed))
        seen = self.model(stacked([picture_of(line) for line in (*named, *numbered_)]))
        losses = {}
        if named:
            losses["contrast"] = self._contrast(
                seen.summary[: len(named)], [line["caption"] for line in named]
            )
        if numbered_:
            losses["digit"] = digits_loss(seen.digits[len(named) :], [sign_of(line) for line in numbered_])
        return losses

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Of held-out lines: how many pictures find their caption among all, how many numbers are read."""
        self.model.eval()
        named, numbered_ = parted(self.manifest.held_out)
        rows = {}
        if named:
            summary = self._seen([picture_of(line) for line in named]).summary
            said = self._said([line["caption"] for line in named])
            found = (F.normalize(summary, dim=-1) @ said.T).argmax(1)
            rows["captions"] = float(
                np.mean([named[k]["caption"] == line["caption"] for k, line in zip(found, named)])
            )
        if numbered_:
            read = self._seen([picture_of(line) for line in numbered_]).digits.argmax(-1)
            digits = torch.tensor([digits_of(sign_of(line)) for line in numbered_])
            rows["signs"] = (read == digits).all(1).float().mean().item()
        return rows | {"score": 1 - sum(rows.values()) / len(rows)}


OWN = {"thinker": OwnThinkerStage, "ear": OwnEarStage, "eye": OwnEyeStage}


def known(manifest: Manifest, config: Config) -> Manifest:
    """The same. Raises InputError where it has words that the model has not."""
    for word in manifest.words:
        if word not in config.words:
            raise InputError(
                f"the model of that directory has no word {shown(word)}; begin in another directory, with "
                "the stage whose manifest has all words."
            )
    return manifest


def parted(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Those with a caption, and the others, with a number."""
    return [one for one in lines if "caption" in one], [one for one in lines if "caption" not in one]


def picture_of(line: Line) -> np.ndarray:
    return load_picture(line["picture"], SIZE)[0]


def sound_of(line: Line) -> np.ndarray:
    samples, rate = audio.load(line["sound"])
    return audio.resample(audio.mono(samples[None]), rate, SAMPLE_RATE)[0, 0].astype(np.float32)


def sign_of(line: Line) -> Sign:
    return Sign(0, int(line["number"]))
