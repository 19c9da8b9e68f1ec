"""Shift measurements against float64 loops, exact oracles and classifiers of known behaviour."""

from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.model_under_test import places, sample
from cnn.evaluation.shift import scores
from cnn.evaluation.shift.exhaustive import measure_all_shifts
from cnn.evaluation.shift.moves import crop, fourier_shift, roll
from cnn.evaluation.shift.probe import measure_shifts
from cnn.evaluation.shift.protocols import (
    circular_grid,
    circular_pairs,
    crop_pairs,
    diagonal,
    fractional_grid,
    square,
)
from cnn.evaluation.shift.suite import protocols_for
from tests.evaluation.models import CLASSES, function_under_test, network_under_test, random_split

SIZE = 8


def last(measured):
    *_, (_, results) = measured
    return results


def constant(variables, x):
    return jnp.broadcast_to(jnp.eye(CLASSES)[1], (len(x), CLASSES))


def corner(variables, x):
    """Class 1 where the pixel at the top left is bright, which depends on absolute position."""
    bright = x[:, 0, 0, 0] > 0.5
    return jax.nn.one_hot(bright.astype(int), CLASSES)


@pytest.fixture(scope="module")
def split():
    return random_split(11, SIZE)


def test_moves_agree_with_numpy():
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 2)).astype(np.float32)
    offsets = np.array([[0, 0], [2, -1], [-7, 9]], np.int32)
    corners = np.array([[0, 0], [1, 2], [2, 1]], np.int32)
    rolled, cut = jax.jit(lambda x: (roll(x, offsets), crop(x, corners, 4, 3)))(x)
    for i in range(3):
        np.testing.assert_array_equal(rolled[i], np.roll(x[i], offsets[i], (0, 1)))
        top, left = corners[i]
        np.testing.assert_array_equal(cut[i], x[i, top : top + 4, left : left + 3])


@pytest.mark.parametrize("n", [6, 7])
def test_fourier_shift_moves_waves_exactly_and_whole_pixels_as_roll(n):
    offsets = np.array([[0.3, -1.75], [1, -2], [0.5, 31 * n + 0.25]])
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")

    def wave(down, right):
        return np.cos(2 * np.pi * ((i - down) + 2 * (j - right)) / n) + 0.5

    x = np.stack([wave(0, 0)] * 3)[..., None].astype(np.float32)
    shifted = np.asarray(jax.jit(fourier_shift)(x, offsets))
    for got, (down, right) in zip(shifted, offsets, strict=True):
        np.testing.assert_allclose(got[..., 0], wave(down, right), atol=1e-4)
    noise = np.random.default_rng(0).standard_normal((3, n, n, 1)).astype(np.float32)
    whole = np.array([[0, 0], [3, -4], [100, 1]])
    got = jax.jit(fourier_shift)(noise, whole.astype(np.float32))
    np.testing.assert_allclose(got, roll(noise, whole), atol=2e-6)


def test_scores_agree_with_loops():
    rng = np.random.default_rng(1)
    predictions, labels = rng.integers(0, 3, (7, 5)), rng.integers(0, 3, 5)
    probabilities = rng.random((7, 5))
    grid = scores.grid_scores(predictions, labels)
    path = scores.path_scores(predictions, probabilities)
    pairs = scores.pair_scores(predictions[:6].reshape(3, 2, 5))
    for b in range(5):
        p = predictions[:, b]
        both = list(product(p, p))
        assert grid["consistency"][b] == pytest.approx(np.mean([u == v for u, v in both]))
        right = [u == v == labels[b] for u, v in both]
        assert grid["joint"][b] == pytest.approx(np.mean(right))
        assert grid["accuracy"][b] == pytest.approx(np.mean([u == labels[b] for u in p]))
        assert grid["worst_case"][b] == all(u == labels[b] for u in p)
        assert grid["stable"][b] == (len(set(p)) == 1)
        assert path["flips"][b] == sum(u != v for u, v in pairwise(p))
        mean = sum(probabilities[:, b]) / 7
        variance = sum((q - mean) ** 2 for q in probabilities[:, b]) / 7
        assert path["deviation"][b] == pytest.approx(variance**0.5)
        agreements = [p[0] == p[1], p[2] == p[3], p[4] == p[5]]
        assert pairs["consistency"][b] == pytest.approx(np.mean(agreements))


