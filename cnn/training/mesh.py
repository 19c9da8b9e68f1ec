"""One mesh with named axes; everything that runs on many devices gets its sharding here."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnn.config.errors import UserError

DATA_AXIS = "data"


def make_mesh(devices: int) -> Mesh:
    """Returns a mesh over the first `devices` devices (0: all), along which the batch is split.

    Raises:
      UserError: there are fewer devices.
    """
    available = jax.devices()
    if devices > len(available):
        raise UserError(
            f"mesh.devices: {devices} devices are asked for, but there are {len(available)}; "
            f"set it to 0 (all) or at most {len(available)}"
        )
    chosen = np.array(available[: devices or None])
    # Explicit axes, make_mesh's default, refuse vmapped crops of a sharded batch.
    return Mesh(chosen, (DATA_AXIS,), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays whose first axis is the batch."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays that every device holds whole: parameters, small data sets."""
    return NamedSharding(mesh, PartitionSpec())
