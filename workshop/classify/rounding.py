"""Train a classifier with rounding, so that few bits are enough: `python -m workshop round classify`.

    python -m workshop round classify --checkpoints models/classify/student --weights 4 --out W4A8

A trained classifier takes up its norms, its grids are settled on clips it learned from, and it goes on
learning while every forward pass is rounded. Says what rounding alone costs and what training gives back;
writes the network, and the bundle whose graph is in whole numbers where it is a row of convolutions.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from onnxruntime import InferenceSession
from safetensors.torch import save_file

from helpers.checkpoints import read_safetensors
from helpers.classify.files import CONFIG, WEIGHTS
from helpers.classify.integers import layers
from helpers.classify.qdq import HEARD, export_rounded, quantized, said, with_bytes
from helpers.classify.weights import Models, load_models
from helpers.layers.rounding import calibrate, rounded
from helpers.runtime.session import CPU
from helpers.support import commands
from helpers.support.commands import Parser, number, whole
from helpers.support.errors import InputError
from helpers.support.files import read_json, write_json, written_whole
from workshop.classify.command import add_data, task_of
from workshop.classify.features import Task
from workshop.classify.training import FASTER, ClassifierTraining, Recipe, groups, right
from workshop.training.loop import Budget, run

NETWORK, BITS = "rounded.safetensors", "bits.json"
PROVEN, BATCH = 600, 50  # clips whose bytes are compared, and so many at once
SETTLED = 256  # clips, half of them as they are, half in other takes


class RoundedTraining(ClassifierTraining):
    """A trained classifier that goes on learning with so few bits; `recipe.start` names it."""

    def __init__(self, recipe: Recipe, task: Task, weights: int, activations: int, cache: Path | None = None):
        """weights, activations: bits of each. Raises InputError."""
        super().__init__(recipe, task, cache)
        self.bits = {"weights": weights, "activations": activations}
        self.settings |= self.bits
        self.in_float = {name: right(self.network, one) for name, one in self.held_out.items()}
        self.network = rounded(self.network, weights, activations).to(memory_format=FASTER)
        self.classifier.network = self.network
        order = torch.randperm(len(self.known), generator=torch.Generator().manual_seed(recipe.seed))
        clips = self.known.pictures[order[:SETTLED]]
        if recipe.augment == "fresh":
            half = len(clips) // 2
            views = self._view(clips[half:], torch.Generator().manual_seed(recipe.seed))
            clips = torch.cat([clips[:half], views])
        calibrate(self.network.eval(), *clips.split(recipe.batch))
        self.optimizer = torch.optim.AdamW(groups(self.network, recipe.decay))

    def save(self, path: Path) -> None:
        with written_whole(path) as temporary:
            stored = {name: one.contiguous() for name, one in self.network.state_dict().items()}
            save_file(stored, temporary)
        write_json(path.parent / BITS, self.bits | {"start": self.recipe.start})


def load_rounded(directory: Path) -> Models:
    """What `RoundedTraining.save` wrote. Raises InputError."""
    bits = read_json(directory / BITS)
    if not isinstance(bits, dict) or not {"weights", "activations", "start"} <= bits.keys():
        raise InputError(f"{directory / BITS} is damaged; round the classifier again.")
    models = load_models(bits["start"])
    network = rounded(models.classifier.network, bits["weights"], bits["activations"])
    try:
        network.load_state_dict(read_safetensors([directory / NETWORK]))
    except RuntimeError as error:
        raise InputError(f"{directory / NETWORK} is another classifier's; round it again.") from error
    models.classifier.network = network.eval()
    return models


def carry_out(arguments: argparse.Namespace) -> None:
    """Round, train, say what that gave, export."""
    recipe = Recipe(
        start=str(arguments.checkpoints), epochs=arguments.epochs, rate=arguments.rate, decay=0.0,
        augment=arguments.augment, seed=arguments.seed,
    )  # fmt: skip
    task = task_of(arguments)
    training = RoundedTraining(recipe, task, arguments.weights, arguments.activations, arguments.cache)
    before, chosen = training.check(), training.chosen_by
    rows = run(training, arguments.out / NETWORK, Budget(training.steps))
    best = 1 - min(row["score"] for row in rows)
    found = {"in_float": training.in_float[chosen], "rounded": before[chosen], "trained": best}
    write_json(arguments.out / "settings.json", training.settings | {"split": chosen} | found)
    print(f"right of '{chosen}': " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    models = load_rounded(arguments.out)
    try:
        layers(models.classifier.network)
    except InputError as error:
        print(f"note: {error}")
        return
    bundle = export_rounded(models, arguments.out / "bundle", arguments.packed)
    sounds = list(
        islice(task.sounds("train", models.config.front.sample_rate, models.config.window_seconds), PROVEN)
    )
    equal = equal_bytes(models, np.stack([one for one, _ in sounds]).astype(np.float32))
    print(f"wrote {bundle}: all bytes as in PyTorch in {equal} of {len(sounds)} clips")


def equal_bytes(models: Models, audio: np.ndarray) -> int:
    """In how many clips (n, N) ONNX Runtime's last bytes are those of whole numbers in PyTorch, every one."""
    chain = layers(models.classifier.network)
    graph = with_bytes(quantized(models.classifier), [HEARD, said(len(chain) - 1)])
    session = InferenceSession(graph.SerializeToString(), providers=[CPU])
    n_equal = 0
    for part in np.array_split(audio, -(-len(audio) // BATCH)):
        *_, heard, last = session.run(None, {"audio": part})
        x = torch.from_numpy(heard)
        for layer in chain:
            x = layer(x)
        n_equal += int((x.numpy() == last).all((1, 2, 3)).sum())
    return n_equal


def parser() -> Parser:
    """The command line."""
    usual = asdict(Recipe(epochs=8, rate=1e-3))
    command = Parser(
        prog="python -m workshop round classify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--checkpoints",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"a classifier's {CONFIG} and {WEIGHTS}",
    )
    command.add_argument("--out", type=Path, required=True, help="for the network and its bundle")
    for name in ("weights", "activations"):
        command.add_argument(
            f"--{name}",
            type=whole(2, 8),
            default=8,
            metavar="BITS",
            help="(%(default)s; 2 is ternary weights)",
        )
    command.add_argument("--epochs", type=whole(1, 10**6), default=usual["epochs"], help="(%(default)s)")
    command.add_argument("--rate", type=number(1e-9, 1.0), default=usual["rate"], help="(%(default)s)")
    command.add_argument("--augment", choices=("fresh", "once", "none"), default="fresh")
    command.add_argument("--seed", type=whole(0), default=0)
    command.add_argument("--packed", action="store_true", help="weights of 4 bits two to a byte")
    add_data(command)
    command.set_defaults(run=carry_out)
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return commands.main(parser(), arguments, stopped="stopped; the same command continues.")
