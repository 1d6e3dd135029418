"""Training the codec: first as a plain autoencoder, then through the quantizer.

Trained with the quantizer from the first step on, encoder and codebooks chase each other and most codes
die. So the encoder learns first what to say; then the codebooks are laid out where its frames already
are; then all of it learns together, with a small step.

The coarse codebooks shall say what is played, and only the fine ones where exactly each wave begins: a
phase is different in every frame, and tokens that spell it out look like noise to a model that has to
guess them. So the first channels of the encoder's frames learn nothing but a slow picture of the spectrum
(`workshop.training.spectrum`), and the coarse codebooks listen to them alone. A share of each batch is
rebuilt from the coarse part; it is asked to sound like the original, but not to follow its waveform.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from helpers import checkpoints
from helpers.audio.distance import COMPARED, LogMel, si_sdr, snr
from helpers.audio.loudness import match_level
from helpers.support.errors import InputError
from helpers.vampnet.codec import Codec, CodecConfig, ResidualLayer
from helpers.vampnet.weights import transfer_codec
from workshop.training import losses, workers
from workshop.training.music import Segments, clips, pieces
from workshop.training.spectrum import SlowSpectrum
from workshop.vampnet.training.quantizing import (
    Quantized,
    Revival,
    coarse_held,
    draw_depths,
    hold_coarse_projections,
    initialize,
    quantize,
)
from workshop.vampnet.training.saving import save_codec

Module = Callable[[Tensor], Tensor]
REVIVE_EVERY = 20  # steps
BETAS = (0.8, 0.99)
LARGEST_GRADIENT = 1.0  # of all parameters together; a rare loud segment must not throw the weights about


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the music and the budget."""

    sample_rate: int = 44100
    encoder_dim: int = 16
    encoder_rates: tuple[int, ...] = (8, 4, 4, 6)
    decoder_dim: int = 256
    decoder_rates: tuple[int, ...] = (6, 4, 4, 8)
    n_codebooks: int = 14
    codebook_size: int = 1024
    codebook_dim: int = 8
    batch: int = 6  # segments a step
    frames: int = 26  # codec frames a segment
    hard: float = 1.5  # how much more often pieces are drawn that are rebuilt worse
    n_coarse: int = 4  # codebooks that need not follow the waveform; before there are codebooks,
    coarse_channels: int = 28  # the first channels of the encoder's frames; each book hears its share
    plain: float = 0.45  # share of the run without the quantizer
    warm_up: int = 100  # steps from almost no learning rate to the full one
    rate: float = 1e-3  # learning rate of the plain stage, falls to rate_plain_end
    rate_plain_end: float = 5e-4
    rate_quantized: float = 2.5e-4  # falls to nothing along half a cosine
    kernels: float = 20.0  # the learning rate of the convolutions' kernels, in multiples of `rate`
    codebooks: float = 10.0  # that of the codebooks' rows, which have to keep up with the encoder
    waveform: float = 15.0  # this and the next four: the losses' weights
    mel: float = 6.0
    spectrum: float = 25.0  # of the coarse channels alone
    codebook: float = 1.0
    commitment: float = 0.25
    dropout: float = 0.6  # share of segments that use only some of the codebooks, half of those coarse
    layout_frames: int = 60_000  # frames from which the codebooks are laid out
    fit_segments: int = 1500  # from which the components of the spectrum are found
    encoder_only: bool = False  # teach a trained encoder its coarse channels, keep what the others say
    decoder_only: bool = False  # leave encoder and codebooks as they are: tokens keep their meaning
    check_clips: int = 8
    check_seconds: float = 3.0
    seed: int = 0

    @property
    def kwargs(self) -> dict:
        """The codec's shape, as a checkpoint's metadata names it."""
        names = (
            "sample_rate", "encoder_dim", "encoder_rates", "decoder_dim", "decoder_rates", "n_codebooks",
            "codebook_size", "codebook_dim",
        )  # fmt: skip
        values = ((name, getattr(self, name)) for name in names)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}


def trainable_codec(config: CodecConfig) -> Codec:
    """A new codec whose convolutions carry weight norm, with gains that let a signal through.

    Every output of a convolution starts with a weight vector of length 1, so that its level is about
    that of its input: PyTorch's usual small weights would leave hardly anything after fifty layers.
    Residual branches start at half of that.
    """
    codec = Codec(config)
    for module in codec.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.zeros_(module.bias)
            weight_norm(module)
            module.parametrizations.weight.original0.data.fill_(1.0)
    for module in codec.modules():
        if isinstance(module, ResidualLayer):
            module.conv_2.parametrizations.weight.original0.data.fill_(0.5)
    for book in codec.quantizer.quantizers:
        nn.init.normal_(book.codebook)
    return codec


