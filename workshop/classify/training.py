"""Training of one classifier: what `workshop.training.loop` runs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.classify import own
from helpers.classify.configs import Config
from helpers.classify.families import FAMILIES, HEADS, family
from helpers.classify.model import Classifier
from helpers.classify.weights import load_models
from helpers.support.errors import InputError
from workshop.classify.augmentation import Strengths, augmented
from workshop.classify.features import Clips, Task, clips
from workshop.classify.losses import label_loss, taught_loss
from workshop.classify.weather import Weather
from workshop.training.loop import take_step

AUGMENT = ("fresh", "once", "none")
LARGEST_GRADIENT = 5.0
WINDOW = 2.0  # seconds, of clips to which a public model is fitted
LAST_RATE = 0.01  # of the highest
MOST_STEPS = 1 << 32  # no two seeds share a draw
SCORED = 100  # clips at once
FASTER = torch.channels_last  # by a quarter, on one core


def setting(default: object, says: str, **more: object):
    """A field of a recipe and what the command line says of it."""
    return field(default=default, metadata={"help": says, **more})


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, beside the data."""

    model: str = setting("student", "which family", choices=tuple(FAMILIES))
    head: str = setting("softmax", "what the last layer is", choices=tuple(HEADS))
    epochs: int = setting(40, "how often each clip is seen, at most", least=1)
    batch: int = setting(64, "clips a step", least=2)
    rate: float = setting(4e-3, "the highest learning rate", least=1e-7)
    warm_up: float = setting(0.1, "share of the run in which the rate rises", least=0)
    decay: float = setting(0.02, "of the weights")
    augment: str = setting(
        "fresh", "each clip otherwise every time; always in one other take; or as it is", choices=AUGMENT
    )
    margin: float = setting(0.2, "radians, of an arcface head")
    per_class: int = setting(0, "clips of each class to learn from, 0 for all")
    patience: int = setting(0, "checks without a better score after which it ends, 0 for never")
    start: str = setting("", "a classifier to go on from: PANNs' file, or a directory of the course's")
    teacher: str = setting("", "a directory with a trained classifier to learn from")
    alpha: float = setting(0.7, "share of the teacher in the loss")
    temperature: float = setting(3.0, "by which logits are divided before they are compared", least=0.1)
    takes: int = setting(1, "views of each clip in a step; more is a control for what is taught", least=1)
    bfloat16: bool = setting(False, "faster for wide convolutions where the processor has bfloat16")
    seed: int = setting(0, "of weights, order and augmentation", least=0)

    def check(self) -> None:
        """Raise InputError for settings that do not go together."""
        if self.head not in HEADS or self.model not in FAMILIES or self.augment not in AUGMENT:
            family(self.model, 2, self.head)
            raise InputError(f"augment is one of {', '.join(AUGMENT)}, not '{self.augment}'.")
        if self.teacher and not 0 <= self.alpha <= 1:
            raise InputError("alpha is the teacher's share: from 0 to 1.")


class ClassifierTraining:
    """What `workshop.training.loop` runs; `save` writes a directory of the course's own format."""

    def __init__(self, recipe: Recipe, task: Task, cache: Path | None = None):
        """cache: a directory for the clips' pictures. Raises InputError."""
        recipe.check()
        self.recipe, self.task = recipe, task
        self.settings = asdict(recipe) | {"labels": list(task.labels)}
        self.classifier = begun(recipe, task.labels)
        config = self.classifier.config
        self.frames_a_second = config.front.sample_rate / config.front.hop
        ear, rate, seconds = self.classifier.front, config.front.sample_rate, config.window_seconds
        self.known = fewer(clips(task, "train", ear, rate, seconds, cache), recipe.per_class)
        chosen_by = "shifted" if task.has("shifted") else "valid"
        self.held_out = {
            split: clips(task, split, ear, rate, seconds, cache)
            for split in dict.fromkeys((chosen_by, "valid"))
            if task.has(split)
        }
        self.chosen_by = chosen_by
        self.noises = torch.zeros(0)
        if recipe.augment != "none":
            self.noises = clips(Weather(), "weather", ear, rate, seconds, cache).pictures
        self.network = self.classifier.network.to(memory_format=FASTER)
        self.teacher = taught_by(recipe.teacher, task, config) if recipe.teacher else None
        self.optimizer = torch.optim.AdamW(groups(self.network, recipe.decay))
        if recipe.augment == "once":
            draw = torch.Generator().manual_seed(recipe.seed)
            views = [self._view(one, draw) for one in self.known.pictures.split(recipe.batch)]
            self.known = replace(self.known, pictures=torch.cat(views))

    @property
    def steps_an_epoch(self) -> int:
        return max(1, len(self.known) // self.recipe.batch)

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.recipe.epochs * self.steps_an_epoch

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, path: Path) -> None:
        own.save(path.parent, self.classifier, self.task.labels)

    def step(self, step: int, progress: float) -> dict[str, float]:
        recipe = self.recipe
        draw = torch.Generator().manual_seed(recipe.seed * MOST_STEPS + step)
        pictures, labels = self.batch(step)
        if recipe.augment == "fresh":
            pictures = torch.cat([self._view(pictures, draw) for _ in range(recipe.takes)])
            labels = labels.repeat(recipe.takes)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            logits = logits_of(self.network, pictures).float()
        loss, wanted = self.loss(logits, pictures, labels)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        take_step(self.optimizer, recipe.rate * rising_and_falling(progress, recipe.warm_up))
        return {"loss": loss.item(), "right": (logits.argmax(1) == labels).float().mean().item()}

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The clips of a step: every epoch in another order, that the seed and the epoch decide."""
        epoch, place = divmod(step, self.steps_an_epoch)
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(len(self.known))
        chosen = torch.from_numpy(order[place * self.recipe.batch :][: self.recipe.batch])
        return self.known.pictures[chosen], self.known.labels[chosen]

    def loss(self, logits: Tensor, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Of a batch; and the shares (B, labels) that were wanted."""
        recipe, head = self.recipe, self.classifier.config.head
        wanted = F.one_hot(labels, logits.shape[1]).float()
        loss = label_loss(logits, wanted, head, recipe.margin)
        if self.teacher is not None:
            with torch.no_grad():
                theirs = logits_of(self.teacher, pictures)
            taught = taught_loss(logits, theirs, recipe.temperature)
            loss = (1 - recipe.alpha) * loss + recipe.alpha * taught
        return loss, wanted

    def _view(self, pictures: Tensor, draw: torch.Generator) -> Tensor:
        return augmented(pictures, self.noises, Strengths(), self.frames_a_second, draw)

    def check(self) -> dict[str, float]:
        """The share that is right of each split that is held out; the score is the error on shifted clips."""
        found = {name: right(self.network, one) for name, one in self.held_out.items()}
        return found | {"score": 1 - found[self.chosen_by]}


