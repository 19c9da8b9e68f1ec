import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from cnn.data import ArraySplit
from configs.base import get_config


@pytest.fixture
def data() -> ConfigDict:
    """The data section of the default config."""
    return get_config().data


@pytest.fixture
def augment() -> ConfigDict:
    """The augment section of the default config."""
    return get_config().augment


@pytest.fixture(scope="session")
def split() -> ArraySplit:
    """53 random images; the label of image i is i, so that a label tells which image it is."""
    images = np.random.default_rng(1).integers(0, 256, (53, 6, 5, 3), dtype=np.uint8)
    return ArraySplit(images, np.arange(53), tuple(map(str, range(53))))


@pytest.fixture(scope="session")
def shardings():
    """Maps a number of devices to the sharding of a batch and the replicated one."""

    def make(devices: int) -> tuple[NamedSharding, NamedSharding]:
        mesh = Mesh(np.array(jax.devices()[:devices]), ("batch",))
        return NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())

    return make
