"""Training the two transformers: hide tokens, and learn to name them from those that are left.

How many are hidden is drawn as the paper draws it (arXiv 2307.04686, section 3; MaskGIT's cosine
schedule): a moment of the decoding is uniform, and its share of hidden places follows the cosine. So the
model has met every state that the decoding loop will show it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from helpers import checkpoints
from helpers.checkpoints import Checkpoint
from helpers.layers import RelativePositionBias
from helpers.support.errors import InputError
from helpers.vampnet import masks
from helpers.vampnet.transformer import VampNet, VampNetConfig
from helpers.vampnet.weights import transfer_vampnet
from workshop.training import workers
from workshop.vampnet.training.saving import save_vampnet
from workshop.vampnet.training.tokens import Tokens

BETAS = (0.9, 0.98)
LARGEST_GRADIENT = 1.0
CHECK_SHARES = (0.25, 0.5, 0.75)  # shares of hidden places at which the held-out score is taken
FIRST_SLOPES = (2.0, 2.0, 1.0, 0.3)  # of the position bias over log distance, in turn for the heads
FIRST_SIDES = (-1, 1, 0, 0)  # -1: a head that looks back, 1: ahead, 0: both ways
OTHER_SIDE = 4.0  # how much less a head looks to its other side at first
POSITION_RATE = 20.0  # the position bias's learning rate, in multiples of the others'
FIRST_LOGITS = 0.25  # deviation of the classifier's first logits: it starts out undecided


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the tokens and the budget."""

    n_codebooks: int = 4
    n_conditioning_codebooks: int = 0
    embedding_dim: int = 256
    n_layers: int = 6
    n_heads: int = 4
    batch: int = 8  # crops a step
    frames: int = 288  # codec frames a crop
    warm_up: int = 100  # steps from almost no learning rate to the full one
    rate: float = 1e-3  # falls to nothing along half a cosine
    rate_matrices: float = 0.02  # the same for the layers' matrices, which Muon trains
    check_chunks: int = 24
    seed: int = 0

    def kwargs(self, vocab_size: int, latent_dim: int) -> dict:
        """The model's shape, as a checkpoint's metadata names it."""
        names = ("n_codebooks", "n_conditioning_codebooks", "embedding_dim", "n_layers", "n_heads")
        shape = {name: getattr(self, name) for name in names}
        return shape | {"vocab_size": vocab_size, "latent_dim": latent_dim}


COARSE = Recipe()
C2F = Recipe(
    n_codebooks=14,
    n_conditioning_codebooks=4,
    embedding_dim=192,
    n_layers=5,
    batch=12,
    frames=173,
)


def draw_masks(shape: tuple[int, int, int], n_kept: int, rng: np.random.Generator) -> np.ndarray:
    """Masks as decoding meets them, int64 (B, C, T): an item's share of hidden places is cos(pi/2 u).

    u is uniform, 0 to 1. The first `n_kept` books are kept: they are the condition.
    """
    shares = np.cos(0.5 * math.pi * rng.random(shape[0]))
    drawn = np.concatenate([masks.random((1, *shape[1:]), share, rng) for share in shares])
    return masks.codebook_unmask(drawn, n_kept)


def masked_nll(logits: Tensor, codes: Tensor, mask: Tensor) -> Tensor:
    """Mean negative log-likelihood, in nats, of the hidden tokens. (B, P, T, V), twice (B, C, T)."""
    n_predicted = logits.shape[1]
    hidden = mask[:, -n_predicted:].bool()
    return F.cross_entropy(logits[hidden], codes[:, -n_predicted:][hidden])


def with_tables(model: VampNet, tables: list[Tensor]) -> None:
    """Put the codec's codebooks, each (V, latent_dim), under the MASK rows of the model's token table.

    The codec's rows stay as they are; the MASK rows are learned. The projection behind the table starts
    as if every coordinate had mean 0 and deviation 1, whatever the codec made of them.
    """
    rows = model.embedding.table.data.unflatten(0, (len(tables), -1))
    rows[:, :-1] = torch.stack(tables).to(rows)
    mean = rows[:, :-1].mean(1)
    rows[:, -1] = mean
    projection = model.embedding.out_proj
    projection.weight.data /= _deviations(model)
    projection.bias.data = -(projection.weight.data @ mean.flatten())