def begun(recipe: Recipe, labels: Sequence[str]) -> Classifier:
    """The classifier to train: fresh, or one that is there, with a new last layer for other labels."""
    if not recipe.start:
        return own.fresh(family(recipe.model, len(labels), recipe.head), recipe.seed)
    models = load_models(recipe.start)
    if models.labels == tuple(labels):
        return learning(models.classifier)
    head = replace(models.config.head, n_labels=len(labels), **HEADS[recipe.head])
    classifier = own.fresh(replace(models.config, head=head, window_seconds=WINDOW), recipe.seed)
    kept = models.classifier.network.state_dict()
    kept = {name: value for name, value in kept.items() if not name.startswith("out.")}
    classifier.network.load_state_dict(kept, strict=False)
    return learning(classifier)


def learning(classifier: Classifier) -> Classifier:
    """All of it but the ear."""
    classifier.network.requires_grad_(True)
    return classifier


def taught_by(directory: str, task: Task, config: Config) -> nn.Module:
    """The network of a trained classifier that hears what the student hears. Raises InputError."""
    models = load_models(directory)
    if models.labels != tuple(task.labels):
        raise InputError(f"{directory} knows other labels than there are to learn.")
    if models.config.front != config.front:
        raise InputError(f"{directory} hears with another front end than the student.")
    return models.classifier.network.eval().requires_grad_(False).to(memory_format=FASTER)


def fewer(known: Clips, per_class: int) -> Clips:
    """The first so many of each label; 0: all."""
    if not per_class:
        return known
    kept = [(known.labels == label).nonzero()[:per_class, 0] for label in known.labels.unique()]
    chosen = torch.cat(kept)
    return Clips(known.pictures[chosen], known.labels[chosen])


def groups(network: nn.Module, decay: float) -> list[dict]:
    """Weights, which decay; norms and biases, which don't."""
    thick, thin = [], []
    for parameter in network.parameters():
        (thick if parameter.dim() > 1 else thin).append(parameter)
    return [{"params": thick, "weight_decay": decay}, {"params": thin, "weight_decay": 0.0}]


def rising_and_falling(progress: float, warm_up: float) -> float:
    """A learning rate's share: up in a straight line, then down along a half cosine."""
    if progress < warm_up:
        return max(LAST_RATE, progress / warm_up)
    fall = 0.5 + 0.5 * math.cos(math.pi * (progress - warm_up) / max(1e-9, 1 - warm_up))
    return LAST_RATE + (1 - LAST_RATE) * fall


def logits_of(network: nn.Module, pictures: Tensor) -> Tensor:
    """Logits (B, labels) of pictures (B, 1, T, M); of one that scores steps, those that decide the clip."""
    pictures = pictures.contiguous(memory_format=FASTER)
    logits = network.out(network.embed(network.pooled(pictures)))
    if not network.config.by_steps:
        return logits
    return logits.amax(1) if network.config.head.pool == "steps_max" else logits.mean(1)


@torch.no_grad()
def predicted(network: nn.Module, pictures: Tensor) -> Tensor:
    """Logits of many pictures, with the network as it is in use."""
    network.eval()
    return torch.cat([logits_of(network, part) for part in pictures.split(SCORED)])


def right(network: nn.Module, known: Clips) -> float:
    """The share of clips whose first label is theirs."""
    return (predicted(network, known.pictures).argmax(1) == known.labels).float().mean().item()
