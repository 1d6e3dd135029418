"""A convolutional graph in windows, exactly: each output needs only so much input on either side of it.

A window is run with that context and the context's own output is dropped, so that nothing tells the pieces
from the whole: neither the numbers nor a listener. Memory then does not grow with the length, windows can
run on several threads, and output can leave before all input is there.

In ONNX Runtime the numbers are equal to the last bit if no window is shorter than SHORTEST frames. Its
matrix product adds up the columns of a kernel in blocks of 128, in longer blocks where there are at most 64
outputs to compute, and sums of other blocks round differently, by about 1e-7 of the largest value.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from helpers.support.cores import in_order

SHORTEST = 65  # frames
Graph = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Window:
    """A part of the input, and which part of its output to keep."""

    x: np.ndarray
    keep: slice


@dataclass(frozen=True)
class Layout:
    """How a graph's input and output relate.

    A frame is `step_in` places of the input's last axis and `step_out` places of the output's; an output
    frame depends on `context` input frames on either side. No window has fewer than `shortest` frames, if so
    many have arrived.
    """

    step_in: int
    step_out: int
    context: int
    shortest: int = SHORTEST

    def windows(self, arrivals: Iterable[np.ndarray], size: int) -> Iterator[list[Window]]:
        """Cut what arrives into windows that keep `size` frames each: as many as each arrival completes.

        arrivals: arrays (B, C, n * step_in), one after the other in time. The last window keeps what is
        left, up to size + context frames. Together they keep each output once.
        """
        held, first = None, 0  # what is still needed of the input, and the frame it begins with
        start = 0  # the next frame to keep
        for arrived in arrivals:
            held = arrived if held is None else np.concatenate([held, arrived], axis=-1)
            last, complete = first + held.shape[-1] // self.step_in, []
            while (end := max(start + size + self.context, self.shortest)) <= last:
                complete.append(self._window(held, first, start, end, start + size))
                start += size
            yield complete
            needed = max(0, start - max(self.context, self.shortest))  # the last may reach back so far
            held, first = held[..., (needed - first) * self.step_in :], needed
        if held is not None and start < last:
            yield [self._window(held, first, start, last, None)]

    def _window(self, held: np.ndarray, first: int, start: int, end: int, stop: int | None) -> Window:
        """Up to frame `end`, to keep the frames from `start` to `stop` (None: all that come)."""
        begin = max(0, min(start - self.context, end - self.shortest))
        x = held[..., (begin - first) * self.step_in : (end - first) * self.step_in]
        keep = slice(
            (start - begin) * self.step_out, None if stop is None else (stop - begin) * self.step_out
        )
        return Window(x, keep)

    def of_whole(self, graph: Graph, x: np.ndarray, size: int, n_threads: int) -> Iterator[np.ndarray]:
        """The graph's output for x (B, C, n * step_in), piece after piece, on so many threads."""
        return in_order(partial(_run, graph), chain.from_iterable(self.windows([x], size)), n_threads)

    def of_stream(
        self, graph: Graph, arrivals: Iterable[np.ndarray], size: int, n_threads: int
    ) -> Iterator[np.ndarray]:
        """The same while the input arrives: what an arrival completes comes before the next is asked for."""
        for complete in self.windows(arrivals, size):
            yield from in_order(partial(_run, graph), complete, n_threads)


def _run(graph: Graph, window: Window) -> np.ndarray:
    return graph(np.ascontiguousarray(window.x))[..., window.keep]


def in_pieces(
    graph: Graph,
    x: np.ndarray,
    n_frames: int,
    piece: int,
    step_in: int,
    step_out: int,
    context: int,
    n_threads: int = 1,
) -> np.ndarray:
    """Run a convolutional graph `piece` frames at a time: what it gives for all `n_frames` of x at once."""
    x = x[..., : n_frames * step_in]
    pieces = Layout(step_in, step_out, context).of_whole(graph, x, piece, n_threads)
    return np.concatenate(list(pieces), axis=-1)


def even_size(n_frames: int, longest: int, n_threads: int) -> int:
    """How many frames each window keeps: as even a share for each thread as there can be, up to `longest`."""
    rounds = -(-n_frames // (longest * n_threads))
    return -(-n_frames // (rounds * n_threads))
