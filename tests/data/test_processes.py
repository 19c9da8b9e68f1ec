import os
import socket
import subprocess
import sys

PROGRAM = """
import sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from cnn.data import ArraySplit, load_batch, make_eval_feed, make_feed
from cnn.data.order import batch_indices
from configs.base import get_config

jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
mesh = Mesh(np.array(jax.devices()), ("batch",))
shardings = NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())

class Counting(ArraySplit):
    decoded = 0
    def read(self, indices, crops=None):
        Counting.decoded += len(indices)
        return super().read(indices, crops)

images = np.random.default_rng(0).integers(0, 256, (21, 3, 2, 1), dtype=np.uint8)
split = Counting(images, np.arange(21), tuple(map(str, range(21))))
data = get_config().data
for data.placement in ("stream", "device"):
    feed = make_feed(split, data, *shardings, batch_size=8, seed=4)
    for step, batch in enumerate(feed.batches(0, 5)):
        shown = jax.jit(load_batch)(feed.arrays, batch)
        wanted = batch_indices(4, step, 8, 21)
        assert shown["input"].shape == (8, 3, 2, 1)
        for name, values in (("input", images[wanted]), ("label", wanted)):
            for shard in shown[name].addressable_shards:
                np.testing.assert_array_equal(shard.data, values[shard.index])
    if data.placement == "stream":
        assert Counting.decoded == 5 * 4, Counting.decoded
    feed = make_eval_feed(split, data, shardings[0], 6)
    seen = []
    for batch in feed.batches():
        shown = jax.jit(load_batch)(feed.arrays, batch)
        for mask, label in zip(*(shown[k].addressable_shards for k in ("mask", "label"))):
            seen += np.asarray(label.data)[np.asarray(mask.data) == 1].tolist()
    print(data.placement, *seen)
"""


def test_each_process_decodes_its_own_part_of_the_same_batches(repository):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(repository),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    for line, placement in enumerate(("stream", "device")):
        parts = [out.splitlines()[line].split() for out, _ in outputs]
        assert [part[0] for part in parts] == [placement, placement]
        seen = sorted(int(label) for part in parts for label in part[1:])
        assert seen == list(range(21))
