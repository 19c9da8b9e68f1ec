import gc
import threading
import time
import tracemalloc

import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import ArraySplit, load_batch, make_eval_feed, make_feed
from cnn.data.order import batch_indices

STEPS = 9  # at 16 examples, more than two epochs of 53

loaded = jax.jit(load_batch)


def train_batches(split, data, shardings, devices=1, start=0, **changes):
    data.update(changes)
    feed = make_feed(split, data, *shardings(devices), batch_size=16, seed=5)
    return [jax.device_get(loaded(feed.arrays, batch)) for batch in feed.batches(start, STEPS)]


@pytest.fixture(scope="module")
def expected(split):
    indices = [batch_indices(5, step, 16, len(split)) for step in range(STEPS)]
    return [dict(zip(("input", "label"), split.read(i), strict=True)) for i in indices]


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert batch.keys() == wanted.keys()
        for name, value in wanted.items():
            assert batch[name].dtype == value.dtype
            np.testing.assert_array_equal(batch[name], value)


@pytest.mark.parametrize("devices", [1, 8])
def test_resident_batches_are_those_of_the_order(split, data, shardings, expected, devices):
    assert_same(train_batches(split, data, shardings, devices, placement="device"), expected)


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("devices", [1, 8])
def test_streamed_batches_are_the_same(split, data, shardings, expected, workers, devices):
    batches = train_batches(
        split, data, shardings, devices, placement="stream", workers=workers, prefetch=workers
    )
    assert_same(batches, expected)


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_a_run_continues_where_it_stopped(split, data, shardings, expected, placement):
    batches = train_batches(split, data, shardings, start=6, placement=placement)
    assert_same(batches, expected[6:])


def test_resident_batches_go_on_beyond_those_placed_at_once(split, data, shardings):
    """From within one block of placed indices over two more, and no further."""
    data.placement = "device"
    feed = make_feed(split, data, *shardings(8), batch_size=16, seed=5)
    indices = [np.asarray(batch["index"]) for batch in feed.batches(30, 101)]
    wanted = [batch_indices(5, step, 16, len(split)) for step in range(30, 101)]
    np.testing.assert_array_equal(indices, wanted)


def test_auto_goes_by_size(data, shardings):
    def arrays(num_examples):
        images = np.zeros((num_examples, 32, 32, 1), np.uint8)
        split = ArraySplit(images, np.zeros(num_examples, np.int32), ("a",))
        return make_feed(split, data, *shardings(1), batch_size=16, seed=0).arrays

    data.device_limit = 1
    assert arrays(1024)["input"].shape == (1024, 32, 32, 1)
    assert arrays(1025) == ()


class FakeSplit(ArraySplit):
    """Decodes as slowly, and fails, as it is told."""

    def __init__(self, num_examples=4000, seconds=0.0, fails_at=-1, side=4):
        images = np.zeros((num_examples, side, side, 1), np.uint8)
        super().__init__(images, np.arange(num_examples), tuple(map(str, range(num_examples))))
        self.seconds, self.fails_at, self.reads = seconds, fails_at, 0

    def read(self, indices, crops=None):
        self.reads += 1
        time.sleep(self.seconds)
        if self.fails_at in indices:
            raise UserError("/images/broken.png: not a readable image")
        return super().read(indices, crops)


def decoding_threads():
    return [t for t in threading.enumerate() if t.name.startswith("decode")]


def stream(split, data, shardings):
    data.placement = "stream"
    return make_feed(split, data, *shardings(1), batch_size=32, seed=0)


def test_an_error_surfaces_at_its_batch_and_leaves_no_thread(data, shardings):
    failing = int(batch_indices(0, 3, 32, 4000)[0])
    batches = stream(FakeSplit(fails_at=failing), data, shardings).batches(0, 10)
    for _ in range(3):
        next(batches)
    with pytest.raises(UserError, match=r"broken\.png"):
        next(batches)
    assert not decoding_threads()


def test_an_error_while_a_split_is_made_resident_ends_the_reading(data, shardings):
    split = FakeSplit(seconds=0.01, fails_at=5)
    data.placement, data.workers = "device", 1
    with pytest.raises(UserError, match=r"broken\.png"):
        make_feed(split, data, *shardings(1), batch_size=32, seed=0)
    assert split.reads <= 2  # of eight


def test_closing_stops_the_threads_and_the_work(data, shardings):
    split = FakeSplit(seconds=0.01)
    batches = stream(split, data, shardings).batches(0, 100)
    next(batches)
    assert decoding_threads()
    batches.close()
    assert not decoding_threads()
    assert split.reads <= 1 + data.prefetch + 1


def test_decoding_ahead_is_bounded(data, shardings):
    split = FakeSplit()
    batches = stream(split, data, shardings).batches(0, 100)
    for consumed in range(1, 20):
        next(batches)
        time.sleep(0.005)
        assert split.reads <= consumed + data.prefetch
    batches.close()


def test_memory_is_flat_while_streaming(data, shardings):
    batches = stream(FakeSplit(num_examples=320, side=64), data, shardings).batches(0, 400)
    peaks = []
    tracemalloc.start()
    for step, _ in enumerate(batches):
        if step in (50, 399):
            gc.collect()
            peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10 * 32 * 64 * 64  # 350 batches came and went


@pytest.mark.parametrize("placement", ["device", "stream"])
@pytest.mark.parametrize(("batch_size", "devices"), [(16, 1), (53, 1), (60, 8), (7, 8), (1, 2)])
def test_evaluation_shows_every_example_once(
    split, data, shardings, placement, batch_size, devices
):
    data.placement = placement
    feed = make_eval_feed(split, data, shardings(devices)[0], batch_size)
    batches = [jax.device_get(loaded(feed.arrays, batch)) for batch in feed.batches()]
    assert len(batches) == -(-53 // batch_size)
    assert len({batch["input"].shape for batch in batches}) == 1
    # A small split is padded to a multiple of the devices, not to the batch size.
    assert len(batches[0]["mask"]) == -(-min(batch_size, 53) // devices) * devices
    assert {batch["mask"].dtype for batch in batches} == {np.dtype(np.float32)}
    counted = [batch["mask"] == 1 for batch in batches]
    assert all(set(np.unique(batch["mask"])) <= {0.0, 1.0} for batch in batches)
    images, labels = split.read(np.arange(53))
    for name, wanted in (("input", images), ("label", labels)):
        parts = [batch[name][mask] for batch, mask in zip(batches, counted, strict=True)]
        np.testing.assert_array_equal(np.concatenate(parts), wanted)
