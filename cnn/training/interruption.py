"""SIGTERM and SIGINT ask a run to stop after its step; they never cut one in half."""

import signal
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils


class InterruptedRun(Exception):  # noqa: N818 nothing went wrong
    """A signal stopped the run after a step, which is saved."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped after step {step}, which is saved; the same command continues")
        self.signal = number


class Interruption:
    """Context that notes the first stopping signal; a second one acts as usual.

    Attributes:
      signal: the number of the signal, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        """Takes over the signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives them back."""
        self._restore()

    def agreed(self, step: int, every: int) -> bool:
        """Whether any process was asked to stop; several confer every so many steps only."""
        if jax.process_count() == 1:
            return self.signal is not None
        if step % every:
            return False
        asked = multihost_utils.process_allgather(np.int32(self.signal or 0))
        self.signal = int(asked.max()) or None
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