def continue_from(codec: Codec, start: str | Path) -> None:
    """Set the weights of a trainable codec to those of a checkpoint of the same shape."""
    known, _ = transfer_codec(checkpoints.read(start))
    if known.config != codec.config:
        raise InputError(f"{start} has another shape than the recipe: {known.config}.")
    values = dict(known.named_parameters())
    for name, module in codec.named_modules():
        if is_parametrized(module):
            module.weight = values.pop(f"{name}.weight").detach()  # weight norm takes it apart again
    codec.load_state_dict(values, strict=False)


def what_makes_tokens(start: str | Path | None) -> dict[str, Tensor]:
    """The tensors of a checkpoint's encoder and codebooks: unchanged, they give the same tokens."""
    if start is None:
        raise InputError("there is no codec whose decoder alone could be trained; name one to begin with.")
    tensors = checkpoints.read(start).tensors
    return {name: tensor.clone() for name, tensor in tensors.items() if not name.startswith("decoder.")}


class Optimizer:
    """Muon for the kernels of encoder and decoder, Adam for all else: gains, biases, Snakes, the quantizer.

    Muon (Jordan et al. 2024) takes a step of the same length in every direction that a matrix can turn,
    so that a few loud directions don't hold the others back. PyTorch's works on matrices: each kernel
    (out, in, taps) is seen as (out, in * taps), in the same memory.
    """

    def __init__(self, codec: Codec, kernels: float, codebooks: float):
        """`kernels` and `codebooks`: their learning rates, in multiples of that of all else."""
        parts = (codec.encoder, codec.decoder)
        named = [pair for part in parts for pair in part.named_parameters()]
        inner = [p for name, p in named if name.endswith("original1") and p.requires_grad]
        rows = [book.codebook for book in codec.quantizer.quantizers if book.codebook.requires_grad]
        known = {id(p) for p in inner + rows}
        others = [p for p in codec.parameters() if id(p) not in known and p.requires_grad]
        self.flat = [(kernel, nn.Parameter(kernel.data.flatten(1))) for kernel in inner]
        matrices = [matrix for _, matrix in self.flat]
        self.muon = torch.optim.Muon([{"params": matrices, "factor": kernels}], weight_decay=0.0)
        groups = [{"params": others, "factor": 1.0}, {"params": rows, "factor": codebooks}]
        self.adam = torch.optim.Adam([group for group in groups if group["params"]], betas=BETAS)

    def step(self, rate: float) -> None:
        """One step at this learning rate, from the gradients that are there."""
        for kernel, matrix in self.flat:
            matrix.grad = kernel.grad.flatten(1)
        for optimizer in (self.muon, self.adam):
            for group in optimizer.param_groups:
                group["lr"] = group["factor"] * rate
            optimizer.step()

    def state_dict(self) -> dict:
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


