"""SIGTERM and SIGINT stop a run after its current step, never within one."""

import signal
from types import FrameType

from cnn.training.hosts import channel


class InterruptedRun(Exception):  # noqa: N818 nothing went wrong
    """A signal stopped the run after a step, and the state was saved."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped after step {step}, which is saved; the same command continues")
        self.signal = number


class Interruption:
    """Context that records the first stop signal; a second one acts as usual.

    All processes of a run stop after the same step, whichever of them got the signal.

    Attributes:
      signal: the number of the signal that this process got, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        """Installs the handlers."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the previous handlers."""
        self.release()

    def due(self, step: int) -> int | None:
        """Returns the signal that the run stops for after this step, or None."""
        others = channel()
        return others.stop_after(step) if others else self.signal

    def release(self) -> None:
        """Restores the signal handlers before work that may be interrupted; everything is saved."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
        if others := channel():
            others.end_if_asked()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            if others := channel():
                others.ask_to_stop(number)
            return
        self.release()
        signal.raise_signal(number)
