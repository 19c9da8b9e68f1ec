"""SIGTERM and SIGINT ask a run to stop after its step; they never cut one in half."""

import signal
from types import FrameType

import jax


class InterruptedRun(Exception):  # noqa: N818 nothing went wrong
    """A signal stopped the run after a step, which is saved."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped after step {step}, which is saved; the same command continues")
        self.signal = number


class Interruption:
    """Context that notes the first stopping signal; a second one acts as usual.

    Only where one process trains: several would have to stop after the same step, and the runtime
    that connects them takes the signals for itself.

    Attributes:
      signal: the number of the signal, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        """Takes over the signals."""
        if jax.distributed.is_initialized():
            return self
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives them back."""
        self.release()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            return
        self.release()
        signal.raise_signal(number)

    def release(self) -> None:
        """Gives the signals back, before work that may be cut anywhere."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
