"""Assigns GPUs to workers: JAX takes all visible GPUs, and most of their memory."""

import os
from collections.abc import Mapping
from pathlib import Path

# Nvidia's driver lists each GPU here; asking JAX would reserve the GPUs for this process.
_LISTED = Path("/proc/driver/nvidia/gpus")


def visible_gpus(environment: Mapping[str, str] = os.environ, listed: Path = _LISTED) -> list[str]:
    """Returns the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Args:
      environment: CUDA_VISIBLE_DEVICES may select among them, and JAX_PLATFORMS exclude them.
      listed: folder with an entry per GPU of the machine.
    """
    platforms = environment.get("JAX_PLATFORMS", "cuda")
    if "cuda" not in platforms and "gpu" not in platforms:
        return []
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        # CUDA ignores everything after the first invalid entry.
        names = [name.strip() for name in chosen.split(",")]
        return names[: names.index("-1")] if "-1" in names else [name for name in names if name]
    return [str(i) for i in range(len(list(listed.iterdir())))] if listed.is_dir() else []


def gpu_of_worker(worker: int, workers: int, gpus: list[str]) -> dict[str, str]:
    """Returns the variables that give a worker its GPU, or its share of one; {} without GPUs.

    Args:
      worker: from 0.
      workers: of this machine.
      gpus: that they share.
    """
    if not gpus:
        return {}
    variables = {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]}
    together = -(-workers // len(gpus))
    if together > 1:
        # JAX preallocates three quarters of a GPU's memory, even if it is shared.
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / together:.3f}"
    return variables
