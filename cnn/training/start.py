"""Starts a run from the command line: keeps compiled programs, and returns an exit code."""

import jax

from cnn import models
from cnn.config.entry import compilation_cache
from cnn.config.load import Loaded
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train


def use_compilation_cache() -> None:
    """Keeps every compiled program on disk, however quick it was to compile."""
    jax.config.update("jax_compilation_cache_dir", compilation_cache())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def start(loaded: Loaded, workdir: str) -> int:
    """Trains; returns the exit code: 0, or 128 + the number of the signal that stopped it."""
    use_compilation_cache()
    models.check_read(loaded.config.model, loaded.set_fields)
    try:
        train(loaded.config, workdir)
    except InterruptedRun as stopped:
        print(stopped)
        return 128 + stopped.signal
    return 0
