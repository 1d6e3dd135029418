"""The course's text encoder and language model, trained together on composed music and its words.

Every piece is tokens once, and described anew whenever it is drawn: another manner, other facts left out.
A share of the pieces is drawn without words, so that the model can do without, and guidance has both sides.
"""

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.music.dice import Dice
from helpers.musicgen.codec import Codec
from helpers.musicgen.decoding import delayed
from helpers.musicgen.language_model import LanguageConfig, LanguageModel
from helpers.musicgen.text_encoder import TextConfig, TextEncoder
from helpers.runtime.tokenizer import END, padded
from workshop.musicgen.music.compose import Facts, draw_facts
from workshop.musicgen.music.words import describe
from workshop.musicgen.training.saving import save
from workshop.musicgen.training.tokens import tokens
from workshop.training.loop import take_step

N_TEXTS = 4000  # that the tokenizer is made from
VOCABULARY = 256  # word pieces
BETAS = (0.9, 0.95)
LARGEST_GRADIENT = 1.0
Texts = list[str | None]  # None: without words
LANGUAGE = LanguageConfig(
    width=192, n_heads=4, n_layers=5, feed_forward=768, n_codebooks=4, codebook_size=1024
)
TEXT = TextConfig(
    vocab_size=VOCABULARY, width=96, inner=96, n_heads=4, n_layers=2, feed_forward=256, n_buckets=32,
    max_distance=128, eps=1e-6, projected=192,
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the codec and the budget."""

    pieces: int = 1500
    piece_seconds: float = 14.0
    beginnings: int = 8  # for each such piece, so many more of which only the first seconds are composed
    beginning_seconds: float = 3.0
    check_pieces: int = 32
    batch: int = 6
    frames: int = 400  # ten seconds
    from_the_start: float = 0.5  # share of pieces that are drawn from their first frame
    beginning_batch: int = 20  # beginnings in every other step: only there do words tell much
    without_words: float = 0.2
    rate: float = 2e-3
    decay: float = 0.05
    seed: int = 0


def make_tokenizer() -> bytes:
    """A SentencePiece model of the words that descriptions are made of, as T5's: 0 pads, 1 ends."""
    import sentencepiece

    texts = (
        describe(draw_facts(Dice("musicgen", "words", i)), Dice("musicgen", "words", i))
        for i in range(N_TEXTS)
    )
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts, model_writer=made, vocab_size=VOCABULARY, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    return made.getvalue()


class LanguageTraining:
    """What `workshop.training.loop` runs; `save` writes the whole MusicGen beside the checkpoint."""

    def __init__(self, recipe: Recipe, codec: Codec, cache: Path, bfloat16: bool = False):
        """`cache`: a directory for the tokens. `bfloat16` multiplies matrices in that format."""
        import sentencepiece

        self.recipe, self.codec, self.bfloat16 = recipe, codec, bfloat16
        self.settings = asdict(recipe)
        self.tokenizer = make_tokenizer()
        self.pieces = sentencepiece.SentencePieceProcessor(model_proto=self.tokenizer)
        torch.manual_seed(recipe.seed)
        self.models = nn.ModuleDict({"language": LanguageModel(LANGUAGE), "text": TextEncoder(TEXT)})
        _initialize(self.models)
        thick = [p for p in self.models.parameters() if p.dim() > 1]
        thin = [p for p in self.models.parameters() if p.dim() <= 1]
        groups = [{"params": thick, "weight_decay": recipe.decay}, {"params": thin, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=BETAS)
        known, seconds = recipe.pieces, recipe.piece_seconds
        self.music = tokens(codec, "train", 0, known, seconds, cache)
        more = recipe.beginnings * known
        self.beginnings = tokens(codec, "train", known, more, recipe.beginning_seconds, cache)
        self.held_out = tokens(codec, "valid", 0, recipe.check_pieces, seconds, cache)
        self.delays = tuple(range(LANGUAGE.n_codebooks))

    def state_dict(self) -> dict:
        return {"models": self.models.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.models.load_state_dict(state["models"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, path: Path) -> None:
        longest = round(1.2 * self.recipe.frames)
        language, text = self.models["language"], self.models["text"]
        save(path.parent, self.codec, language, text, self.tokenizer, longest)

    def step(self, step: int, progress: float) -> dict[str, float]:
        rng = np.random.default_rng((self.recipe.seed, step))
        codes, texts = self._draw_beginnings(rng) if step % 2 else self._draw_stretches(rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            losses = self._losses(codes, texts)
        loss = losses.mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.models.parameters(), LARGEST_GRADIENT)
        fall = 0.02 + 0.98 * math.cos(math.pi / 2 * progress) ** 2
        rate = self.recipe.rate * min(1.0, (step + 1) / 100) * fall
        take_step(self.optimizer, rate)
        return {"loss": loss.item(), "first": losses[0].item()}

    def _draw_stretches(self, rng: np.random.Generator) -> tuple[np.ndarray, Texts]:
        codes, facts = [], []
        for i in rng.integers(len(self.music.codes), size=self.recipe.batch):
            room = self.music.codes.shape[2] - self.recipe.frames
            start = 0 if rng.random() < self.recipe.from_the_start else int(rng.integers(room + 1))
            codes.append(self.music.codes[i, :, start : start + self.recipe.frames])
            facts.append(self.music.facts[i])
        return np.stack(codes).astype(np.int64), self._described(facts, rng)

    def _draw_beginnings(self, rng: np.random.Generator) -> tuple[np.ndarray, Texts]:
        picks = rng.integers(len(self.beginnings.codes), size=self.recipe.beginning_batch)
        facts = [self.beginnings.facts[i] for i in picks]
        return self.beginnings.codes[picks].astype(np.int64), self._described(facts, rng)

    def _described(self, facts: list[Facts], rng: np.random.Generator) -> Texts:
        says = rng.random(len(facts)) >= self.recipe.without_words
        return [
            describe(one, Dice(int(rng.integers(2**31)))) if said else None for one, said in zip(facts, says)
        ]

    def _losses(self, codes: np.ndarray, texts: Texts) -> Tensor:
        """NLL in nats of each book's tokens, (K,)."""
        columns = torch.from_numpy(delayed(codes, self.delays, LANGUAGE.codebook_size))
        ids, mask = self._ids(texts)
        condition = self.models["text"](ids, mask)
        says = torch.tensor([text is not None for text in texts])[:, None]
        condition = condition * says[..., None]
        logits = self.models["language"](columns[:, :, :-1], condition, mask)
        target = columns[:, :, 1:]
        nll = F.cross_entropy(
            logits.flatten(0, 2), target.clamp(max=LANGUAGE.codebook_size - 1).flatten(), reduction="none"
        )
        is_token = target < LANGUAGE.codebook_size
        nll = nll.view(target.shape) * is_token
        return nll.sum((0, 2)) / is_token.sum((0, 2))

    def _ids(self, texts: Texts) -> tuple[Tensor, Tensor]:
        ids, mask = padded([[*self.pieces.encode(text or ""), END] for text in texts])
        return torch.from_numpy(ids), torch.from_numpy(mask)

    @torch.no_grad()
    def check(self) -> dict[str, float]:
        """On held-out pieces: NLL in nats, with words and without."""
        codes = self.held_out.codes[:, :, : self.recipe.frames].astype(np.int64)
        facts = self.held_out.facts
        texts = [describe(one, Dice("musicgen", "check", i)) for i, one in enumerate(facts)]
        said, unsaid = [], []
        for i in range(0, len(codes), self.recipe.batch):
            part = slice(i, i + self.recipe.batch)
            said.append(self._losses(codes[part], texts[part]))
            unsaid.append(self._losses(codes[part], [None] * len(texts[part])))
        books, silent = torch.stack(said).mean(0), torch.stack(unsaid).mean(0)
        rows = {f"nll_{k}": value.item() for k, value in enumerate(books)}
        return rows | {"unsaid": silent.mean().item(), "score": books.mean().item()}


def _initialize(models: nn.Module) -> None:
    """Small numbers, so that every layer begins as nearly nothing on top of what comes in."""
    for part in models.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.3)
    nn.init.normal_(models["text"].projection.weight, std=0.1)  # words are to be heard from the beginning