def _deviations(model: VampNet) -> Tensor:
    """Of each coordinate of the token table, codebook after codebook: (C * latent_dim,).

    A coordinate that hardly changes counts as one that does, or its rounding errors would be blown up.
    """
    rows = model.embedding.table.data.unflatten(0, (model.config.n_codebooks, -1))[:, :-1]
    deviations = rows.std(1)
    return deviations.maximum(0.1 * deviations.amax(1, keepdim=True)).flatten()


class PerDeviation(nn.Module):
    """What is learned is the weight that a coordinate would have if its deviation were 1.

    An optimiser moves every weight by about the same amount. Where the codec's coordinates are ten times
    larger, the same step would turn the output ten times as far: such training diverges before it learns.
    """

    def __init__(self, deviations: Tensor):
        super().__init__()
        self.register_buffer("deviations", deviations)

    def forward(self, weight: Tensor) -> Tensor:
        return weight / self.deviations

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The learned weight for a given one of the layer."""
        return weight * self.deviations


def with_first_guess(model: VampNet, tables: list[Tensor], counts: np.ndarray) -> None:
    """Start the classifier from what is known before training: each code's frequency, and which are alike.

    counts: (C, V), how often each code occurs. The biases are the logarithms of the frequencies. A code's
    weights are its row of the codec's table, turned into the model's width by orthonormal directions, a
    few for each codebook: what is learned about one code holds at once for those that sound like it.
    """
    n_predicted, width = model.config.n_predicted, model.config.embedding_dim
    rows = torch.stack(tables[-n_predicted:]).to(model.classifier.weight)
    rows = rows - rows.mean(1, keepdim=True)
    rows = rows / rows.norm(dim=2).square().mean(1).sqrt()[:, None, None]
    directions = torch.empty(n_predicted * rows.shape[2], width)
    nn.init.orthogonal_(directions)
    weights = rows @ directions.to(rows).unflatten(0, (n_predicted, -1))  # (P, V, width)
    frequencies = torch.from_numpy(counts[-n_predicted:] + 1.0).to(rows)
    frequencies = frequencies / frequencies.sum(1, keepdim=True)
    model.classifier.weight.data = FIRST_LOGITS * weights.transpose(0, 1).flatten(0, 1).contiguous()
    model.classifier.bias.data = frequencies.log().T.flatten().contiguous()


def with_near_frames_first(bias: RelativePositionBias) -> None:
    """Let each head look at near frames first, some back, some ahead, some wide.

    From zeros, attention begins as the mean of hundreds of frames, and a bias that Adam moves by a
    thousandth a step needs thousands of steps to find the neighbours, which tell most about a hidden token.
    (A slope a head, as in ALiBi, Press et al. 2022; here only the beginning.)
    """
    distances = torch.tensor([1, *bias.edges], dtype=torch.float32).log()  # itself counts like a neighbour
    for head in range(bias.weight.shape[1]):
        slope, side = (choices[head % len(choices)] for choices in (FIRST_SLOPES, FIRST_SIDES))
        back, ahead = (OTHER_SIDE * (side == other) for other in (1, -1))
        bias.weight.data[:, head] = torch.cat([-slope * distances - back, -slope * distances - ahead])


def trainable_vampnet(config: VampNetConfig, tables: list[Tensor], counts: np.ndarray) -> VampNet:
    """A new transformer over a codec's tables, for music in which each code occurs `counts` (C, V) times."""
    model = VampNet(config)
    with_near_frames_first(model.position_bias)
    with_tables(model, tables)
    with_first_guess(model, tables, counts[: config.n_codebooks])
    learned = torch.zeros(model.embedding.rows, 1)
    learned[-1] = 1
    learned = learned.repeat(config.n_codebooks, 1)
    model.embedding.table.register_hook(lambda gradient: gradient * learned.to(gradient))
    return model


def continue_from(model: VampNet, start: str | Path, codec: Checkpoint) -> None:
    """Set the weights to those of a checkpoint of the same shape, over this codec's tables."""
    known, _ = transfer_vampnet(checkpoints.read(start), codec)
    if known.config != model.config:
        raise InputError(f"{start} has another shape than the recipe: {known.config}.")
    model.load_state_dict(known.state_dict())


