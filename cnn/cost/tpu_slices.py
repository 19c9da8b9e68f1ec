"""TPU slices for compilation without hardware, and the peak rates of their chips."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from cnn.config.errors import UserError, did_you_mean
from cnn.training.mesh import mesh_of


@dataclass(frozen=True)
class Chip:
    """Published peaks of one chip (docs.cloud.google.com/tpu/docs, a page for each).

    Attributes:
      operations: per second in bfloat16; a multiply-accumulate is two.
      memory: bytes of HBM.
      bandwidth: of that memory, bytes per second.
      interconnect: bytes per second that leave the chip over all of its links.
    """

    operations: float
    memory: int
    bandwidth: float
    interconnect: float


CHIPS = {
    "v5e": Chip(197e12, 16 * 2**30, 819e9, 200e9),
    "v5p": Chip(459e12, 95 * 2**30, 2765e9, 600e9),
    "v6e": Chip(918e12, 32 * 2**30, 1638e9, 400e9),
}


@dataclass(frozen=True)
class Slice:
    """Chips that train together.

    Attributes:
      name: such as "v5e:4x4".
      mesh: along which the batch is split, of devices to compile for and not to run on.
    """

    name: str
    chip: Chip
    mesh: Mesh


def open_slice(name: str, fsdp: int = 1) -> Slice:
    """Describes a TPU slice to the compiler; needs libtpu, but no TPU.

    Args:
      name: a chip and how many of them lie along each axis, such as "v5e:16x16" or "v5p:2x2x2".
      fsdp: chips that share one copy of the state.

    Raises:
      UserError: there is no such chip or slice, libtpu is not installed, or `fsdp` does not
        divide the chips.
    """
    kind, _, sizes = name.partition(":")
    if kind not in CHIPS:
        raise UserError(f"--topology: unknown chip '{kind}': {did_you_mean(kind, CHIPS)}")
    # `make libtpu` installs it outside of the path on which jax looks for TPUs at every start.
    sys.path.append(str(Path(sys.prefix) / "libtpu"))
    # libtpu would lock out other processes, and ask the services of a TPU host, which is not there.
    for variable, value in (
        ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
        ("TPU_SKIP_MDS_QUERY", "1"),
        ("TPU_ACCELERATOR_TYPE", "v5litepod-1"),
        ("TPU_WORKER_HOSTNAMES", "localhost"),
        ("TPU_WORKER_ID", "0"),
    ):
        os.environ.setdefault(variable, value)
    from jax.experimental import topologies

    # libtpu assumes four chips per host unless configured for one.
    single = {"chips_per_host_bounds": (1, 1, 1)} if set(sizes.split("x")) == {"1"} else {}
    try:
        devices = topologies.get_topology_desc(name, "tpu", **single).devices
    except Exception as error:
        raise UserError(_why_not(name, str(error))) from error
    return Slice(name, CHIPS[kind], mesh_of(np.array(devices).ravel(), fsdp))


def _why_not(name: str, error: str) -> str:
    if "not installed" in error:
        return (
            "--topology: libtpu, which compiles for TPUs, is not installed; on Linux `make libtpu` "
            "installs it"
        )
    return (
        f"--topology: there is no slice '{name}' ({error.strip().splitlines()[0]}); write a chip "
        "and its axes, such as v5e:4x4 or v5p:2x2x2"
    )