class CodecTraining:
    """One codec, its optimiser, its music: what `workshop.training.loop` runs.

    `music` is a directory with train/ and valid/; `dtype` is how checkpoints store the weights. `compiled`
    lets PyTorch fuse the steps between convolutions: half again as fast, but it needs a C++ compiler.
    `start` is a codec to go on from: its weights, and, if the recipe has no plain stage, its codebooks.
    """

    def __init__(
        self,
        recipe: Recipe,
        music: str | Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
        start: str | Path | None = None,
    ):
        self.recipe, self.device, self.dtype = recipe, device, dtype
        self.settings = _plain(asdict(recipe))
        self.config = CodecConfig.from_kwargs(recipe.kwargs)
        torch.manual_seed(recipe.seed)
        self.codec = trainable_codec(self.config).to(device)
        if start is not None:
            continue_from(self.codec, start)
        self.kept = {}
        if recipe.decoder_only:
            self.kept = what_makes_tokens(start)
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.requires_grad_(False)
        if recipe.encoder_only:
            if start is None:
                raise InputError("only a trained codec's encoder learns alone; name one to begin with.")
            self.before = copy.deepcopy(self.codec.encoder).requires_grad_(False)
            self.codec.decoder.requires_grad_(False)
            self.codec.quantizer.requires_grad_(False)
        hold_coarse_projections(self.codec.quantizer, recipe.n_coarse)
        self.encoder, self.decoder = self.codec.encoder, self.codec.decoder
        if compiled:
            self.encoder, self.decoder = torch.compile(self.encoder), torch.compile(self.decoder)
        self.optimizer = Optimizer(self.codec, recipe.kernels, recipe.codebooks)
        self.revival = Revival(self.codec.quantizer)
        self.mel = losses.MultiScaleMel(recipe.sample_rate).to(device)
        self.log_mel = LogMel(recipe.sample_rate, **COMPARED).to(device)
        n = recipe.frames * self.config.hop
        self.segments = Segments(pieces(Path(music) / "train", recipe.sample_rate), n, recipe.hard)
        held_out = pieces(Path(music) / "valid", recipe.sample_rate)
        n = math.ceil(recipe.check_seconds * recipe.sample_rate / self.config.hop) * self.config.hop
        self.clips = clips(held_out, recipe.check_clips, n)
        self.is_quantized = start is not None and recipe.plain == 0
        self.spectrum = SlowSpectrum(recipe.sample_rate, self.config.hop, recipe.coarse_channels).to(device)
        segments, _ = self.segments.draw(np.random.default_rng(recipe.seed), recipe.fit_segments)
        self.spectrum.fit(torch.from_numpy(segments).to(device))

    def state_dict(self) -> dict:
        return {
            "codec": self.codec.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "is_quantized": self.is_quantized,
            "uses": self.revival.uses,
            "losses": torch.from_numpy(self.segments.losses),
        }

    def load_state_dict(self, state: dict) -> None:
        self.codec.load_state_dict(state["codec"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.is_quantized = state["is_quantized"]
        self.revival.uses.copy_(state["uses"])
        self.segments.losses = state["losses"].numpy()

    def save(self, path: Path) -> None:
        save_codec(path, self.codec, self.recipe.kwargs, self.dtype, self.kept)

    def step(self, step: int, progress: float) -> dict[str, float]:
        """One step on segments that follow from the seed and the step's number alone."""
        recipe, rng = self.recipe, np.random.default_rng((self.recipe.seed, step))
        if progress >= recipe.plain and not self.is_quantized:
            self.start_quantizing()
        if self.is_quantized:
            progress = max(progress, recipe.plain)  # a run that was given more time doesn't go back
        segments, chosen = self.segments.draw(rng, recipe.batch)
        audio = torch.from_numpy(workers.part(segments)).to(self.device)
        frames = self.encoder(audio)
        loss = recipe.spectrum * self.spectrum.missed(frames[:, : recipe.coarse_channels], audio)
        if recipe.encoder_only:
            loss = loss + self._forgotten(frames, audio)
        else:
            loss = loss + self._loss_of_decoder(frames, audio, chosen, rng, step)
        self.codec.zero_grad()
        loss.backward()
        workers.average_gradients(self.codec.parameters())
        nn.utils.clip_grad_norm_(self.codec.parameters(), LARGEST_GRADIENT)
        self.optimizer.step(learning_rate(recipe, step, progress))
        return {"loss": loss.item()}

    def _forgotten(self, frames: Tensor, audio: Tensor) -> Tensor:
        """How far the other channels are from what they said before, as a share of that."""
        with torch.no_grad():
            before = self.before(audio)[:, self.recipe.coarse_channels :]
        return (frames[:, self.recipe.coarse_channels :] - before).square().mean() / before.var()

    def _loss_of_decoder(
        self, frames: Tensor, audio: Tensor, chosen: np.ndarray, rng: np.random.Generator, step: int
    ) -> Tensor:
        """How what is rebuilt from frames (B, width, T) sounds; the codebooks' losses. Notes it by piece."""
        recipe = self.recipe
        depths = draw_depths(recipe.batch, recipe.n_codebooks, recipe.n_coarse, recipe.dropout, rng)
        depths = workers.part(depths).to(self.device)
        rebuilt, quantized = self._rebuild(frames, depths, self.decoder)
        audio = audio[..., : rebuilt.shape[-1]]
        is_exact = (depths > recipe.n_coarse).to(audio.dtype)
        off = ((rebuilt - audio).abs().mean((1, 2)) * is_exact).sum() / is_exact.sum().clamp(min=1)
        apart = self.mel(rebuilt, audio)
        loss = recipe.waveform * off + recipe.mel * apart.mean()
        self.segments.note(chosen, workers.whole(apart.detach(), recipe.batch).cpu().numpy())
        if quantized is not None:
            loss = loss + recipe.codebook * quantized.codebook_loss
            loss = loss + recipe.commitment * quantized.commitment_loss
            if not recipe.decoder_only:
                self._revive(step, quantized)
        return loss

    def _revive(self, step: int, quantized: Quantized) -> None:
        self.revival.note(quantized)
        if step % REVIVE_EVERY == 0:
            self.revival.move(quantized, torch.Generator().manual_seed(step))
            workers.share_weights(self.codec.quantizer)

    @torch.no_grad()
    def start_quantizing(self) -> None:
        """Lay the codebooks out over what the encoder says now, and forget the optimiser's momentum."""
        recipe, rng = self.recipe, np.random.default_rng((self.recipe.seed, 1 << 40))
        found, count = [], 0
        while count < recipe.layout_frames:
            frames = self.encoder(torch.from_numpy(self.segments.draw(rng, recipe.batch)[0]).to(self.device))
            found.append(frames.transpose(1, 2).flatten(0, 1))
            count += len(found[-1])
        generator = torch.Generator().manual_seed(recipe.seed)
        initialize(self.codec.quantizer, torch.cat(found), generator, recipe.n_coarse, recipe.coarse_channels)
        workers.share_weights(self.codec)
        self.optimizer = Optimizer(self.codec, recipe.kernels, recipe.codebooks)
        self.is_quantized = True

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Means over the held-out clips, all codebooks in use. A codec without its quantizer has no score."""
        sums, codes = {}, []
        depth = torch.full((1,), self.recipe.n_codebooks, device=self.device)
        for clip in torch.from_numpy(self.clips).to(self.device).split(1):
            frames = self.codec.encoder(clip)
            scores = {"spectrum": self.spectrum.missed(frames[:, : self.recipe.coarse_channels], clip)}
            if self.recipe.encoder_only:
                scores["forgotten"] = self._forgotten(frames, clip)
            else:
                rebuilt, quantized = self._rebuild(frames, depth, self.codec.decoder)
                scores |= self._scores(rebuilt, clip[..., : rebuilt.shape[-1]])
                if quantized is not None:
                    codes.append(quantized.codes[0])
            for name, value in scores.items():
                sums[name] = sums.get(name, 0.0) + value.item() / len(self.clips)
        if self.recipe.encoder_only:
            return sums | {"score": self.recipe.spectrum * sums["spectrum"] + sums["forgotten"]}
        if not self.is_quantized:
            return sums
        in_use = [len(book.unique()) for book in torch.cat(codes, dim=1)]
        score = self.recipe.waveform * sums["waveform"] + self.recipe.mel * sums["mel"]
        return sums | {"score": score, "fewest_codes": min(in_use), "mean_codes": float(np.mean(in_use))}

    def _scores(self, rebuilt: Tensor, audio: Tensor) -> dict[str, Tensor]:
        levelled, _ = match_level(rebuilt.cpu().numpy(), audio.cpu().numpy(), self.recipe.sample_rate)
        return {
            "waveform": (rebuilt - audio).abs().mean(),
            "mel": self.mel(rebuilt, audio),
            "snr": snr(rebuilt, audio),
            "si_sdr": si_sdr(rebuilt, audio),
            "log_mel": self.log_mel(torch.from_numpy(levelled).to(self.device), audio),
        }

    def _rebuild(self, frames: Tensor, depths: Tensor, decoder: Module) -> tuple[Tensor, Quantized | None]:
        recipe = self.recipe
        if self.is_quantized:
            quantizer = self.codec.quantizer
            quantized = quantize(quantizer, coarse_held(frames, recipe.coarse_channels), depths)
            return decoder(quantized.frames), quantized
        is_coarse = (depths <= recipe.n_coarse)[:, None, None]
        coarse = torch.zeros_like(frames)
        coarse[:, : recipe.coarse_channels] = frames[:, : recipe.coarse_channels]
        return decoder(torch.where(is_coarse, coarse, coarse_held(frames, recipe.coarse_channels))), None


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Warm-up, then a straight fall while the codec is plain; half a cosine to nothing after that."""
    if progress < recipe.plain:
        fallen = recipe.rate + (recipe.rate_plain_end - recipe.rate) * progress / recipe.plain
        return fallen * min(1.0, (step + 1) / recipe.warm_up)
    share = (progress - recipe.plain) / (1 - recipe.plain)
    return recipe.rate_quantized * 0.5 * (1 + math.cos(math.pi * share))


def _plain(settings: dict) -> dict:
    """Tuples as lists, so that settings compare equal after a state file."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
