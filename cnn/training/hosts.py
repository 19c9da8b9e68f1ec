"""One run on many hosts: how the processes connect, agree, and end together."""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cnn.config import stop_signals
from cnn.config.entry import number_of
from cnn.config.errors import UserError
from cnn.training.channel import Channel, open_channel

_ABOVE_ALL = 24 * 3600  # seconds: the runtime's own limits, above those of the channel
_MOST_HOSTS = 1 << 16
# Numbers in which the launchers that JAX knows tell a process its place.
_OF_LAUNCHERS = (
    *("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "JAX_COORDINATOR_PORT"),
    *("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "JOB_COMPLETION_INDEX",
)
_channel: Channel | None = None  # of this process, while it belongs to a run of several


@contextmanager
def joined(hosts: str, facts: dict[str, Any]) -> Iterator[None]:
    """Context in which this process shares a run with others; enter it before touching a device.

    When one process ends, all end with the same exit code, and each prints the reason.

    Args:
      hosts: "auto" on Slurm, Open MPI, Kubernetes and TPU pods, which give each process its index;
        else "ADDRESS:PORT,COUNT,INDEX": where process 0 listens, how many processes there are, and
        which of them this is.
      facts: field -> JSON value, that has to be the same on all hosts.

    Raises:
      UserError: the text has neither form, or the processes do not connect within
        $CNN_HOSTS_SECONDS (120), or differ in a fact, or a variable of the launcher is no number.
    """
    global _channel
    address, count, index, devices = _find(hosts)
    wait = number_of("CNN_HOSTS_SECONDS", 120.0)
    _channel, answer = open_channel(address, count, index, facts, wait)
    stop_signals.tell = lambda number: _channel.end(128 + number, "stopped", "stopped")
    try:
        _silence_libraries()
        _be_patient()
        # It would install its own SIGTERM handler.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            f"{address.rpartition(':')[0]}:{answer['port']}",
            count,
            index,
            local_device_ids=devices,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=_ABOVE_ALL,
            shutdown_timeout_seconds=30,
        )
        _connect_devices()
        yield
        _channel.gather("done")
        jax.distributed.shutdown()
        _channel.close()
    except BaseException as error:
        _end(error)
    finally:
        stop_signals.tell, _channel = None, None


def _find(hosts: str) -> tuple[str, int, int, list[int] | None]:
    """Returns where process 0 listens, the number of processes, which this is, and its devices."""
    if match := re.fullmatch(r"(\S+:\d+),(\d+),(\d+)", hosts):
        found = match[1], int(match[2]), int(match[3]), None
    elif hosts == "auto":
        found = _launched()
    else:
        raise UserError(f"--hosts: '{hosts}' is neither 'auto' nor 'ADDRESS:PORT,COUNT,INDEX'")
    address, count, index, _ = found
    if count > _MOST_HOSTS:
        raise UserError(
            f"--hosts: '{hosts}': {count:,} hosts are more than the {_MOST_HOSTS:,} that a run can "
            "have; give the number of processes"
        )
    if index >= count or int(address.rpartition(":")[2]) > 65535:
        raise UserError(
            f"--hosts: '{hosts}': ports go up to 65535, and hosts count from 0, so "
            f"the last of {count} is {count - 1}"
        )
    return found


def _launched() -> tuple[str, int, int, list[int] | None]:
    """Returns what the launcher of this process says of it; see `_find`."""
    for variable in _OF_LAUNCHERS:
        number_of(variable, 0)
    from jax._src.clusters import ClusterEnv

    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 120)
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, ImportError) as error:
        said = str(error).partition("\n")[0]
        raise UserError(
            f"--hosts: auto cannot read what the launcher of this process says ({said}); give "
            "ADDRESS:PORT,COUNT,INDEX"
        ) from error
    if None in found[:3]:
        raise UserError(
            "--hosts: auto found no Slurm, Open MPI, Kubernetes or TPU pod here; give "
            "ADDRESS:PORT,COUNT,INDEX"
        )
    return found


def _be_patient() -> None:
    """Synchronises CPU hosts, since one may compile for longer than another.

    XLA itself gives up after 30 to 40 seconds with a stack trace; the channel knows which
    process is gone.
    """
    given = os.environ.get("XLA_FLAGS", "")
    names = [f"xla_cpu_collective_{of}_seconds" for of in ("timeout", "call_terminate_timeout")]
    flags = [f"--{name}={_ABOVE_ALL}" for name in names if name not in given]
    os.environ["XLA_FLAGS"] = " ".join([given, *flags])


def _connect_devices() -> None:
    """Connects all devices now, while no host is busy compiling.

    On CPUs a host waits 30 seconds, and no flag changes that, for another to come to the first
    collective of a group of devices; later ones may take as long as they like.
    """
    _channel.gather("devices")
    multihost_utils.sync_global_devices("devices")
    devices = jax.devices()
    mesh = Mesh(np.array(devices), ("all",), axis_types=(AxisType.Auto,))
    ones = jax.make_array_from_callback(
        (len(devices),), NamedSharding(mesh, PartitionSpec("all")), lambda _: np.ones(1, np.float32)
    )
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))(ones)
    jax.block_until_ready(total)


def _silence_libraries() -> None:
    """Silences what C++ libraries write to the terminal.

    They log every connection, and print stack traces when a host is lost.
    $TF_CPP_MIN_LOG_LEVEL=0 shows all of it.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        stream.flush()
        own = os.fdopen(
            os.dup(number), "w", buffering=1, encoding=stream.encoding, errors=stream.errors
        )
        setattr(sys, name, own)
        os.dup2(nowhere, number)


def _end(error: BaseException) -> NoReturn:
    # A lost host breaks the computation of the others; then the loss is the reason to report.
    _channel.heard(1.0)
    if isinstance(error, UserError):
        _channel.end(2, " ".join(str(error).split()))
    summary = f"{type(error).__name__}: {error}".splitlines()[0]
    _channel.end(1, summary, "".join(traceback.format_exception(error)).rstrip())


def is_first() -> bool:
    """Whether this process is the one that writes files and prints."""
    return _channel.index == 0 if _channel else jax.process_index() == 0


def wait_for_all(point: str) -> None:
    """Waits until every process has come to the same point."""
    gather(point)


def gather(point: str, value: Any = None) -> list[Any]:
    """Waits for every process; returns their JSON values in order."""
    return _channel.gather(point, value) if _channel else [value]


def channel() -> Channel | None:
    """Returns the connections to the other processes, None where there are none."""
    return _channel
