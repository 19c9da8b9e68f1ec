import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn.data.crop import UNIFORMS, crop_box, decode_crops
from cnn.data.geometry import (
    cutout,
    random_box,
    random_flip,
    random_pad_crop,
    random_resized_crop,
)

KEY = jax.random.key(7)


def repeated(image, times):
    return jnp.asarray(np.broadcast_to(image, (times, *image.shape)))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (7, 6, 3), dtype=np.uint8)


def test_half_of_the_images_are_mirrored(image):
    flipped = np.asarray(jax.jit(random_flip)(KEY, repeated(image, 4000)))
    mirrored = (flipped == image[:, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (flipped == image).all(axis=(1, 2, 3))).all()
    assert flipped.dtype == np.uint8
    assert abs(mirrored.sum() - 2000) < 5 * 32  # standard deviation 32


@pytest.mark.parametrize(("mode", "numpy_mode"), [("zero", "constant"), ("reflect", "reflect")])
def test_pad_crop_shows_every_window_equally_often(image, mode, numpy_mode):
    crop = jax.jit(random_pad_crop, static_argnums=(2, 3))
    cropped = np.asarray(crop(KEY, repeated(image, 2500), 2, mode))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), numpy_mode)
    counts = [
        (cropped == padded[top : top + 7, left : left + 6]).all(axis=(1, 2, 3)).sum()
        for top in range(5)
        for left in range(5)
    ]
    assert sum(counts) == 2500
    assert min(counts) > 50  # 100 expected, standard deviation 10
    assert max(counts) < 150


@settings(deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    low=st.floats(0.01, 0.9),
    extent=st.floats(0.0, 0.1),
)
def test_crop_boxes_lie_in_the_image_and_have_the_area_asked_for(seed, height, width, low, extent):
    uniforms = np.random.default_rng(seed).random(UNIFORMS)
    top, left, h, w = crop_box(uniforms, height, width, (low, low + extent), np)
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert h >= 1
    assert w >= 1
    # Rounding a side moves it by at most half a pixel.
    assert 3 / 4 * (h - 0.5) - 0.5 <= w <= 4 / 3 * (h + 0.5) + 0.5 or min(height, width) in (h, w)
    if (h, w) != (height, width) and 4 * w < 3 * width and 4 * h < 3 * height:
        slack = (h + w + 1) / 2
        assert low * height * width - slack <= h * w <= (low + extent) * height * width + slack


def test_a_box_that_cannot_fit_is_the_largest_in_the_centre():
    box = crop_box(np.full(UNIFORMS, 0.3), 10, 100, (0.9, 1.0), np)
    assert [int(v) for v in box] == [0, 44, 10, 13]


def test_crops_on_the_device_are_those_of_pillow():
    images = np.random.default_rng(2).integers(0, 256, (20, 12, 9, 3), dtype=np.uint8)
    area = (0.1, 0.7)
    cropped = np.asarray(jax.jit(random_resized_crop, static_argnums=2)(KEY, images, area))
    uniforms = np.asarray(jax.random.uniform(KEY, (20, UNIFORMS)))
    sizes = set()
    for image, row, ours in zip(images, uniforms, cropped, strict=True):
        top, left, height, width = (int(v) for v in crop_box(row, 12, 9, area, np))
        box = Image.fromarray(image[top : top + height, left : left + width])
        pillow = np.asarray(box.resize((9, 12), Image.Resampling.BILINEAR), int)
        assert abs(ours.astype(int) - pillow).max() <= 1
        sizes.add((height, width))
    assert len(sizes) > 5


def test_the_whole_area_is_the_image_itself():
    images = np.random.default_rng(2).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    # A square image keeps its whole area only at ratio one, or as the last resort.
    cropped = jax.jit(random_resized_crop, static_argnums=2)(KEY, images, (1.0, 1.0))
    np.testing.assert_array_equal(cropped, images)


def test_decode_crops_are_a_function_of_seed_and_step():
    def boxes(seed, step, batch_size):
        crops = decode_crops(seed, step, batch_size, (0.1, 1.0))
        return [crop(50, 60) for crop in crops]

    assert boxes(1, 2, 8) == boxes(1, 2, 8)
    assert len({*boxes(1, 2, 8), *boxes(1, 3, 8), *boxes(2, 2, 8)}) == 24


def test_boxes_are_rectangles_whose_centre_is_uniform():
    sizes = jnp.full(5000, 3)
    boxes = np.asarray(
        jax.jit(random_box, static_argnums=1)(KEY, (6, 5), sizes, jnp.full(5000, 2))
    )[..., 0]
    rows, columns = boxes.any(axis=2), boxes.any(axis=1)
    np.testing.assert_array_equal(boxes, rows[:, :, None] & columns[:, None, :])
    # A centre c covers c - 1 to c + 1 of six rows, and c - 1 to c of five columns.
    np.testing.assert_allclose(rows.mean(axis=0), np.array([2, 3, 3, 3, 3, 2]) / 6, atol=0.04)
    np.testing.assert_allclose(columns.mean(axis=0), np.array([2, 2, 2, 2, 1]) / 5, atol=0.04)


def test_cutout_sets_the_box_to_the_mean_and_leaves_the_rest():
    images = np.random.default_rng(0).normal(size=(50, 8, 8, 3)).astype(np.float32)
    cut = np.asarray(jax.jit(cutout, static_argnums=2)(KEY, images, 4))
    gone = (cut == 0).all(axis=-1)
    np.testing.assert_array_equal(cut[~gone], images[~gone])
    counts = gone.sum(axis=(1, 2))
    assert set(counts) <= {4, 6, 8, 9, 12, 16}
    assert counts.max() == 16
