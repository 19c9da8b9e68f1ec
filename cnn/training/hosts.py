"""One run on many hosts: how the processes find each other, and how they end together."""

import os
import re
import sys
import traceback

import jax
from jax.experimental import multihost_utils

from cnn.config.errors import UserError


def join_hosts(hosts: str) -> None:
    """Connects this process with the others of the run; before anything else touches a device.

    Args:
      hosts: "auto" on Slurm, Open MPI, Kubernetes and TPU pods, which tell each process who it is;
        else "ADDRESS:PORT,COUNT,INDEX": where process 0 listens, how many processes there are, and
        which of them this is.

    Raises:
      UserError: the text is of neither form, or the processes do not find each other.
    """
    match = re.fullmatch(r"([^,]+:\d+),(\d+),(\d+)", hosts)
    if hosts != "auto" and not match:
        raise UserError(f"--hosts: '{hosts}' is neither 'auto' nor 'ADDRESS:PORT,COUNT,INDEX'")
    given = (match[1], int(match[2]), int(match[3])) if match else ()
    try:
        # A process that dies takes the others along after this many seconds, instead of minutes.
        jax.distributed.initialize(
            *given, heartbeat_timeout_seconds=30, shutdown_timeout_seconds=30
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"--hosts: the processes do not find each other ({str(error).splitlines()[0]})"
        ) from error


def is_first() -> bool:
    """Whether this process is the one that writes files and prints."""
    return jax.process_index() == 0


def wait_for_all(point: str) -> None:
    """Waits until every process has come to the same point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(point)


def abort(error: BaseException) -> None:
    """Ends this process at once: the others would wait for it in their next collective."""
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    traceback.print_exception(error)
    os._exit(1)
