"""One generation: a prompt of codes that goes on, window after window. Numpy only."""

from collections.abc import Callable, Iterator

import numpy as np

from helpers.musicgen.decoding import UNKNOWN, Settings, Step, choose, fill, guided, undelayed, windows
from helpers.musicgen.past import Condition
from helpers.musicgen.spec import Spec

OnStep = Callable[[Step], object]


class Generation:
    """An iterator over how many frames are complete; on the way it fills `codes`.

    logits_of: columns, condition, past -> logits (B, K, S, V) and the longer past. codes: int64 (B, K, N), of
    which item b's first `lengths[b]` frames are given, UNKNOWN behind. window: how long one is, and how far
    the next begins behind it, in frames. on_step: gets each `Step`; returning False stops.
    """

    def __init__(
        self,
        logits_of: Callable,
        spec: Spec,
        codes: np.ndarray,
        lengths: list[int],
        condition: Condition,
        settings: Settings,
        seeds: list[int],
        window: tuple[int, int],
        on_step: OnStep | None = None,
    ):
        self.logits_of, self.spec, self.codes = logits_of, spec, codes
        self.settings, self.seeds, self.window, self.on_step = settings, seeds, window, on_step
        self.n_given = min(lengths)
        self.prompt_frames = self.n_given if len(set(lengths)) == 1 else tuple(lengths)
        # Without a text both halves of guidance say the same; so they do at 1.
        self.is_guided = settings.guidance != 1 and condition.says_something
        self.condition = condition.with_null() if self.is_guided else condition

    def __iter__(self) -> Iterator[int]:
        spec = self.spec
        for first, length, n_known in windows(self.codes.shape[-1], self.n_given, *self.window):
            part = self.codes[:, :, first : first + length]

            def pick(logits: np.ndarray, column: int, key: int = first) -> np.ndarray:
                return choose(logits, self.settings, self.seeds, (key,), column)

            steps = fill(self._guided, part.copy(), n_known, spec.delays, spec.special_token, pick)
            for column, columns, logits in steps:
                part[:] = undelayed(columns, spec.delays)
                yield first + max(n_known, column - max(spec.delays))
                if self._stops(first + column, logits):
                    return

    def finished(self) -> np.ndarray:
        """Run to the end: all codes, or those that were complete when somebody stopped it."""
        return self.codes[:, :, : max(self, default=self.n_given)]

    def parts(self) -> Iterator[np.ndarray]:
        """Codes (B, K, t), one after the other, as they are complete: the prompt's first."""
        done = self.n_given
        if done:
            yield self.codes[:, :, :done]
        for complete in self:
            if complete > done:
                yield self.codes[:, :, done:complete]
                done = complete

    def _guided(self, columns: np.ndarray, past: object) -> tuple[np.ndarray, object]:
        """Logits (B, K, V) of the last column, and the longer past."""
        columns = np.concatenate([columns, columns]) if self.is_guided else columns
        logits, past = self.logits_of(columns, self.condition, past)
        last = logits[:, :, -1]
        return (guided(last, self.settings.guidance) if self.is_guided else last), past

    def _stops(self, column: int, logits: np.ndarray) -> bool:
        """Show a step to whoever watches; whether it asks for an end."""
        if self.on_step is None:
            return False
        n_columns = 1 + self.codes.shape[-1] + max(self.spec.delays)
        codes = np.where(self.codes == UNKNOWN, self.spec.special_token, self.codes)
        answer = self.on_step(Step(column, n_columns, codes, logits))
        return isinstance(answer, bool | np.bool_) and not answer
