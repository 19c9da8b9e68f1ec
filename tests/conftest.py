"""Eight fake devices, one folder of compiled programs for all processes, and tiny runs."""

import os
import signal
import tempfile
from pathlib import Path

# Before jax starts: the flag is read once.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    # A third less time to compile; what is computed here is small.
    + " --xla_backend_optimization_level=0"
)
os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"cnn-tests-{os.getuid()}")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import pytest
from ml_collections import ConfigDict

from cnn.config.load import apply_override
from configs import base

# Started in the background, the tests would hand their children a Ctrl-C that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]

# A network, a data set and a duration that train in a second.
TINY = (
    "data.source=synthetic",
    "data.synthetic_shape=8,8,3",
    "data.synthetic_examples=72,37",
    "data.synthetic_classes=7",
    "data.validation=10 examples",
    "model.name=plain",
    "model.features=4,6",
    "train.batch_size=16",
    "train.duration=12 steps",
    "evaluation.every=4 steps",
    "evaluation.batch_size=16",
    "checkpoint.every=3 steps",
    "log.every=2 steps",
    "mesh.devices=1",
)


def tiny_config(*overrides: str) -> ConfigDict:
    """Returns a config that trains in a second, with overrides."""
    config = base.get_config()
    for text in (*TINY, *overrides):
        apply_override(config, text)
    return config


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY
