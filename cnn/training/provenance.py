"""Provenance of a result: library versions, hardware and the commit of the code."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import jax

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets")


@cache
def provenance() -> dict[str, str | int | dict[str, str]]:
    """Returns {"versions", "device", "devices", "cpu", "cores", "commit", "xla_flags"}."""
    return {
        "versions": versions(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cpu": _cpu(),
        "cores": usable_cores(),
        "commit": _commit(),
        "xla_flags": os.environ.get("XLA_FLAGS", "").strip(),
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that affect a run's metrics."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def code_digest() -> str:
    """Returns 16 hexadecimal digits that name the content of this package, committed or not."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)} {file.stat().st_size} ".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def usable_cores() -> int:
    """Returns how many cores this process may run on."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """Returns the commit of the code, with "+" if files differ from it, or "" outside git."""
    root = Path(__file__).parents[2]
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--abbrev=12",
        "--dirty=+",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
