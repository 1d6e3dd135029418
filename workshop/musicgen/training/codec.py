"""The course's EnCodec: trained on composed music, first to see, then to name, then to sound.

Three stages, by the share of the run that is done: without codebooks; with them; and with adversaries, which
ask of the decoder that what it makes be possible. In the last one only the decoder learns, so that its tokens
are settled and a language model can begin on them. What is kept is a running mean of the weights.
"""

import copy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from helpers.audio.distance import si_sdr
from helpers.musicgen.codec import Codec, CodecConfig
from helpers.support.files import written_whole
from workshop.musicgen.music.compose import FRAME, compose
from workshop.musicgen.music.instruments import SAMPLE_RATE
from workshop.scoring.hearing import log_spectral_distance
from workshop.training.discriminators import Discriminators, persuade, teach
from workshop.training.loop import take_step
from workshop.training.losses import MultiScaleMel
from workshop.training.quantizing import Revival, draw_depths, initialize, quantize
from workshop.training.spectra import LinearSpectra

CONFIG = CodecConfig(
    sample_rate=SAMPLE_RATE, n_filters=16, ratios=(8, 5, 5, 2), n_residual=1, dilation_base=2, compress=2,
    kernel=7, residual_kernel=3, last_kernel=7, n_lstm=1, dimension=64, n_codebooks=4, codebook_size=1024,
    edges="constant",
)  # fmt: skip
BETAS = (0.8, 0.99)
LARGEST_GRADIENT = 10.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the budget."""

    pieces: int = 800
    piece_seconds: float = 10.0
    batch: int = 8  # segments a step
    frames: int = 40  # codec frames a segment: a second
    on_grid: float = 0.85  # share of segments that begin with a frame, as notes do: a note has one phase then
    names_from: float = 0.06  # of the run: when the codebooks begin
    sounds_from: float = 0.6  # and when they are settled, and the adversaries begin
    dropout: float = 0.25  # share of segments that use only some of the codebooks
    rate: float = 1e-3  # learning rate; falls to a tenth, and to nothing at the end
    memory: float = 0.995  # of the running mean of the weights, a step
    linear: float = 20.0  # this and the next: the losses' weights
    convergence: float = 10.0
    mel: float = 15.0
    waveform: float = 10.0
    codebook: float = 5.0
    commitment: float = 2.0
    adversarial: float = 0.6
    features: float = 4.0
    check_clips: int = 10
    seed: int = 0


def gathered(split: str, count: int, seconds: float) -> np.ndarray:
    """(count, N) int16: composed pieces; half the memory of floats."""
    return np.stack([(32767 * compose(split, i, seconds).audio).astype(np.int16) for i in range(count)])


class CodecTraining:
    """What `workshop.training.loop` runs."""

    def __init__(self, recipe: Recipe, config: CodecConfig = CONFIG):
        self.recipe, self.config = recipe, config
        self.settings = asdict(recipe)
        torch.manual_seed(recipe.seed)
        self.codec = Codec(config)
        for part in self.codec.modules():
            if isinstance(part, nn.Conv1d | nn.ConvTranspose1d):
                nn.init.zeros_(part.bias)
        self.mean = copy.deepcopy(self.codec).requires_grad_(False)
        self.adversaries = Discriminators(windows=(1024, 512, 256))
        self.optimizer = torch.optim.AdamW(self.codec.parameters(), betas=BETAS, weight_decay=0.0)
        self.optimizer_adversaries = torch.optim.AdamW(
            self.adversaries.parameters(), betas=BETAS, weight_decay=0.0
        )
        self.revival, self.has_names, self.is_settled = Revival(self.codec.quantizer), False, False
        self.linear, self.mel = LinearSpectra((256, 512, 1024, 2048)), MultiScaleMel(SAMPLE_RATE)
        self.music = gathered("train", recipe.pieces, recipe.piece_seconds)
        self.clips = gathered("valid", recipe.check_clips, 4.0)

    def state_dict(self) -> dict:
        names = ("codec", "mean", "adversaries", "optimizer", "optimizer_adversaries")
        states = {name: getattr(self, name).state_dict() for name in names}
        return states | {
            "uses": self.revival.uses, "has_names": self.has_names, "is_settled": self.is_settled,
        }  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        for name in ("codec", "mean", "adversaries", "optimizer", "optimizer_adversaries"):
            getattr(self, name).load_state_dict(state[name])
        self.revival.uses, self.has_names = state["uses"], state["has_names"]
        self._settle(state["is_settled"])

    def save(self, path: Path) -> None:
        with written_whole(path) as temporary, open(temporary, "wb") as file:
            torch.save(self.mean.state_dict(), file)

    def step(self, step: int, progress: float) -> dict[str, float]:
        recipe, rng = self.recipe, np.random.default_rng((self.recipe.seed, step))
        generator = torch.Generator().manual_seed(step)
        audio = self._draw(rng)
        if progress >= recipe.names_from and not self.has_names:
            self._name(rng, generator)
        if progress >= recipe.sounds_from and not self.is_settled:
            self.codec.load_state_dict(self.mean.state_dict())
            self._settle()
        rate = recipe.rate * min(1.0, (step + 1) / 100, 10 * (1 - progress)) * 0.1**progress
        frames = self.codec.encoder(audio)
        loss = frames.new_zeros(())
        if self.has_names:
            depths = draw_depths(len(audio), self.config.n_codebooks, recipe.dropout, rng)
            quantized = quantize(self.codec.quantizer, frames, depths)
            frames = quantized.frames
            loss = recipe.codebook * quantized.codebook_loss + recipe.commitment * quantized.commitment_loss
        rebuilt = self.codec.decoder(frames)
        apart = self.linear(rebuilt, audio)
        loss = loss + recipe.linear * apart.log.mean() + recipe.convergence * apart.convergence.mean()
        loss = loss + recipe.mel * self.mel(rebuilt, audio).mean()
        loss = loss + recipe.waveform * (rebuilt - audio).abs().mean()
        shown = {"linear": apart.log.mean().item()}
        if progress >= recipe.sounds_from:
            shown["against"] = teach(
                self.adversaries, self.optimizer_adversaries, rate / 2, audio, rebuilt.detach()
            )
            loss = loss + persuade(self.adversaries, audio, rebuilt, recipe.adversarial, recipe.features)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.codec.parameters(), LARGEST_GRADIENT)
        take_step(self.optimizer, rate)
        if self.has_names and not self.is_settled:
            self.revival.note(quantized, generator)
        self._remember(step)
        return shown | {"loss": loss.item()}

    def _draw(self, rng: np.random.Generator, count: int | None = None) -> Tensor:
        n, count = self.recipe.frames * FRAME, count or self.recipe.batch
        which = rng.integers(len(self.music), size=count)
        starts = rng.integers(self.music.shape[1] - n, size=count)
        starts = np.where(rng.random(count) < self.recipe.on_grid, starts // FRAME * FRAME, starts)
        cut = np.stack([self.music[i, start : start + n] for i, start in zip(which, starts)])
        gain = 10 ** (rng.uniform(-6, 3, (count, 1)) / 20)
        return torch.from_numpy((cut / 32767 * gain).clip(-1, 1).astype(np.float32))[:, None]

    @torch.no_grad()
    def _name(self, rng: np.random.Generator, generator: torch.Generator) -> None:
        frames = [self.codec.encoder(self._draw(rng, 32)) for _ in range(12)]
        initialize(self.codec.quantizer, torch.cat(frames).transpose(1, 2).flatten(0, 1), generator)
        self.has_names = True

    def _settle(self, is_settled: bool = True) -> None:
        """From here on the encoder and the codebooks stay as they are."""
        self.is_settled = is_settled
        for part in (self.codec.encoder, self.codec.quantizer):
            part.requires_grad_(not is_settled)

    @torch.no_grad()
    def _remember(self, step: int) -> None:
        memory = min(self.recipe.memory, step / (step + 10))
        for mean, now in zip(self.mean.parameters(), self.codec.parameters()):
            mean.lerp_(now, 1 - memory)
        self.mean.quantizer.load_state_dict(self.codec.quantizer.state_dict())

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Means over the held-out clips; a score only when the tokens are settled."""
        found = []
        for clip in torch.from_numpy(self.clips.astype(np.float32) / 32767)[:, None].split(1):
            rebuilt = (
                self.mean.decode(self.mean.encode(clip))
                if self.has_names
                else self.mean.decoder(self.mean.encoder(clip))
            )
            found.append({
                "mel": self.mel(rebuilt, clip).item(),
                "linear_db": log_spectral_distance(rebuilt[0, 0].numpy(), clip[0, 0].numpy(), SAMPLE_RATE),
                "si_sdr": si_sdr(rebuilt, clip).item(),
            })  # fmt: skip
        means = {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        return means | ({"score": 20 * means["mel"] + means["linear_db"]} if self.is_settled else {})


@torch.no_grad()
def level(codec: Codec, count: int = 16) -> float:
    """Make the decoder as loud as what it hears, by one number on its last layer; returns that number.

    A decoder that invents the phase is asked by any distance of waveforms to be quieter than it should.
    """
    clips = torch.from_numpy(gathered("valid", count, 4.0).astype(np.float32) / 32767)[:, None]
    rebuilt = torch.cat([codec.decode(codec.encode(clip)) for clip in clips.split(1)])
    gain = float((clips.square().mean((1, 2)) / rebuilt.square().mean((1, 2))).sqrt().median())
    codec.decoder.conv_out.weight.mul_(gain)
    codec.decoder.conv_out.bias.mul_(gain)
    return gain
