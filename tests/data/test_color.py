import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnn.data.color import OPERATIONS, random_color


def enhance(kind):
    return lambda image, amount: kind(image).enhance(1 + 0.9 * amount)


PILLOW = {
    "identity": lambda image, amount: image,
    "autocontrast": lambda image, amount: ImageOps.autocontrast(image),
    "brightness": enhance(ImageEnhance.Brightness),
    "color": enhance(ImageEnhance.Color),
    "contrast": enhance(ImageEnhance.Contrast),
    "equalize": lambda image, amount: ImageOps.equalize(image),
    "invert": lambda image, amount: ImageOps.invert(image),
    "posterize": lambda image, amount: ImageOps.posterize(image, 8 - round(4 * abs(amount))),
    "sharpness": enhance(ImageEnhance.Sharpness),
    "solarize": lambda image, amount: ImageOps.solarize(image, 255 * (1 - abs(amount))),
}


def images(channels):
    rng = np.random.default_rng(channels)
    noise = rng.integers(0, 256, (40, 33, channels))
    dark = rng.integers(30, 90, (40, 33, channels))
    flat = np.full((40, 33, channels), 77)
    few = rng.choice([10, 11, 200], (40, 33, channels), p=[0.7, 0.2, 0.1])
    return np.stack([noise, dark, flat, few]).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_do_what_those_of_pillow_do(name, channels):
    batch = images(channels)
    amounts = np.repeat(np.array([0.3, 1.0, -0.3, -1.0], np.float32), len(batch))
    repeated = np.tile(batch, (4, 1, 1, 1))
    ours = np.asarray(jax.jit(jax.vmap(OPERATIONS[name]))(repeated.astype(np.float32), amounts))
    np.testing.assert_array_equal(ours, np.clip(np.floor(ours), 0, 255))
    for image, amount, result in zip(repeated, amounts.tolist(), ours, strict=True):
        pillow = PILLOW[name](Image.fromarray(image.squeeze()), amount)
        expected = np.asarray(pillow, np.float32).reshape(image.shape)
        # Pillow cuts decimals off, so a last digit of float32 can make a difference of one.
        assert abs(result - expected).max() <= (1 if name in TRUNCATED else 0)


TRUNCATED = {"autocontrast", "brightness", "color", "contrast", "sharpness"}


def test_every_operation_is_equally_likely():
    # Images on which the operations differ; with magnitude 15 of 30 and either sign.
    image = images(3)[1]
    batch = np.broadcast_to(image, (2000, *image.shape))
    out = np.asarray(jax.jit(random_color, static_argnums=(2, 3))(jax.random.key(0), batch, 1, 15))
    assert out.dtype == np.uint8
    amounts = np.array([0.5, -0.5], np.float32)
    counts = {}
    left = np.ones(2000, bool)
    for name, operation in OPERATIONS.items():
        both = np.asarray(jax.vmap(operation, (None, 0))(jnp.asarray(image, jnp.float32), amounts))
        close = abs(out[:, None] - both[None]).max(axis=(2, 3, 4)) <= 1
        counts[name] = (close.any(axis=1) & left).sum()
        left &= ~close.any(axis=1)
    assert not left.any()
    # 200 expected, standard deviation 13; solarize starts at 128, which this image lacks.
    assert abs(counts.pop("identity") - 400) < 90
    assert counts.pop("solarize") == 0
    assert all(abs(count - 200) < 65 for count in counts.values()), counts


def test_operations_are_applied_in_turn_and_magnitude_zero_moves_nothing_by_degrees():
    batch = images(3)[:1].repeat(300, axis=0)
    out = np.asarray(jax.jit(random_color, static_argnums=(2, 3))(jax.random.key(1), batch, 2, 0))
    original, inverted = (out == batch).all((1, 2, 3)), (out == 255 - batch).all((1, 2, 3))
    # Without a magnitude only autocontrast, equalize and invert change anything.
    assert 0.4 < original.mean() < 0.65
    assert 0.08 < inverted.mean() < 0.25
