"""One mesh with named axes; everything that runs on many devices gets its sharding here."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnn.config.errors import UserError
from cnn.training.provenance import usable_cores

DATA_AXIS = "data"
REPLICA_AXIS = "replica"
# Below this many examples a core what the cores tell each other costs more than sharing gains.
_LEAST_SHARE = 32


def count_cores_as_devices() -> None:
    """Makes every core of this process a device, where the devices turn out to be CPUs.

    XLA runs many convolutions in one thread, so cores that share the batch beat cores that share an
    operation (`benchmarks/NOTES.md`). It has to be said before the first computation;
    `--xla_force_host_platform_device_count` in $XLA_FLAGS says otherwise.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", usable_cores())


def make_mesh(devices: int, examples: int) -> Mesh:
    """Returns a mesh along which the batch is split.

    Args:
      devices: how many, from the first on; 0: all accelerators, or as many of a single host's cores
        as divide the batch and have `_LEAST_SHARE` examples of it each.
      examples: of a batch in training, or of a micro-batch.

    Raises:
      UserError: there are fewer devices.
    """
    available = jax.devices()
    if devices > len(available):
        raise UserError(
            f"mesh.devices: {devices} devices are asked for, but there are {len(available)}; "
            f"set it to 0 (all) or at most {len(available)}"
        )
    if not devices and available[0].platform == "cpu" and jax.process_count() == 1:
        fitting = (n for n in range(1, len(available) + 1) if examples % n == 0)
        devices = max(n for n in fitting if n == 1 or examples // n >= _LEAST_SHARE)
    chosen = np.array(available[: devices or None])
    # Explicit axes, make_mesh's default, refuse vmapped crops of a sharded batch.
    return Mesh(chosen, (DATA_AXIS,), axis_types=(AxisType.Auto,))


def make_replica_mesh(replicas: int) -> Mesh:
    """Returns a mesh over as many devices as hold the same number of replicas each."""
    available = jax.devices()
    count = max(n for n in range(1, len(available) + 1) if replicas % n == 0)
    return Mesh(np.array(available[:count]), (REPLICA_AXIS,), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays whose first axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays that every device holds whole: parameters, small data sets."""
    return NamedSharding(mesh, PartitionSpec())


def abstract(make: Callable[..., Any], *arguments: Any, sharding: NamedSharding) -> Any:
    """Returns the shapes, dtypes and shardings of what a function would make, without making it."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(make, *arguments),
    )
