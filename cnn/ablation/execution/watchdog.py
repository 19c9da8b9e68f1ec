"""Ends a worker that makes no progress, while its heartbeat thread would keep it alive."""

import os
import sys
import threading
import time
from collections.abc import Callable

PATIENCE = 30 * 60.0  # seconds; compiling a large network takes minutes without a step
HUNG = 70  # exit code of a hung worker: "internal error" in sysexits.h


class Watchdog:
    """Context in which `alive` has to be called regularly.

    Args:
      patience: seconds without a call after which the process is ended.
      give_up: called with the reason before the process ends.
      end: ends the process; os._exit by default, since nothing else works if the main thread hangs.
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
        """Starts watching."""
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops watching."""
        self._stop.set()

    def alive(self) -> None:
        """Reports progress."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._stop.wait(max(0.0, self._last + self._patience - time.monotonic())):
            if time.monotonic() - self._last < self._patience:
                continue
            sentence = f"it made no step for {self._patience / 60:g} minutes (--patience)"
            self._give_up(sentence)
            print(f"worker exits: {sentence}", file=sys.stderr, flush=True)
            self._end(HUNG)
            return
