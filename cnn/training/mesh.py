"""One mesh with named axes; everything that runs on many devices gets its sharding here."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.training.provenance import usable_cores

DATA_AXIS = "data"
FSDP_AXIS = "fsdp"
REPLICA_AXIS = "replica"
# With fewer examples per core, communication costs more than sharing the batch saves.
_LEAST_SHARE = 32


def count_cores_as_devices() -> None:
    """Makes every core of this process a device if the backend is the CPU.

    XLA runs many convolutions in one thread, so cores that share the batch beat cores that share an
    operation (`benchmarks/NOTES.md`). It must be set before the first computation;
    `--xla_force_host_platform_device_count` in $XLA_FLAGS overrides it.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", usable_cores())


def check_platform() -> None:
    """Raises `UserError` if JAX finds no device, or none of those $JAX_PLATFORMS asks for."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        what = "JAX finds no device here; set JAX_PLATFORMS=cpu to use the CPU"
        if asked := os.environ.get("JAX_PLATFORMS"):
            what = (
                f"JAX_PLATFORMS: JAX finds no device of '{asked}' here; unset it, or install what "
                "it needs, such as jax[cuda13] for cuda"
            )
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{what}; JAX says: {reason}" if reason else what) from error


def make_mesh(devices: int, examples: int, fsdp: int = 1) -> Mesh:
    """Returns a mesh along which the batch is split, and along its axis "fsdp" the state too.

    Args:
      devices: how many, from the first on; 0: all accelerators, or as many of a single host's cores
        as divide the batch and have `_LEAST_SHARE` examples of it each.
      examples: of a batch in training, or of a micro-batch.
      fsdp: devices that share one copy of the state, see `state_sharding`; 1: each has its own.

    Raises:
      UserError: there are fewer devices, or `fsdp` does not divide their number.
    """
    available = jax.devices()
    if devices > len(available):
        raise UserError(
            f"mesh.devices: {devices} devices are requested, but {len(available)} are available; "
            f"set it to 0 (all) or at most {len(available)}"
        )
    if not devices and available[0].platform == "cpu" and jax.process_count() == 1:
        fitting = (n for n in range(fsdp, len(available) + 1, fsdp) if examples % n == 0)
        shared = (n for n in fitting if n == 1 or examples // n >= _LEAST_SHARE)
        devices = max(shared, default=fsdp)
    return mesh_of(available[: devices or None], fsdp)


def unused_devices(mesh: Mesh, requested: int) -> str:
    """Why a mesh of `make_mesh` has fewer devices than there are, in brackets; "" if it has all."""
    available = jax.device_count()
    if mesh.size == available:
        return ""
    if requested:
        return f" (of {available}: mesh.devices={requested})"
    return (
        f" (of {available}: the most that divide the batch and get {_LEAST_SHARE} examples or more)"
    )


def mesh_of(devices: Sequence[Any], fsdp: int = 1) -> Mesh:
    """Returns the mesh over given devices, of which `fsdp` share one copy of the state.

    Raises:
      UserError: `fsdp` does not divide their number.
    """
    chosen = np.array(devices)
    # Explicit axes, make_mesh's default, refuse vmapped crops of a sharded batch.
    if fsdp == 1:
        return Mesh(chosen, (DATA_AXIS,), axis_types=(AxisType.Auto,))
    if chosen.size % fsdp:
        raise UserError(
            f"mesh.fsdp: {fsdp} does not divide the {chosen.size} devices; set it to a "
            "divisor, or mesh.devices to a multiple"
        )
    axes = DATA_AXIS, FSDP_AXIS
    return Mesh(chosen.reshape(-1, fsdp), axes, axis_types=(AxisType.Auto,) * 2)


def fit_mesh(config: ConfigDict) -> str:
    """Replaces a run's mesh by one over all devices here if they cannot form it.

    For evaluation, whose results do not depend on the mesh; training keeps to its config.

    Returns:
      What was replaced, in a sentence; "": the devices here form the run's mesh.
    """
    section, available = config.mesh, len(jax.devices())
    asked = f"mesh.devices={section.devices}, mesh.fsdp={section.fsdp}"
    try:
        make_mesh(section.devices, config.train.batch_size, section.fsdp)
    except UserError:
        with config.unlocked():
            section.devices, section.fsdp = 0, math.gcd(section.fsdp, available)
        are = "1 device is" if available == 1 else f"{available} devices are"
        instead = f"evaluated with mesh.fsdp={section.fsdp}"
        return f"the run used {asked}; {are} available here: {instead}"
    return ""


def make_replica_mesh(replicas: int) -> Mesh:
    """Returns a mesh over the largest number of devices that hold equally many replicas."""
    available = jax.devices()
    count = max(n for n in range(1, len(available) + 1) if replicas % n == 0)
    return Mesh(np.array(available[:count]), (REPLICA_AXIS,), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays whose first axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays that every device holds whole, such as small data sets."""
    return NamedSharding(mesh, PartitionSpec())


def cut_axis(shape: tuple[int, ...]) -> int | None:
    """Returns the axis along which an array of a state can be cut, on whatever mesh.

    It is the longest of several, and of equals the last: the output channels. None: what has one
    axis or none is whole on every device.
    """
    if len(shape) < 2:
        return None
    return max(range(len(shape)), key=lambda axis: (shape[axis], axis))


def state_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """The sharding of the arrays of a state: kernels, their momenta and averages are sharded.

    They are cut at `cut_axis` along the mesh's axis "fsdp" where that divides it.
    """
    parts, axis = mesh.shape.get(FSDP_AXIS, 1), cut_axis(shape)
    if parts == 1 or axis is None or shape[axis] % parts:
        return replicated(mesh)
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, FSDP_AXIS))


def abstract_state(init: Callable[[Any], Any], mesh: Mesh) -> Any:
    """Returns the shapes, dtypes and shardings of the initial state.

    Nothing is computed: what does not fit is found by tracing.
    """
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=state_sharding(mesh, x.shape)),
        jax.eval_shape(init, np.uint32(0)),
    )


def new_state(init: Callable[[Any], Any], mesh: Mesh, seed: Any) -> Any:
    """Returns the initial state of a seed, its arrays created with their final sharding."""
    return jax.jit(init, out_shardings=shardings_of(abstract_state(init, mesh)))(seed)


def shardings_of(state: Any) -> Any:
    """Returns the shardings of the arrays of a state."""
    return jax.tree.map(lambda x: x.sharding, state)