class TransformerTraining:
    """One transformer, its optimisers and its tokens: what `workshop.training.loop` runs."""

    def __init__(
        self,
        recipe: Recipe,
        codec_path: str | Path,
        train: Tokens,
        valid: Tokens,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        bfloat16: bool = False,
        compiled: bool = False,
        start: str | Path | None = None,
    ):
        """Train over the codec at `codec_path`, from new weights or from those of the checkpoint `start`.

        `dtype` is how checkpoints store the weights; `bfloat16` multiplies matrices in that format;
        `compiled` lets PyTorch fuse the steps between them, for which it needs a C++ compiler.
        """
        codec = checkpoints.read(codec_path)
        tables = [
            codec.tensors[f"quantizer.quantizers.{i}.codebook.weight"].float()
            for i in range(recipe.n_codebooks)
        ]
        self.kwargs = recipe.kwargs(*tables[0].shape)
        torch.manual_seed(recipe.seed)
        model = trainable_vampnet(VampNetConfig.from_kwargs(self.kwargs), tables, train.counts())
        if start is not None:
            continue_from(model, start, codec)
        parametrize.register_parametrization(
            model.embedding.out_proj, "weight", PerDeviation(_deviations(model))
        )
        self._prepare(recipe, model, train, valid, device, dtype, bfloat16)
        if compiled:
            self.forward = torch.compile(self.model)
        self.settings |= {"codec": codec.sha256()}
        self.optimizers = optimizers(self.model, recipe)

    def _prepare(
        self,
        recipe: Recipe,
        model: VampNet,
        train: Tokens,
        valid: Tokens,
        device: str,
        dtype: torch.dtype,
        bfloat16: bool,
    ) -> None:
        self.recipe, self.model, self.device, self.dtype = recipe, model.to(device), device, dtype
        self.forward, self.bfloat16 = self.model, bfloat16
        self.settings, self.music, self.held_out = asdict(recipe), train, self._held_out(valid)

    def state_dict(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)

    def save(self, path: Path) -> None:
        save_vampnet(path, self.model, self.kwargs, self.dtype)

    def step(self, step: int, progress: float) -> dict[str, float]:
        """One step on crops and masks that follow from the seed and the step's number alone."""
        recipe, rng = self.recipe, np.random.default_rng((self.recipe.seed, step))
        share = min(1.0, (step + 1) / recipe.warm_up) * 0.5 * (1 + math.cos(math.pi * progress))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = share * group["full_rate"]
        codes = self.music.crops(rng, recipe.batch, recipe.frames)[:, : recipe.n_codebooks]
        mask = draw_masks(codes.shape, recipe.n_conditioning_codebooks, rng)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            loss = self._nll(self.forward, workers.part(codes), workers.part(mask))
        self.model.zero_grad()
        loss.backward()
        workers.average_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        for optimizer in self.optimizers:
            optimizer.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """Masked NLL of the held-out chunks at each share; the score is their mean."""
        scores = {}
        for share, (codes, mask) in self.held_out.items():
            parts = zip(np.array_split(codes, 4), np.array_split(mask, 4))
            found = [self._nll(self.model, *part) for part in parts]
            scores[f"nll_{round(100 * share)}"] = torch.stack(found).mean().item()
        return scores | {"score": float(np.mean(list(scores.values())))}

    def _held_out(self, valid: Tokens) -> dict[float, tuple[np.ndarray, np.ndarray]]:
        recipe, rng = self.recipe, np.random.default_rng(0)
        chunks = valid.chunks(recipe.frames)[:, : recipe.n_codebooks]
        chunks = chunks[np.linspace(0, len(chunks) - 1, min(recipe.check_chunks, len(chunks))).astype(int)]
        return {
            share: (
                chunks,
                masks.codebook_unmask(
                    masks.random(chunks.shape, share, rng), recipe.n_conditioning_codebooks
                ),
            )
            for share in CHECK_SHARES
        }

    def _nll(self, forward: Callable[[Tensor], Tensor], codes: np.ndarray, mask: np.ndarray) -> Tensor:
        codes, mask = torch.from_numpy(codes).to(self.device), torch.from_numpy(mask).to(self.device)
        hidden = torch.where(mask.bool(), self.model.config.vocab_size, codes)
        return masked_nll(forward(hidden), codes, mask)


def optimizers(model: VampNet, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, Adam for the rest: vectors, tables, the first and last projection.

    Muon (Jordan et al. 2024) takes a step of the same length in every direction that a matrix can turn.
    """
    matrices = [p for p in model.layers.parameters() if p.dim() == 2]
    known = {id(p) for p in [*matrices, model.position_bias.weight]}
    others = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": others, "full_rate": recipe.rate},
        {"params": [model.position_bias.weight], "full_rate": POSITION_RATE * recipe.rate},
    ]
    return [
        torch.optim.Muon([{"params": matrices, "full_rate": recipe.rate_matrices}], weight_decay=0.01),
        torch.optim.Adam(groups, betas=BETAS),
    ]
