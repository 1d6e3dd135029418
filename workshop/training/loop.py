"""The loop round any training: a schedule, a state file to resume from, metrics to CSV, the best kept.

Nothing here knows what is trained. Every step draws from a seed of its own, (seed, step), so a run of so
many steps that was interrupted and started again ends with the numbers of one that was not (on one CPU;
a GPU adds up in no fixed order, and a budget of minutes ends at another step each time).
"""

import contextlib
import csv
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm

from helpers.support.errors import InputError
from helpers.support.files import written_whole
from workshop.training import workers

CHECKS = 40  # held-out scores over a whole run
SAVE_EVERY = 180.0  # seconds of training that an interruption may cost
Row = dict[str, float]  # one line of the metrics
BAR = "{percentage:3.0f}%|{bar}| {elapsed} passed, {remaining} left{postfix}"


class Training(Protocol):
    """What is trained: it knows its model, its optimiser, its data and its losses."""

    settings: dict  # what a resumed run must agree on: plain numbers, texts and lists

    def step(self, step: int, progress: float) -> dict[str, float]:
        """One optimiser step; `progress` goes from 0 to 1 and decides stage and learning rate."""

    def check(self) -> dict[str, float]:
        """Scores on held-out data. The smallest "score" is the best; none while nothing is worth keeping."""

    def save(self, path: Path) -> None:
        """Write the checkpoint."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


@dataclass(frozen=True)
class Budget:
    """How long to train: so many steps, or so many minutes of training (pauses not counted).

    patience: after so many held-out scores in a row that are no better than the best it ends early; 0: never.
    """

    steps: int | None = None
    minutes: float | None = None
    patience: int = 0

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise InputError("give a number of steps or of minutes, one of the two.")
        if not 0 < (self.steps or self.minutes or 0) < float("inf"):
            raise InputError("a run needs more than 0 steps or minutes.")

    def progress(self, step: int, seconds: float) -> float:
        """The share of the run that is behind us, 0 to 1."""
        done = step / self.steps if self.steps else seconds / (60 * self.minutes)
        return min(1.0, done)

    def lasts(self, progress: float, waited: int) -> bool:
        """Whether there is more to do; waited: scores since the best one."""
        return progress < 1 and not 0 < self.patience <= waited


@dataclass
class Position:
    """Where a run is, and what it has measured so far."""

    step: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    waited: int = 0  # scores since the best one
    rows: list[Row] = field(default_factory=list)


def run(training: Training, checkpoint: str | os.PathLike, budget: Budget) -> list[Row]:
    """Train to the end of the budget; return the rows of the metrics.

    Writes the best `checkpoint`, say coarse.pth, and beside it coarse.csv (the metrics) and coarse.state.
    If there is the state of an interrupted run, that run goes on. Ctrl-C (or SIGTERM) ends the step under
    way, saves the state and raises KeyboardInterrupt. Raises InputError when the state belongs to other
    settings.
    """
    checkpoint = Path(checkpoint)
    position = _resumed(training, state_of(checkpoint))
    saved, began = position.seconds, time.monotonic() - position.seconds
    progress = budget.progress(position.step, position.seconds)
    with (
        _without_denormals(),
        _stop_requests() as stop,
        tqdm(total=100, bar_format=BAR, disable=None if workers.is_first() else True, leave=False) as bar,
    ):
        bar.update(100 * progress)
        while budget.lasts(progress, position.waited):
            losses = training.step(position.step, progress)
            position.step += 1
            position.seconds, is_stopping = workers.agree(time.monotonic() - began, bool(stop))
            before, progress = progress, budget.progress(position.step, position.seconds)
            bar.set_postfix(step=position.step, **losses, refresh=False)
            bar.update(100 * (progress - before))
            is_due = int(progress * CHECKS) > int(before * CHECKS)
            if is_due:
                if workers.is_first():
                    _check(training, position, losses, checkpoint)
                    position.seconds = time.monotonic() - began
                position.waited = int(workers.agree(position.waited, False)[0])
            if is_due or is_stopping or position.seconds > saved + SAVE_EVERY:
                if workers.is_first():
                    _save_state(training, position, checkpoint)
                saved = position.seconds
            if is_stopping:
                raise KeyboardInterrupt
    return position.rows


@contextlib.contextmanager
def _without_denormals() -> Iterator[None]:
    """Numbers too small to matter, and which make a processor ten times as slow, are 0 meanwhile."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM instead of obeying at once: half a step could not be resumed."""
    asked: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: asked.append(number)) for number in stops]
    try:
        yield asked
    finally:
        for number, handler in zip(stops, before):
            signal.signal(number, handler)


def _check(training: Training, position: Position, losses: dict[str, float], checkpoint: Path) -> None:
    scores = training.check()
    if scores.get("score", position.best) < position.best:
        position.best, position.waited = scores["score"], 0
        training.save(checkpoint)
    elif math.isfinite(position.best):  # else nothing is worth keeping yet
        position.waited += 1
    position.rows.append({"step": position.step, "minutes": position.seconds / 60, **losses, **scores})


def state_of(checkpoint: str | os.PathLike) -> Path:
    """Where the state of the run is that makes this checkpoint."""
    return Path(checkpoint).with_suffix(".state")


def _save_state(training: Training, position: Position, checkpoint: Path) -> None:
    state = {"settings": training.settings, "position": vars(position), "training": training.state_dict()}
    with written_whole(state_of(checkpoint)) as temporary:
        torch.save(state, temporary)
    with written_whole(checkpoint.with_suffix(".csv")) as temporary:
        _write_csv(temporary, position.rows)


def _write_csv(path: Path, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{value:.5g}" for name, value in row.items()})


def _resumed(training: Training, path: Path) -> Position:
    if not path.exists():
        return Position()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        settings = dict(state["settings"])
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path} cannot be read; remove it to start the run again.") from error
    for name, value in training.settings.items():
        if settings.get(name) != value:
            raise InputError(
                f"{path} holds a run with {name} {settings.get(name)}, not {value}; "
                "go on with that, or name another directory."
            )
    try:
        training.load_state_dict(state["training"])
        return Position(**state["position"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:  # by what is missing
        raise InputError(f"{path} is damaged or another model's; remove it to start again.") from error


def take_step(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """One step at this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