def test_intervals():
    # Wilson for 8 of 10 at 95 %: Newcombe, Statistics in Medicine 1998, gives such to 4 digits.
    np.testing.assert_allclose(scores.wilson(0.8, 10), (0.4902, 0.9433), atol=1e-4)
    assert scores.wilson(1.0, 50)[1] == 1.0
    assert scores.wilson(0.0, 50)[0] == 0.0
    # With clusters of one size it is Student's interval of their means.
    low, high = scores.clustered([0.4, 0.5, 0.9], [8, 8, 8])
    half = 4.302653 * np.std([0.4, 0.5, 0.9], ddof=1) / 3**0.5
    assert (low, high) == (max(0, 0.6 - half), pytest.approx(min(1, 0.6 + half)))
    assert scores.clustered([0.4], [8]) is None


def test_aps_gives_one_answer_for_all_shifts_and_max_pooling_does_not(split):
    common = ("model.name=plain", "model.features=6,8", "model.padding=CIRCULAR", "model.head=avg")
    aps = network_under_test(*common, "model.downsample=aps", split=split)
    answers = last(measure_all_shifts(aps, 6, 32))
    assert answers["count"] == 6
    assert len(answers["shifts"]) == SIZE**2
    assert answers["consistency"] == answers["stable"] == 1.0
    plain = network_under_test(*common, "model.downsample=max", split=split)
    assert last(measure_all_shifts(plain, 6, 32))["stable"] < 1.0


def test_a_constant_classifier_is_consistent_by_every_protocol(split):
    model = function_under_test(constant, split)
    protocols, left_out = protocols_for(model)
    assert not left_out
    results = last(measure_shifts(model, protocols))
    share = float((split.read(np.arange(11))[1] == 1).mean())
    for name, found in results.items():
        assert found["count"] == 11
        assert found["consistency"] == 1.0, name
        if "worst_case" in found:
            assert found["worst_case"] == pytest.approx(share)
            assert found["accuracy_at"] == pytest.approx([share] * len(found["shifts"]))
    assert results["diagonal"]["flips"] == 0


def test_a_classifier_of_absolute_position_gives_what_can_be_computed(split):
    images, labels = split.read(np.arange(11))
    shifts = square(np.arange(-1, 2), np.arange(-2, 3))
    protocols = {
        "grid": circular_grid(shifts, "a grid"),
        "path": diagonal((SIZE, SIZE), 3),
        "per batch": crop_pairs((SIZE, SIZE), 3, shared=True, passes=4),
        "per image": circular_pairs(2, shared=False, passes=4),
    }
    results = last(measure_shifts(function_under_test(corner, split, 4), protocols))
    bright = images[..., 0] > 127.5
    table = np.stack([bright[:, -i % SIZE, -j % SIZE] for i, j in shifts]).astype(int)
    expected = scores.grid_scores(table, labels)
    for name, values in expected.items():
        assert results["grid"][name] == pytest.approx(values.mean())
    assert results["grid"]["accuracy_at"] == pytest.approx((table == labels).mean(1).tolist())
    steps = np.stack([bright[:, k, k] for k in range(4)]).astype(int)
    flips = (steps[1:] != steps[:-1]).sum(0).mean()
    assert results["path"]["flips"] == pytest.approx(flips)
    agreed = []
    for start in range(0, 11, 4):
        rows = slice(start, min(start + 4, 11))
        for first, second in protocols["per batch"].offsets(start, 4).reshape(4, 2, 4, 2):
            assert (first == first[0]).all()
            agreed.append(bright[rows][:, *first[0]] == bright[rows][:, *second[0]])
    assert results["per batch"]["consistency"] == pytest.approx(np.concatenate(agreed).mean())


