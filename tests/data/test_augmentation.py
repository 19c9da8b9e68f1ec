import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import check_augment, make_augment, normalize
from cnn.data.mixing import mix

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
EVERYTHING = {
    "flip": True,
    "pad": 2,
    "random_resized_crop": (0.3, 1.0),
    "cutout": 3,
    "mixup": 0.4,
    "cutmix": 1.0,
    "color_ops": 2,
}


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    return images, np.arange(16, dtype=np.int32) % 10


def reference(images):
    """Normalised images in float64."""
    return (images.astype(np.float64) / 255 - MEAN) / STD


def augmented(augment, batch, seed=0, **changes):
    augment.update(changes)
    images, targets = jax.jit(make_augment(augment, 10, MEAN, STD))(jax.random.key(seed), *batch)
    assert images.dtype == targets.dtype == jnp.float32
    return np.asarray(images), np.asarray(targets)


def test_without_augmentation_images_are_normalised_and_targets_one_hot(augment, batch):
    images, targets = augmented(augment, batch)
    np.testing.assert_allclose(images, reference(batch[0]), atol=2e-6)
    np.testing.assert_array_equal(targets, np.eye(10)[batch[1]])


def test_the_step_and_evaluation_normalise_alike(augment, batch):
    normalised = jax.jit(lambda images: normalize(images, MEAN, STD))(batch[0])
    np.testing.assert_array_equal(augmented(augment, batch)[0], normalised)


def test_all_at_once_is_a_function_of_the_key(augment, batch):
    images, targets = augmented(augment, batch, **EVERYTHING)
    assert images.shape == batch[0].shape
    assert np.isfinite(images).all()
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    again, _ = augmented(augment, batch)
    other, _ = augmented(augment, batch, seed=1)
    np.testing.assert_array_equal(again, images)
    assert not np.array_equal(other, images)


def test_views_differ_by_the_extra_operations_and_by_nothing_else(augment, batch):
    clean, targets = augmented(augment, batch, flip=True, pad=2, cutout=3)
    changed, _ = augmented(augment, batch, extra="augmix")
    views, same = augmented(augment, batch, consistency=12.0)
    assert views.shape == (16, 3, 8, 8, 3)
    np.testing.assert_array_equal(same, targets)
    np.testing.assert_array_equal(views[:, 0], clean)
    np.testing.assert_array_equal(views[:, 1], changed)
    assert not np.array_equal(views[:, 1], views[:, 2])
    assert not np.array_equal(views[:, 2], clean)
    augment.extra = ""
    with pytest.raises(UserError, match=r"augment.consistency: needs augment.extra"):
        check_augment(augment, (8, 8, 3))
    augment.update(extra="augmix", mixup=0.2)
    with pytest.raises(UserError, match=r"augment.consistency: compares views of one example"):
        check_augment(augment, (8, 8, 3))


def test_what_is_drawn_does_not_depend_on_the_devices(augment, batch, shardings):
    augment.update(EVERYTHING)
    apply = jax.jit(make_augment(augment, 10, MEAN, STD))
    sharded = [jax.device_put(value, shardings(8)[0]) for value in batch]
    for seed in range(3):  # both of mixup and CutMix
        key = jax.random.key(seed)
        for one, eight in zip(apply(key, *batch), apply(key, *sharded), strict=True):
            np.testing.assert_allclose(one, eight, atol=2e-6)


def test_turning_one_on_changes_nothing_about_the_others(augment, batch):
    before, _ = augmented(augment, batch, flip=True)
    after, _ = augmented(augment, batch, cutout=4)
    kept = after != 0
    np.testing.assert_array_equal(after[kept], before[kept])
    assert 0.5 < kept.mean() < 0.95


def test_a_crop_taken_while_decoding_is_not_taken_again(augment, batch):
    augment.random_resized_crop = (0.1, 0.2)
    apply = jax.jit(make_augment(augment, 10, MEAN, STD, cropped=True))
    images, _ = apply(jax.random.key(0), *batch)
    np.testing.assert_allclose(images, reference(batch[0]), atol=2e-6)


# Images that differ in every pixel, and a class for each, so that the targets tell who is mixed.
BATCH = 64
IMAGES = np.random.default_rng(1).normal(size=(BATCH, 6, 7, 2)).astype(np.float32)
TARGETS = np.eye(BATCH, dtype=np.float32)
jitted_mix = jax.jit(mix, static_argnums=(3, 4))


def mixed(seed, mixup, cutmix):
    images, targets = map(
        np.asarray, jitted_mix(jax.random.key(seed), IMAGES, TARGETS, mixup, cutmix)
    )
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    own = targets.diagonal()
    other = np.where(np.eye(BATCH, dtype=bool), 0, targets).argmax(axis=1)
    return images.astype(np.float64), own.astype(np.float64), other


def test_mixup_adds_images_as_it_adds_targets():
    images, own, other = mixed(0, 0.4, 0.0)
    share = own[:, None, None, None]
    np.testing.assert_allclose(images, share * IMAGES + (1 - share) * IMAGES[other], atol=1e-6)
    partners = other[own < 1]
    assert len(set(partners)) == len(partners)


def test_mixup_shares_follow_the_beta_distribution():
    shares = np.concatenate([mixed(seed, 0.4, 0.0)[1] for seed in range(30)])
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
    np.testing.assert_allclose(shares.mean(), 0.5, atol=0.04)
    np.testing.assert_allclose(shares.var(), 1 / (4 * 1.8), atol=0.015)


def test_cutmix_weighs_targets_by_the_area_shown():
    images, own, other = mixed(0, 0.0, 1.0)
    mine, theirs = (images == IMAGES).all(axis=-1), (images == IMAGES[other]).all(axis=-1)
    assert (mine | theirs).all()
    np.testing.assert_allclose(own, mine.mean(axis=(1, 2)), atol=1e-6)
    pasted = ~mine
    rows, columns = pasted.any(axis=2), pasted.any(axis=1)
    np.testing.assert_array_equal(pasted, rows[:, :, None] & columns[:, None, :])
    assert len(np.unique(own.round(4))) > 10


def test_with_both_on_each_batch_takes_one():
    kinds = []
    for seed in range(40):
        images, _, _ = mixed(seed, 0.4, 1.0)
        kinds.append(bool((images == IMAGES).all(axis=-1).mean() > 0.1))  # mixup keeps no pixel
    assert 8 < sum(kinds) < 32


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pad", 8),
        ("pad_mode", "reflect"),  # without pad
        ("cutout", 9),
        ("random_resized_crop", (0.9, 0.3)),
    ],
)
def test_bad_values_name_their_field(augment, field, value):
    augment[field] = value
    with pytest.raises(UserError, match=rf"augment\.{field}: "):
        check_augment(augment, (8, 12, 3))


def test_good_values_pass(augment):
    check_augment(augment, (8, 12, 3))
    augment.update({**EVERYTHING, "pad": 7, "cutout": 8, "color_magnitude": 30.0})
    check_augment(augment, (8, 12, 3))
