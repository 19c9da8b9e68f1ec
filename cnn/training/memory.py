"""Out-of-memory errors in one sentence: what was requested and what would fit."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from cnn.config.errors import UserError

_UNITS = {"": 1, "bytes": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class OutOfMemoryError(UserError):
    """A device has less memory than a computation needs."""


@contextmanager
def reporting_out_of_memory(config: ConfigDict) -> Iterator[None]:
    """Context that turns out-of-memory errors into one sentence.

    Raises:
      OutOfMemoryError: the memory needed, the memory free, and which field to change.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        # A program of several results says INTERNAL, and the rest in words.
        if not re.search("RESOURCE_EXHAUSTED|Out of memory", str(error)):
            raise
        raise OutOfMemoryError(describe_shortage(str(error), config, _free_bytes())) from error


def check_memory(state: Any, copies: int = 1) -> None:
    """Refuses a state that, with the gradients of a step, exceeds the free memory.

    Checked before anything is allocated, as XLA on CPUs may hang when the allocation of one of
    several results of a program fails.

    Args:
      state: an abstract training state, its shardings known.
      copies: how many of it there will be.

    Raises:
      OutOfMemoryError: it does not fit.
    """
    free = _free_bytes()
    # The devices of a CPU have one memory.
    shared = jax.local_devices()[0].platform == "cpu"
    need = copies * (held_bytes(state, shared) + held_bytes(state.params, shared))
    if free is not None and need > free:
        raise OutOfMemoryError(
            "Out of memory: parameters, gradients, averages and optimizer state take "
            f"{_gib(need)}, but {_gib(free)} are free; use a smaller network"
        )


def held_bytes(arrays: Any, shared: bool = False) -> int:
    """Returns the bytes of arrays on a device, or on all devices of this process together.

    Args:
      arrays: a tree of them, which know their shardings; they may be abstract.
      shared: whether the devices have one memory.
    """
    return sum(
        math.prod(x.sharding.shard_shape(x.shape))
        * x.dtype.itemsize
        * (len(x.sharding.addressable_devices) if shared else 1)
        for x in jax.tree.leaves(arrays)
    )


def describe_shortage(message: str, config: ConfigDict, free: int | None) -> str:
    """Returns the sentence.

    Args:
      message: of the runtime, with the number of bytes that it could not allocate.
      config: of the run.
      free: bytes that the device has left, if that is known.
    """
    found = re.search(r"(?:allocat\w+|request for|[Uu]sed)\D{0,20}?([\d.]+) ?(\w*)", message)
    unit = found and _UNITS.get(found[2])
    need = int(float(found[1]) * unit) if unit else None
    batch, accumulation = config.train.batch_size, config.train.accumulation
    sentence = f"Out of memory: train.batch_size={batch}"
    sentence += f" in {accumulation} micro-batches" * (accumulation > 1)
    sentence += f" needs {_gib(need)} more" if need else " needs more than there is"
    sentence += f", and {_gib(free)} are free" if free is not None else ""
    return f"{sentence}; {_advice(config, need, free)}"


def _advice(config: ConfigDict, need: int | None, free: int | None) -> str:
    batch, accumulation = config.train.batch_size, config.train.accumulation
    more = [a for a in range(accumulation + 1, batch + 1) if batch % a == 0]
    if not more:
        return "use a smaller network or smaller examples"
    # What a step holds grows with the examples of a micro-batch.
    known = need is not None and free is not None
    fitting = [a for a in more if known and need * accumulation / a <= free]
    if known and not fitting:
        return "one example at a time would not fit either; use a smaller network"
    chosen = fitting[0] if fitting else more[0]
    about = f", which needs about {_gib(int(need * accumulation / chosen))}" if need else ""
    return (
        f"try train.accumulation={chosen} (micro-batches of {batch // chosen}{about}), a smaller "
        "train.batch_size, or bfloat16 as model.dtype"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"


def _free_bytes() -> int | None:
    """Returns the free bytes of the first device; on a CPU those of the machine."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if device.platform != "cpu":
        return None
    limits = re.findall(r"(?:MemAvailable|SwapFree):\s+(\d+) kB", _text("/proc/meminfo"))
    free = [1024 * sum(map(int, limits))] if limits else []
    # The limit of a container.
    allowed = _text("/sys/fs/cgroup/memory.max").strip()
    return min([*free, *([int(allowed)] if allowed.isdecimal() else [])], default=None)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
