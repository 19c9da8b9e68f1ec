"""Starts a run from the command line: keeps compiled programs, and returns an exit code."""

import json
from contextlib import nullcontext
from typing import Any

import jax
from ml_collections import ConfigDict

from cnn.config.entry import compilation_cache
from cnn.config.fields import leaves
from cnn.config.load import Loaded
from cnn.training.hosts import is_first, joined
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.mesh import check_platform, count_cores_as_devices
from cnn.training.nan_search import with_nan_search
from cnn.training.profiling import Profile
from cnn.training.provenance import code_digest, versions
from cnn.training.run_folder import RunFolder

# Hosts may read the same data from different paths, and at their own pace.
_OF_EACH_HOST = {"data.data_dir", "data.path", "data.workers", "data.prefetch"}


def use_compilation_cache() -> None:
    """Keeps every compiled program on disk, however quick it was to compile."""
    jax.config.update("jax_compilation_cache_dir", compilation_cache())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def start(
    loaded: Loaded,
    workdir: str,
    hosts: str | None = None,
    *,
    profile: str | None = None,
    debug_nans: bool = False,
) -> int:
    """Trains; returns the exit code: 0, or 128 + the number of the signal that stopped it.

    Args:
      loaded: the config.
      workdir: the run folder, on a file system that all hosts share.
      hosts: see `hosts.joined`; None for one process.
      profile: steps to trace, such as "10:15".
      debug_nans: search for the first non-finite value.
    """
    instruments = []
    if profile:
        instruments.append(Profile.parse(profile, RunFolder(workdir).path / "profile").of)
    if debug_nans:
        instruments.append(with_nan_search)
    use_compilation_cache()
    if not hosts:
        count_cores_as_devices()
    with joined(hosts, _facts(loaded.config)) if hosts else nullcontext():
        check_platform()
        try:
            train(loaded.config, workdir, instruments=instruments)
        except InterruptedRun as stopped:
            if is_first():
                print(stopped)
            return 128 + stopped.signal
    return 0


def _facts(config: ConfigDict) -> dict[str, Any]:
    """Returns what must be the same on all hosts: the config, the code and the libraries."""
    fields = {name: value for name, value in leaves(config) if name not in _OF_EACH_HOST}
    return json.loads(json.dumps(fields)) | {"code": code_digest()} | versions()
