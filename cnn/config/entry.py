"""Entry and exit of a command: arguments, exit codes, and user errors in one sentence."""

import argparse
import contextlib
import ctypes
import errno
import locale
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from cnn.config.errors import UserError
from cnn.config.stop_signals import end_on_signals, watch_signals

Number = TypeVar("Number", int, float)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like all other messages."""

    def error(self, message: str) -> None:
        """Raises the complaint instead of printing the usage."""
        raise UserError(f"{message}; {self.prog} --help lists what there is")


def split_overrides(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separates `--config.field=value` and `--config.field value` from the other arguments.

    Returns:
      ("field=value" texts, the rest).
    """
    overrides, rest = [], []
    words = iter(arguments)
    for word in words:
        if not word.startswith("--config."):
            rest.append(word)
        elif "=" in word:
            overrides.append(word.removeprefix("--config."))
        else:
            overrides.append(f"{word.removeprefix('--config.')}={next(words, '')}")
    return overrides, rest


# What an operating system refuses for reasons that lie outside this program, and what to do.
_OUTSIDE = {
    errno.ENOSPC: "make room, then run the same command to resume",
    errno.EDQUOT: "make room, then run the same command to resume",
    errno.EFBIG: "raise the limit on file sizes, then run the same command to resume",
    errno.EACCES: "change its permissions, or give another place",
    errno.EPERM: "change its permissions, or give another place",
    errno.EROFS: "give another place; this one cannot be written to",
    errno.ENOTDIR: "a part of the path is a file; give another place",
    errno.ENOENT: "it was moved or removed, or cannot be made there; give another place",
    errno.EISDIR: "there is a folder where a file belongs; move it, or give another place",
    errno.EEXIST: "a file or folder of another type is there; move it, or give another place",
    errno.EBUSY: "it is a mount point, or in use; give another place",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "symbolic links form a loop; give another place",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "this machine has too many open files; close others",
    errno.EIO: "the disk or the file system has failed; try another place",
    errno.ESTALE: "the shared file system has failed; run the same command to resume",
}


def describe(error: OSError) -> str:
    """Returns which file the operating system refused, why, and what to do about it."""
    where = error.filename2 or error.filename
    hint = _OUTSIDE.get(error.errno)
    reason = error.strerror or str(error)
    return "; ".join(filter(None, [f"{where}: {reason}" if where else reason, hint]))


def run_command(main: Callable[[list[str]], None]) -> None:
    """Runs a command: exit code 0, or 2 and one sentence for a user's mistake or a full disk.

    A run that was stopped by a signal leaves with 128 + its number, as a shell would report it.
    """
    _prepare_streams()
    _use_utf8()
    end_on_signals()
    _quieten_libraries()
    _keep_freed_memory()
    watch_signals()
    try:
        try:
            main(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left, such as `head`. Python would flush what it still holds.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except UserError as error:
        _refuse(str(error))
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        _refuse(describe(error))


def _refuse(sentence: str) -> NoReturn:
    try:
        print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    except OSError:
        # Nobody can be told but by the exit code, which Python's own end would change.
        os._exit(2)
    sys.exit(2)


def _use_utf8() -> None:
    """Starts the command again in Python's UTF-8 mode if the locale has another encoding.

    Checkpoints and data sets are written by libraries that take every path as UTF-8.
    """
    encodings = {sys.getfilesystemencoding(), locale.getencoding().lower()}
    if sys.flags.utf8_mode or encodings == {"utf-8"} or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _prepare_streams() -> None:
    """Gives closed standard streams the null device, and prints any character to every terminal."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Of the closed stream's number, so that no file takes it that libraries would write to.
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, mode))
    sys.stdout.reconfigure(errors="backslashreplace")


def _quieten_libraries() -> None:
    """Hides library warnings that are meant for developers."""
    warnings.simplefilter("ignore")
    for name in ("jax", "etils", "tensorflow_datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Orbax logs, with its stack, what it raises as well, and asyncio what nobody awaits any more
    # of several writes that fail at once.
    for name in ("absl", "orbax", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.unraisablehook = _ignore_closed_loops


def _ignore_closed_loops(unraisable: Any) -> None:
    """Ignores callbacks of reads that Orbax abandons on a damaged checkpoint."""
    if "Event loop is closed" not in str(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)


def _keep_freed_memory() -> None:
    """Makes glibc keep the memory of large buffers instead of returning it to the kernel.

    XLA on CPU takes and frees one buffer for all temporaries of a step; given back, each of its
    pages is faulted in again at every step (`benchmarks/NOTES.md`). It has to be said before the
    first thread starts. Elsewhere than under glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return
    arena_max, mmap_threshold, trim_threshold = -8, -3, -1
    largest = 2**31 - 1
    for parameter, value in ((arena_max, 1), (mmap_threshold, largest), (trim_threshold, largest)):
        mallopt(parameter, value)


def user_cache() -> Path | None:
    """Returns `cnn` in the user's cache folder; None for a user without a home folder."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(cache) / "cnn"


def compilation_cache() -> str | None:
    """Returns the folder of the compilation cache; None where there is no place for it.

    $JAX_COMPILATION_CACHE_DIR, else `jax` in `user_cache`.
    """
    cache = user_cache()
    return os.environ.get("JAX_COMPILATION_CACHE_DIR") or (str(cache / "jax") if cache else None)


def number_of(
    variable: str, default: Number, environment: Mapping[str, str] = os.environ
) -> Number:
    """Returns the number that an environment variable holds, of the type of the default.

    Raises:
      UserError: it holds something else, or a negative number.
    """
    text, kind = environment.get(variable), type(default)
    if text is None:
        return default
    with contextlib.suppress(ValueError):
        if 0 <= (number := kind(text)) < math.inf:
            return number
    what = "a whole number" if kind is int else "a number"
    raise UserError(f"{variable}: '{text}' is not {what} from 0 on; correct or unset the variable")
