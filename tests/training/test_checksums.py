"""Checksums of states that devices share in other ways, and what they notice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cnn.training.checksums import checksums, not_finite
from cnn.training.mesh import cut_axis, make_mesh, state_sharding

MODULE = checksums.__module__


def make_parts():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 8, 16)).astype(np.float32)
    return {
        "params": {"kernel": kernel, "tall": kernel.reshape(72, 16), "bias": kernel[0, 0, 0]},
        "ema": {"half": kernel.astype(jnp.bfloat16)},
        "step": np.int32(7),
    }


def placed(parts, mesh):
    return jax.tree.map(lambda x: jax.device_put(x, state_sharding(mesh, np.shape(x))), parts)


@pytest.mark.parametrize(("devices", "fsdp"), [(1, 1), (8, 1), (4, 2), (4, 4), (8, 8)])
def test_they_do_not_depend_on_the_mesh(devices, fsdp):
    parts = make_parts()
    assert checksums(placed(parts, make_mesh(devices, 16, fsdp))) == checksums(parts)


def changes():
    parts = make_parts()
    kernel = parts["params"]["kernel"]
    flipped = kernel.copy()
    flipped.view(np.uint8).reshape(-1)[1000] ^= 1
    swapped = kernel[..., [1, 0, *range(2, 16)]]
    yield "a bit", parts | {"params": parts["params"] | {"kernel": flipped}}
    yield "two slices", parts | {"params": parts["params"] | {"kernel": swapped}}
    yield "a shape", parts | {"params": parts["params"] | {"kernel": kernel.reshape(9, 8, 16)}}
    yield "a type", parts | {"params": parts["params"] | {"kernel": kernel.view(np.int32)}}
    yield "a name", parts | {"params": {"k" + n: x for n, x in parts["params"].items()}}
    yield "one less", parts | {"params": {"kernel": kernel}}


@pytest.mark.parametrize("change", list(changes()), ids=lambda change: change[0])
def test_they_notice_what_is_changed(change):
    wanted, found = checksums(make_parts()), checksums(change[1])
    assert found["params"] != wanted["params"]
    assert found["ema"] == wanted["ema"]


def test_hosts_add_up_what_each_of_them_holds(monkeypatch):
    """Two hosts are played by one process: each in turn is handed the sums of both."""
    parts = make_parts()
    wanted = checksums(parts)
    mesh = make_mesh(4, 16, 4)
    hosts = [mesh.devices.flat[:2], mesh.devices.flat[2:]]

    class Held:
        """An array of four devices as the process of two of them sees it."""

        def __init__(self, array, host):
            self.dtype, self.shape = array.dtype, array.shape
            own = set(hosts[host])
            self.addressable_shards = [s for s in array.addressable_shards if s.device in own]

    def sums(host):
        cut = {"kernel", "tall", "half"}
        arrays = jax.tree_util.tree_map_with_path(
            lambda path, x: Held(x, host) if path[-1].key in cut else x, placed(parts, mesh)
        )
        seen = []
        monkeypatch.setattr(f"{MODULE}.gather", lambda _, own: seen.append(own) or [own])
        monkeypatch.setattr(f"{MODULE}.is_whole", lambda x: not isinstance(x, Held))
        monkeypatch.setattr(f"{MODULE}.is_on_every_host", lambda x: not isinstance(x, Held))
        checksums(arrays)
        return seen[0]

    both = [sums(0), sums(1)]
    assert both[0] != both[1]
    monkeypatch.setattr(f"{MODULE}.gather", lambda name, own: both)
    assert checksums(parts) == wanted
    both[1]["params"] = ("f", both[1]["params"][1])
    assert checksums(parts)["params"].startswith("differs between hosts")


def test_what_is_not_finite_is_named():
    parts = make_parts()
    assert not list(not_finite(parts))
    parts["params"]["bias"] = np.where(np.arange(16) == 5, np.nan, parts["params"]["bias"])
    parts["ema"]["half"] = jnp.full(3, jnp.inf, jnp.bfloat16)
    assert list(not_finite(parts)) == ["['ema']['half']", "['params']['bias']"]


def test_the_longest_axis_is_cut_whatever_the_mesh():
    assert [cut_axis(shape) for shape in [(), (5,), (3, 3, 8, 8), (9, 2), (3, 3, 64, 16)]] == [
        *(None, None),
        *(3, 0, 2),
    ]
    mesh = make_mesh(8, 16, 8)
    assert state_sharding(mesh, (72, 16)) == NamedSharding(mesh, PartitionSpec("fsdp"))
    # What the devices do not divide is whole on each.
    assert state_sharding(mesh, (12, 8)).is_fully_replicated
