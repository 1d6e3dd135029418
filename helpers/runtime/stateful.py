"""A graph that remembers, in windows: convolutions before and after a layer whose state is carried along.

What the convolutions need on either side of a window is run with it and dropped, as in `windows`. The layer
with state must see every frame once and in order, so the graph drops the context before that layer, takes the
state in and gives it back, and with it what the layer made: the convolutions behind it want context too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from helpers.support.errors import InputError

Graph = Callable[..., tuple[np.ndarray, ...]]
STATE = ("hidden", "cell")


@dataclass(frozen=True)
class StatefulLayout:
    """How a graph's input and output relate, in frames of the layer with state.

    A frame is `step_in` places of the input's last axis and `step_out` of the output's. The layer needs
    `before` frames of input on either side of its own, an output frame `after` of the layer's.
    """

    step_in: int
    step_out: int
    before: int
    after: int

    def run(self, graph: Graph, arrivals: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
        """The output for what arrives, as soon as it suffices for `size` more frames of the layer.

        graph: takes the input and, by name, `left` and `right` (as long as the context to drop), `kept` (the
        layer's output before this window) and the state; returns output, the layer's output, and the state.
        arrivals: arrays (B, C, n) that follow one another; only the last may end within a frame.
        """
        window = _Window(self, graph)
        for arrived in arrivals:
            window.hold(arrived)
            while window.done + size + self.before <= window.n_whole:
                yield from window.advance(window.done + size, last=False)
        if window.held is not None:
            yield from window.advance(window.n_frames, last=True)


@dataclass
class _Window:
    """Where a run stands: what is held of the input, of the layer's output, and the state."""

    layout: StatefulLayout
    graph: Graph
    held: np.ndarray | None = None
    first: int = 0  # the frame that `held` begins with
    done: int = 0  # frames that the layer has seen
    given: int = 0  # frames of output that have left
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Frames that have arrived, an unfinished one included."""
        return self.first - (-self.held.shape[-1] // self.layout.step_in)

    @property
    def n_whole(self) -> int:
        return self.first + self.held.shape[-1] // self.layout.step_in

    def hold(self, arrived: np.ndarray) -> None:
        """Add to the input; forget what no window can need."""
        if self.held is not None and self.held.shape[:-1] != arrived.shape[:-1]:
            raise InputError(
                f"a part {arrived.shape} can't follow one of {self.held.shape}: only their times may differ."
            )
        held = arrived if self.held is None else np.concatenate([self.held, arrived], axis=-1)
        needed = max(0, self.done - self.layout.before)
        self.held, self.first = held[..., (needed - self.first) * self.layout.step_in :], needed

    def advance(self, end: int, last: bool) -> Iterator[np.ndarray]:
        """Let the layer see the frames up to `end`; yield the output that is finished by it."""
        layout = self.layout
        begin, stop = max(0, self.done - layout.before), None if last else end + layout.before
        x = self.held[..., (begin - self.first) * layout.step_in :]
        if stop is not None:
            x = x[..., : (stop - begin) * layout.step_in]
        context = {} if self.done == begin else {"left": np.zeros(self.done - begin, np.float32)}
        if stop is not None and stop > end:
            context["right"] = np.zeros(stop - end, np.float32)
        made = self.graph(np.ascontiguousarray(x), **context, **self.memory)
        if not isinstance(made, tuple) or len(made) != 2 + len(STATE):
            raise InputError("a graph that should give its state gives none; export the bundle again.")
        out, frames, *state = made
        kept = frames if "kept" not in self.memory else np.concatenate([self.memory["kept"], frames], axis=-1)
        origin = end - kept.shape[-1]  # the frame that `kept` and `out` begin with
        finished = end if last else max(self.given, end - layout.after)
        if finished > self.given:
            yield out[..., (self.given - origin) * layout.step_out : (finished - origin) * layout.step_out]
        self.done, self.given = end, finished
        kept = kept[..., max(0, finished - layout.after - origin) :]
        self.memory = {"kept": kept, **dict(zip(STATE, state))}