def test_sampled_pairs_estimate_the_grid_and_ignore_the_batch_size(split):
    grid = circular_grid(square(np.arange(-2, 2), np.arange(-2, 2)), "as the pairs")
    pairs = circular_pairs(2, shared=False, passes=60)
    both = {"grid": grid, "pairs": pairs}
    one = last(measure_shifts(function_under_test(corner, split, 11), both))
    other = last(measure_shifts(function_under_test(corner, split, 4), {"pairs": pairs}))
    assert one["pairs"]["consistency"] == pytest.approx(other["pairs"]["consistency"])
    # 660 pairs: four standard errors are below 0.08.
    assert one["pairs"]["consistency"] == pytest.approx(one["grid"]["consistency"], abs=0.08)
    low, high = one["grid"]["consistency_interval"]
    assert low < one["grid"]["consistency"] < high


def test_shifts_that_protocols_share_are_answered_once(split):
    passes = []

    def counting(variables, x):
        jax.debug.callback(lambda: passes.append(1))
        return corner(variables, x)

    grid = circular_grid(square(np.arange(-3, 4), np.arange(-3, 4)), "all")
    pairs = {f"pairs {s}": circular_pairs(3, shared=s) for s in (True, False)}
    together = last(
        measure_shifts(function_under_test(counting, split, 11), {"grid": grid} | pairs)
    )
    jax.effects_barrier()
    assert len(passes) == 49
    for name, protocol in pairs.items():
        alone = last(measure_shifts(function_under_test(corner, split, 11), {name: protocol}))
        assert alone[name] == together[name]


def test_examples_are_spread_over_the_split(split):
    assert places(split, 4).tolist() == [0, 2, 5, 8]
    assert places(split, 0).tolist() == places(split, 99).tolist() == list(range(11))
    assert sample(split, 0) is split
    images, labels = split.read(places(split, 4))
    taken = sample(split, 4).read(np.arange(4))
    np.testing.assert_array_equal(taken[0], images)
    np.testing.assert_array_equal(taken[1], labels)


def test_published_ranges():
    drawn = circular_pairs(3, shared=False).offsets(0, 500)
    assert (drawn.min(), drawn.max()) == (-3, 2)
    drawn = crop_pairs((256, 256), 32, shared=False).offsets(0, 500)
    assert drawn.shape == (10, 500, 2)
    assert (drawn.min(), drawn.max()) == (0, 31)
    path = diagonal((256, 256), 32)
    assert len(path.grid) == 33
    assert fractional_grid(4).grid.max() == 0.75


def test_fractions_of_a_pixel_leave_a_band_limited_answer_alone(split):
    def mean(variables, x):
        return jax.nn.one_hot((x.mean((1, 2, 3)) > 0.5).astype(int), CLASSES)

    results = last(measure_shifts(function_under_test(mean, split), {"f": fractional_grid(2)}))
    assert results["f"]["consistency"] == 1.0
    assert len(results["f"]["shifts"]) == 4


def test_partial_figures_are_those_of_the_examples_seen(split):
    protocols = {"grid": circular_grid(square(np.arange(2), np.arange(2)), "four")}
    seen = list(measure_shifts(function_under_test(corner, split, 4), protocols))
    assert [n for n, _ in seen] == [4, 8, 11]
    first = random_split(11, SIZE)
    labels = first.read(np.arange(4))[1]
    bright = first.read(np.arange(4))[0][..., 0] > 127.5
    table = np.stack([bright[:, -i % SIZE, -j % SIZE] for i, j in protocols["grid"].grid])
    expected = scores.grid_scores(table.astype(int), labels)["accuracy"].mean()
    assert seen[0][1]["grid"]["accuracy"] == pytest.approx(expected)


def test_what_does_not_fit_is_one_sentence():
    with pytest.raises(UserError, match="6x6 pixels are smaller than the grid of shifts"):
        protocols_for(function_under_test(constant, random_split(2, 6)))
    with pytest.raises(UserError, match="cannot be cropped by 8"):
        crop_pairs((8, 8), 8, shared=False)

    def one_size(variables, x):
        assert x.shape[1] == SIZE
        return constant(variables, x)

    protocols, left_out = protocols_for(function_under_test(one_size, random_split(2, SIZE)))
    assert "diagonal" not in protocols
    assert "does not accept smaller images" in left_out[0]
