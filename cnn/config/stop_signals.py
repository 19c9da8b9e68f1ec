"""Ctrl-C and SIGTERM before a run handles them: print one line and exit.

Nothing is raised, since what is raised in the middle of an import leaves it half done, and in a
callback of XLA's is swallowed. Ending at once loses nothing: every file is written whole or not at
all, as a kill has to be survived anyway.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
_ending = threading.Lock()
# Called with the signal number before the process ends, to notify others.
tell: Callable[[int], None] | None = None


def end_on_signals() -> None:
    """Makes SIGINT and SIGTERM end this process at any time; idempotent.

    Python calls a handler between two instructions of the main thread, which a long compilation
    keeps waiting; so a thread of its own is told of every signal too.
    """
    if not _in_main_thread():
        return
    # Whoever started this in the background of a shell has SIGINT ignored, and that stays so.
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end_now)


def watch_signals() -> None:
    """Starts the thread; after whatever has to be said before the first one."""
    if not _in_main_thread():
        return
    receiver, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver,), name="signals", daemon=True).start()


def end_now(number: int, frame: FrameType | None = None) -> None:
    """Prints that it stops and exits with 128 + the number of the signal."""
    if not _ending.acquire(blocking=False):
        return  # The thread and the handler are told of the same signal.
    try:
        # A progress bar hides the cursor.
        for stream in (sys.stdout, sys.stderr):
            if stream.isatty():
                os.write(stream.fileno(), b"\x1b[?25h")
        if tell:
            tell(number)
        os.write(sys.stderr.fileno(), b"stopped\n")
    finally:
        os._exit(128 + number)


def _watch(receiver: int) -> None:
    """Ends the process at a signal that nobody takes over, and at the second of any.

    The first is left to its handler, which may only get its turn after a long computation.
    """
    noted = False
    while data := os.read(receiver, 1):
        number = data[0]
        if number not in STOPPING:
            continue
        if noted or signal.getsignal(number) is end_now:
            end_now(number)
        noted = True


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
