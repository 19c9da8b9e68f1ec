import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn.data.order import Order, batch_indices, epoch_permutation


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    num_examples=st.integers(1, 40),
    batch_size=st.integers(1, 90),
    epochs=st.integers(1, 4),
)
def test_every_example_is_seen_once_an_epoch(seed, num_examples, batch_size, epochs):
    steps = -(-epochs * num_examples // batch_size)
    seen = np.concatenate(
        [batch_indices(seed, step, batch_size, num_examples) for step in range(steps)]
    )
    for epoch in range(epochs):
        part = seen[epoch * num_examples : (epoch + 1) * num_examples]
        np.testing.assert_array_equal(np.sort(part), np.arange(num_examples))


def test_a_batch_is_int32_and_does_not_depend_on_those_before_it():
    order = Order(3, 100)
    first = [order.batch(step, 32) for step in range(20)]
    alone = batch_indices(3, 17, 32, 100)
    np.testing.assert_array_equal(alone, first[17])
    assert alone.dtype == np.int32


def test_epochs_and_seeds_differ():
    orders = {tuple(epoch_permutation(seed, epoch, 50)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_every_place_is_equally_likely():
    where = np.array([np.argmax(epoch_permutation(seed, 0, 8) == 0) for seed in range(4000)])
    counts = np.bincount(where, minlength=8)
    # 500 expected, standard deviation 21.
    assert abs(counts - 500).max() < 105


def test_the_order_is_pinned():
    # Another NumPy, machine or Python must not change what a seed means.
    np.testing.assert_array_equal(batch_indices(0, 1, 6, 10), [6, 7, 4, 9, 2, 7])


def test_an_epoch_is_shuffled_once_however_many_runs_take_turns(monkeypatch):
    shuffled = []

    def count(seed, epoch, num_examples):
        shuffled.append((seed, epoch))
        return epoch_permutation(seed, epoch, num_examples)

    monkeypatch.setattr("cnn.data.order.epoch_permutation", count)
    orders = [Order(seed, 40) for seed in range(9)]
    for step in range(12):
        for order in orders:
            order.batch(step, 10)
    assert sorted(shuffled) == [(seed, epoch) for seed in range(9) for epoch in range(3)]


def test_repeated_examples_follow_each_other_whatever_the_batches():
    plain = np.concatenate([Order(7, 10).batch(step, 10) for step in range(6)])
    for batch_size in (3, 4, 10):
        order = Order(7, 10, repeats=3)
        seen = np.concatenate([order.batch(step, batch_size) for step in range(60 // batch_size)])
        np.testing.assert_array_equal(seen, np.repeat(plain, 3)[: len(seen)])
