"""Ends a worker that makes no step any more, which a sign of life from a thread would hide."""

import os
import sys
import threading
import time
from collections.abc import Callable

PATIENCE = 30 * 60.0  # seconds; the compilation of a large network is no step either
HUNG = 70  # exit code of a worker that made no step, as sysexits.h calls "internal error"


class Watchdog:
    """Context in which `alive` has to be called again and again.

    Args:
      patience: seconds without a call after which the process is given up.
      give_up: told before the process ends, with a sentence that says why.
      end: ends the process; os._exit, as nothing else ends one whose main thread hangs.
    """

    def __init__(
        self,
        patience: float,
        give_up: Callable[[str], None],
        end: Callable[[int], None] = os._exit,
    ):
        self._patience, self._give_up, self._end = patience, give_up, end
        self._last = time.monotonic()
        self._stop = threading.Event()

    def __enter__(self) -> "Watchdog":
        """Begins to watch."""
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Watches no longer."""
        self._stop.set()

    def alive(self) -> None:
        """Says that a step was made."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._stop.wait(max(0.0, self._last + self._patience - time.monotonic())):
            if time.monotonic() - self._last < self._patience:
                continue
            sentence = f"it made no step for {self._patience / 60:g} minutes (--patience)"
            self._give_up(sentence)
            print(f"this worker ends: {sentence}", file=sys.stderr, flush=True)
            self._end(HUNG)
            return
