"""Teaching a trained codec's decoder to sound better: linear spectra, and adversaries, on tokens that stay.

Encoder and codebooks are left as they are, bit by bit, so every token keeps its meaning and the transformers
need no training anew. What is written is a running mean of the weights over the last steps: it is better
than any single step, at any time, so the run may end whenever one likes.
"""

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from helpers import checkpoints
from helpers.audio.distance import COMPARED, LogMel, si_sdr
from helpers.audio.loudness import match_level
from helpers.vampnet.codec import CodecConfig
from workshop.scoring.hearing import buzz_db, log_spectral_distance
from workshop.training.discriminators import Discriminators, persuade, teach
from workshop.training.loop import take_step
from workshop.training.losses import MultiScaleMel
from workshop.training.music import Segments, clips, pieces
from workshop.training.spectra import LinearSpectra
from workshop.vampnet.training.codec import continue_from, trainable_codec, what_makes_tokens
from workshop.vampnet.training.quantizing import draw_depths, quantize
from workshop.vampnet.training.saving import save_codec

BETAS = (0.8, 0.99)
LARGEST_GRADIENT = 10.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the music, the codec begun with and the budget."""

    batch: int = 4  # segments a step
    frames: int = 40  # codec frames a segment: about half a second
    hard: float = 1.5  # how much more often pieces are drawn that are rebuilt worse
    dropout: float = 0.2  # share of segments that use only some of the codebooks, half of those coarse
    n_coarse: int = 4
    rate: float = 3e-4  # learning rate of the decoder, falls to nothing in the last tenth of the run
    rate_adversaries: float = 3e-4
    warm_up: int = 200  # steps in which the adversaries learn alone, before the decoder listens to them
    memory: float = 0.998  # of the running mean of the weights, a step
    linear: float = 20.0  # this and the next five: the losses' weights
    convergence: float = 10.0
    mel: float = 24.0
    waveform: float = 4.0
    adversarial: float = 0.6
    features: float = 4.0
    check_clips: int = 8
    check_seconds: float = 4.0
    seed: int = 0


class DecoderTraining:
    """One decoder and its adversaries: what `workshop.training.loop` runs.

    `music` is a directory with train/ and valid/; `start` is the codec to go on from.
    """

    def __init__(
        self, recipe: Recipe, music: str | Path, start: str | Path, dtype: torch.dtype = torch.float16
    ):
        self.recipe, self.dtype = recipe, dtype
        self.settings = asdict(recipe)
        self.kwargs = checkpoints.read(start).kwargs
        self.config = CodecConfig.from_kwargs(self.kwargs)
        torch.manual_seed(recipe.seed)
        self.codec = trainable_codec(self.config)
        continue_from(self.codec, start)
        self.kept = what_makes_tokens(start)
        self.codec.encoder.requires_grad_(False)
        self.codec.quantizer.requires_grad_(False)
        self.mean = copy.deepcopy(self.codec).requires_grad_(False)
        self.adversaries = Discriminators()
        self.optimizer = torch.optim.AdamW(self.codec.decoder.parameters(), betas=BETAS, weight_decay=0.0)
        self.optimizer_adversaries = torch.optim.AdamW(
            self.adversaries.parameters(), betas=BETAS, weight_decay=0.0
        )
        rate = self.config.sample_rate
        self.linear, self.mel = LinearSpectra(), MultiScaleMel(rate)
        self.log_mel = LogMel(rate, **COMPARED)
        n = recipe.frames * self.config.hop
        self.segments = Segments(pieces(Path(music) / "train", rate), n, recipe.hard)
        n = math.ceil(recipe.check_seconds * rate / self.config.hop) * self.config.hop
        self.clips = clips(pieces(Path(music) / "valid", rate), recipe.check_clips, n)

    def state_dict(self) -> dict:
        names = ("codec", "mean", "adversaries", "optimizer", "optimizer_adversaries")
        states = {name: getattr(self, name).state_dict() for name in names}
        return states | {"losses": torch.from_numpy(self.segments.losses)}

    def load_state_dict(self, state: dict) -> None:
        for name in ("codec", "mean", "adversaries", "optimizer", "optimizer_adversaries"):
            getattr(self, name).load_state_dict(state[name])
        self.segments.losses = state["losses"].numpy()

    def save(self, path: Path) -> None:
        save_codec(path, self.mean, self.kwargs, self.dtype, self.kept)

    def step(self, step: int, progress: float) -> dict[str, float]:
        """One step on segments that follow from the seed and the step's number alone."""
        recipe, rng = self.recipe, np.random.default_rng((self.recipe.seed, step))
        segments, chosen = self.segments.draw(rng, recipe.batch)
        audio = torch.from_numpy(segments)
        depths = draw_depths(recipe.batch, self.config.n_codebooks, recipe.n_coarse, recipe.dropout, rng)
        rebuilt = self._rebuild(self.codec, audio, depths)
        audio = audio[..., : rebuilt.shape[-1]]
        fall = min(1.0, 10 * (1 - progress))
        against = teach(
            self.adversaries,
            self.optimizer_adversaries,
            recipe.rate_adversaries * fall,
            audio,
            rebuilt.detach(),
        )
        if step < recipe.warm_up:
            return {"against": against}
        apart = self.linear(rebuilt, audio)
        self.segments.note(chosen, apart.log.detach().numpy())
        loss = recipe.linear * apart.log.mean() + recipe.convergence * apart.convergence.mean()
        loss = loss + recipe.mel * self.mel(rebuilt, audio).mean()
        is_exact = (depths > recipe.n_coarse).to(audio.dtype)
        off = ((rebuilt - audio).abs().mean((1, 2)) * is_exact).sum() / is_exact.sum().clamp(min=1)
        loss = loss + recipe.waveform * off
        loss = loss + persuade(self.adversaries, audio, rebuilt, recipe.adversarial, recipe.features)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.codec.decoder.parameters(), LARGEST_GRADIENT)
        take_step(self.optimizer, recipe.rate * fall * min(1.0, (step - recipe.warm_up + 1) / 100))
        self._remember()
        return {"loss": loss.item(), "against": against}

    @torch.no_grad()
    def _remember(self) -> None:
        for mean, now in zip(self.mean.decoder.parameters(), self.codec.decoder.parameters()):
            mean.lerp_(now, 1 - self.recipe.memory)

    def _rebuild(self, codec: nn.Module, audio: Tensor, depths: Tensor) -> Tensor:
        with torch.no_grad():
            frames = quantize(codec.quantizer, codec.encoder(audio), depths).frames
        return codec.decoder(frames)

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Means over the held-out clips, all codebooks in use."""
        rate, hop, found = self.config.sample_rate, self.config.hop, []
        depth = torch.full((1,), self.config.n_codebooks)
        for clip in torch.from_numpy(self.clips).split(1):
            rebuilt = self._rebuild(self.mean, clip, depth)
            clip = clip[..., : rebuilt.shape[-1]]
            levelled, _ = match_level(rebuilt.numpy(), clip.numpy(), rate)
            heard, reference = levelled[0, 0], clip[0, 0].numpy()
            found.append({
                "log_mel": self.log_mel(torch.from_numpy(levelled), clip).item(),
                "linear_db": log_spectral_distance(heard, reference, rate),
                "buzz_db": buzz_db(heard, rate, rate / hop),
                "si_sdr": si_sdr(rebuilt, clip).item(),
            })  # fmt: skip
        means = {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        return means | {"score": 20 * means["log_mel"] + means["linear_db"] + 0.2 * means["buzz_db"]}
