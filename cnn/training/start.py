"""Starts a run from the command line: keeps compiled programs, and returns an exit code."""

import jax

from cnn.config.entry import compilation_cache
from cnn.config.load import Loaded
from cnn.training.hosts import abort, is_first, join_hosts
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.mesh import count_cores_as_devices


def use_compilation_cache() -> None:
    """Keeps every compiled program on disk, however quick it was to compile."""
    jax.config.update("jax_compilation_cache_dir", compilation_cache())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def start(loaded: Loaded, workdir: str, hosts: str | None = None) -> int:
    """Trains; returns the exit code: 0, or 128 + the number of the signal that stopped it.

    Args:
      loaded: the config.
      workdir: the run folder, on a file system that all hosts share.
      hosts: see `hosts.join_hosts`; None for one process.
    """
    use_compilation_cache()
    if hosts:
        join_hosts(hosts)
    else:
        count_cores_as_devices()
    try:
        train(loaded.config, workdir)
    except InterruptedRun as stopped:
        if is_first():
            print(stopped)
        return 128 + stopped.signal
    except Exception as error:
        if jax.process_count() > 1:
            abort(error)
        raise
    return 0
