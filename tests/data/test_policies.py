"""Augmentation policies beside torchvision's own pixels (benchmarks/golden_augmentations.py)."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.load import apply_override
from cnn.data import augmentation, policies
from cnn.data.augmentation import make_augment

GOLDEN = Path(__file__).parents[1] / "golden" / "augmentations.npz"
# Pillow cuts decimals off, so a last digit of float32 can make a difference of one.
BLENDED = ("Brightness", "Color", "Contrast", "Sharpness", "AutoContrast")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.mark.parametrize("space", ["rand", "trivial", "auto", "augmix"])
def test_operations_and_levels_give_torchvisions_pixels(golden, space):
    image = golden["image"]
    table = policies.table_of(space, *image.shape[:2])
    cases = [key.split("/") for key in golden if key.startswith(f"{space}/")]
    assert {name for _, name, _, _ in cases} == set(table.names)
    draws = [(table.names.index(n), int(level), int(sign)) for _, n, level, sign in cases]
    one = partial(policies.apply, table, jnp.asarray(image, jnp.float32))
    found = np.asarray(jax.jit(jax.vmap(one))(*jnp.array(draws).T))
    for case, ours in zip(cases, found, strict=True):
        wanted = golden["/".join(case)].astype(np.float32)
        assert abs(ours - wanted).max() <= (case[1] in BLENDED), case


def test_sub_policies_are_the_published_ones(golden):
    published = json.loads(str(golden["policies"]))
    for policy, pairs in published.items():
        ours = policies.sub_policies(policy)
        assert ours == [[tuple(step) for step in pair] for pair in pairs]


def candidates(space, image):
    """Returns every image that one operation of a space can make, by (operation, level, sign)."""
    table = policies.table_of(space, *image.shape[:2])
    draws = [
        (row, level, sign)
        for row, count in enumerate(table.counts.tolist())
        for level in range(count)
        for sign in range(2)
    ]
    one = partial(policies.apply, table, jnp.asarray(image, jnp.float32))
    made = np.asarray(jax.jit(jax.vmap(one))(*jnp.array(draws).T)).astype(np.uint8)
    return {draw: image.tobytes() for draw, image in zip(draws, made, strict=True)}, table


def recognised(images, made):
    """Returns for each image the content of `made` that it is, but for one in a rounding."""
    stacked = np.stack([np.frombuffer(content, np.uint8) for content in made]).astype(int)
    found = []
    for image in images:
        if image.tobytes() not in made:
            distance = np.abs(stacked - image.reshape(-1)).max(1)
            assert distance.min() <= 1
            image = stacked[distance.argmin()].astype(np.uint8)
        found.append(image.tobytes())
    return found


def test_randaugment_draws_every_operation_at_one_magnitude(golden):
    image = golden["image"]
    made, table = candidates("rand", image)
    allowed = {}
    for (row, level, sign), content in made.items():
        if level == min(9, table.counts[row] - 1):
            allowed.setdefault(content, []).append((row, sign))
    batch = np.broadcast_to(image, (600, *image.shape))
    operation = jax.jit(partial(policies.randaugment, operations=1, magnitude=9))
    seen = recognised(np.asarray(operation(jax.random.key(1), batch)), set(allowed))
    assert set(seen) == set(allowed)
    # Identity is one of fourteen; nothing else here leaves the image as it is.
    assert abs(seen.count(image.tobytes()) - 600 / 14) < 4.5 * np.sqrt(600 / 14)


def test_trivialaugment_draws_every_operation_and_level(golden):
    image = golden["image"]
    made, _ = candidates("trivial", image)
    batch = np.broadcast_to(image, (1500, *image.shape))
    out = np.asarray(jax.jit(policies.trivialaugment)(jax.random.key(2), batch))
    contents = set(made.values())
    assert len(set(recognised(out, contents))) > 0.8 * len(contents)


def test_autoaugment_of_a_policy_that_is_certain(golden, monkeypatch):
    """Both steps at probability one: every image goes through one of the two pairs."""
    monkeypatch.setitem(policies.POLICIES, "cifar10", "In 10 - So 10 4, Eq 10 - Po 10 9")
    image = golden["image"]
    table = policies.table_of("auto", *image.shape[:2])

    one = jax.jit(partial(policies.apply, table))

    def pair(*steps):
        result = jnp.asarray(image, jnp.float32)
        for name, level in steps:
            result = one(result, table.names.index(name), level, 0)
        return np.asarray(result).astype(np.uint8).tobytes()

    expected = {pair(("Invert", 0), ("Solarize", 4)), pair(("Equalize", 0), ("Posterize", 9))}
    batch = np.broadcast_to(image, (24, *image.shape))
    out = jax.jit(partial(policies.autoaugment, policy="cifar10"))(jax.random.key(0), batch)
    assert {x.tobytes() for x in np.asarray(out)} == expected


def test_augmix_is_between_the_image_and_what_its_chains_make(golden):
    image = golden["image"]
    made, _ = candidates("augmix", image)
    low_levels = [c for (_, level, _), c in made.items() if level < 3]
    ends = np.stack([np.frombuffer(c, np.uint8).reshape(image.shape) for c in low_levels])
    batch = np.broadcast_to(image, (64, *image.shape))
    out = np.asarray(jax.jit(partial(policies.augmix, depth=1))(jax.random.key(0), batch)).astype(
        int
    )
    low = np.minimum(ends.min(0), image).astype(int)
    high = np.maximum(ends.max(0), image).astype(int)
    assert (out >= low - 1).all()
    assert (out <= high + 1).all()
    assert len({x.tobytes() for x in out}) == 64
    # The mean share of the image itself is one half.
    far = np.abs(out - image).mean()
    assert 0.2 < far / np.abs(ends.astype(int) - image).mean() < 0.9


@pytest.mark.parametrize("fill", ["random", "zero"])
def test_random_erasing_erases_a_box_of_the_area_it_says(fill):
    images = np.full((400, 40, 50, 3), 255, np.uint8)
    erase = partial(policies.random_erasing, probability=0.5, smallest=0.1, largest=0.2, fill=fill)
    out = np.asarray(jax.jit(erase)(jax.random.key(0), images))
    gone = (out != 255).any(-1)
    erased = gone.any((1, 2))
    assert abs(erased.mean() - 0.5) < 0.1
    rows, columns = gone.any(2).sum(1), gone.any(1).sum(1)
    areas = (rows * columns)[erased]
    np.testing.assert_array_less(np.abs(areas - gone.sum((1, 2))[erased]), 4)
    assert areas.min() > 0.085 * 2000
    assert areas.max() < 0.215 * 2000
    assert abs(areas.mean() - 0.15 * 2000) < 12
    ratios = np.log(rows[erased] / columns[erased])
    assert abs(ratios.mean()) < 0.25
    assert np.abs(ratios).max() < -np.log(0.3) + 0.15
    if fill == "random":
        assert abs(out[gone].mean() - 127.5) < 3
    else:
        assert not out[gone].any()


def test_tables_outlive_the_trace_that_made_them():
    policies.table_of.cache_clear()
    images = np.zeros((2, 9, 11, 3), np.uint8)
    first, again = (
        jax.jit(lambda key: policies.randaugment(key, images))(jax.random.key(0)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_entries_are_chosen_by_name_with_options(augment, golden):
    image = golden["image"]
    batch = np.broadcast_to(image, (8, *image.shape))
    augment.extra = "randaugment(operations=1, magnitude=20), random_erasing(probability=1.0)"
    apply = make_augment(augment, 3, (0.5,) * 3, (0.5,) * 3)
    inputs, _ = jax.jit(apply)(jax.random.key(0), batch, np.zeros(8, np.int32))
    plain = augmentation.normalize(batch, (0.5,) * 3, (0.5,) * 3)
    assert (np.abs(np.asarray(inputs) - plain).max((1, 2, 3)) > 0.1).all()
    from configs.base import get_config

    config = get_config()
    apply_override(config, "augment.extra=trivialaugment, autoaugment(policy='svhn')")
