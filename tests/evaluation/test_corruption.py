"""Corruptions against loops and what is known of them; benchmark results; CIFAR-10-C's files."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cnn.config.errors import UserError
from cnn.evaluation.corruption import blur, digital, resample, weather
from cnn.evaluation.corruption.benchmark import (
    ALEXNET,
    mean_corruption_error,
    mean_error,
    open_cifar_c,
)
from cnn.evaluation.corruption.corruptions import CORRUPTIONS, SEVERITIES, as_filed, corrupt
from cnn.evaluation.corruption.parameters import CIFAR_C, IMAGENET_C, table_for
from cnn.evaluation.corruption.suite import check_severities, error_of

NAMES = tuple(CORRUPTIONS)


def smooth(count=2, size=32, channels=3):
    """Returns pictures of gentle slopes and a bright square, uint8."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((size, size)) / size
    x = np.stack([rows, columns, 1 - rows], -1)[..., :channels] * 120 + 60
    x = np.stack([x] * count) + rng.integers(0, 20, (count, 1, 1, channels))
    x[:, size // 4 : size // 2, size // 4 : size // 2] += 50
    return x.astype(np.uint8)


def generators(count):
    return [np.random.default_rng(i) for i in range(count)]


def test_tables_are_complete():
    assert set(CIFAR_C) == set(IMAGENET_C) == set(ALEXNET) == set(NAMES)
    assert len(NAMES) == 15
    assert all(len(row) == 5 for table in (CIFAR_C, IMAGENET_C) for row in table.values())
    assert table_for(32, 32)[0] == "CIFAR-C"
    assert table_for(224, 300)[0] == "ImageNet-C"


@pytest.mark.parametrize("name", NAMES)
def test_changes_images_the_same_in_any_batch(name):
    images, indices = smooth(3), np.array([4, 9, 5])
    severe = corrupt(images, name, 5, indices)
    assert severe.shape == images.shape
    assert severe.dtype == np.uint8
    assert (severe != images).mean() > 0.05
    np.testing.assert_array_equal(severe[1:2], corrupt(images[1:2], name, 5, indices[1:2]))
    np.testing.assert_array_equal(severe, corrupt(images, name, 5, indices))


# By the published parameters the elastic transform's affine part shrinks as its field grows.
@pytest.mark.parametrize("name", [n for n in NAMES if n != "elastic_transform"])
def test_the_worst_is_worse_than_the_least(name):
    images = smooth(4).astype(float)
    distances = [np.abs(corrupt(smooth(4), name, s, np.arange(4)) - images).mean() for s in (1, 5)]
    assert distances[1] > distances[0]


@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_grey(name):
    images = smooth(1, 40, 1)[:, :, :33]
    assert corrupt(images, name, 3, np.array([0])).shape == (1, 40, 33, 1)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "glass_blur"])
def test_imagenet_s_parameters(name):
    assert corrupt(smooth(1, 128), name, 5, np.array([0])).shape == (1, 128, 128, 3)


def test_noise_has_the_published_strength():
    grey = np.full((1, 200, 100, 3), 127, np.uint8)
    index = np.array([0])
    noisy = corrupt(grey, "gaussian_noise", 5, index).astype(float)
    # Rounding down shifts the mean by one half and adds 1/12 to the variance.
    assert noisy.std() == pytest.approx(25.5, rel=0.02)
    assert corrupt(grey, "shot_noise", 5, index).std() == pytest.approx(
        255 * (127 / 255 / 50) ** 0.5, rel=0.02
    )
    impulse = corrupt(grey, "impulse_noise", 5, index)
    assert (impulse != 127).mean() == pytest.approx(0.07, rel=0.05)
    assert (impulse == 255).mean() == pytest.approx(0.035, rel=0.08)


def test_contrast_and_brightness_agree_with_loops():
    import colorsys

    x = np.random.default_rng(0).random((2, 3, 4, 3))
    x[0, 0, 0] = 0
    bright, flat = weather.brightness(x, 0.3, ()), digital.contrast(x, 0.4, ())
    for b, i, j in np.ndindex(2, 3, 4):
        hue, saturation, value = colorsys.rgb_to_hsv(*x[b, i, j])
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1))
        np.testing.assert_allclose(bright[b, i, j], expected, atol=1e-12)
        for c in range(3):
            mean = sum(x[b, u, v, c] for u in range(3) for v in range(4)) / 12
            assert flat[b, i, j, c] == pytest.approx(mean + 0.4 * (x[b, i, j, c] - mean))


def test_zoom_agrees_with_scipy():
    from scipy.ndimage import zoom

    x = np.random.default_rng(0).random((2, 32, 32, 3))
    for factor in (1.0, 1.07, 1.25, 2.5):
        taken = int(np.ceil(32 / factor))
        top = (32 - taken) // 2
        for image, got in zip(x, resample.zoomed(x, factor), strict=True):
            part = image[top : top + taken, top : top + taken]
            large = zoom(part, (factor, factor, 1), order=1)
            trim = (len(large) - 32) // 2
            expected = large[trim : trim + 32, trim : trim + 32]
            np.testing.assert_allclose(got, expected, atol=1e-12)


def test_smear_agrees_with_loops():
    x = np.random.default_rng(0).random((2, 7, 6, 1))
    angles = np.array([20.0, -100.0])
    got = resample.smeared(x, 2, 1.5, angles)
    weights = [np.exp(-k * k / (2 * 1.5**2)) for k in range(5)]
    for b, i, j in np.ndindex(2, 7, 6):
        turned = np.deg2rad(angles[b])
        total = 0.0
        for k, weight in enumerate(weights):
            row = min(max(i + int(np.ceil(k * np.sin(turned) - 0.5)), 0), 6)
            column = min(max(j + int(np.ceil(k * np.cos(turned) - 0.5)), 0), 5)
            total += weight * x[b, row, column, 0]
        assert got[b, i, j, 0] == pytest.approx(total / sum(weights))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: blur.defocus_blur(x, (1.5, 0.1), generators(2)),
        lambda x: blur.glass_blur(x, (0.4, 1, 2), generators(2)),
        lambda x: blur.motion_blur(x, (9, 2.5), generators(2)),
        lambda x: blur.zoom_blur(x, (0.01, 26), generators(2)),
        lambda x: digital.elastic_transform(x, (0.1, 0.03, 0.03), generators(2)),
        lambda x: digital.pixelate(x, 0.65, generators(2)),
    ],
    ids=["defocus", "glass", "motion", "zoom", "elastic", "pixelate"],
)
def test_blurs_and_warps_keep_constants(change):
    constant = np.full((2, 32, 32, 3), 0.6)
    np.testing.assert_allclose(change(constant), constant, atol=1e-6)


def test_plasma_spans_the_unit_interval_and_wraps():
    maps = weather.plasma(16, 2.0, generators(3))
    assert maps.shape == (3, 16, 16)
    np.testing.assert_array_equal(maps.min((1, 2)), 0)
    np.testing.assert_array_equal(maps.max((1, 2)), 1)
    # Neighbours across the border are as alike as others.
    steps = np.abs(np.diff(maps, axis=1)).mean()
    assert np.abs(maps[:, 0] - maps[:, -1]).mean() < 2.5 * steps
    np.testing.assert_array_equal(weather.plasma(16, 2.0, generators(3)[1:])[0], maps[1])


def test_frost_is_a_fixed_texture_of_its_own():
    texture = weather.frost_texture(1.0)
    assert texture.shape == (1024, 1024, 3)
    assert 0 <= texture.min() < texture.max() <= 1
    assert texture.std() > 0.05
    assert texture[..., 2].mean() > texture[..., 0].mean()
    assert weather.frost_texture(0.2).shape == (205, 205, 3)


def test_imagenet_c_s_files_are_jpeg_of_quality_85():
    corrupted = corrupt(smooth(2, 64), "gaussian_noise", 1, np.arange(2))
    filed = as_filed(corrupted)
    for image, got in zip(corrupted, filed, strict=True):
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=85, optimize=True)
        np.testing.assert_array_equal(got, np.asarray(Image.open(file)))
    assert (filed != corrupted).any()
    assert as_filed(corrupted[..., :1]).shape == (2, 64, 64, 1)


def test_severities_are_some_of_the_five():
    assert check_severities((5, 1, 5)) == (1, 5)
    for wrong in ((), (0, 1), (6,), ("1",)):
        with pytest.raises(UserError, match="not a subset of 1 to 5"):
            check_severities(wrong)


def test_mean_errors():
    errors = {name: [0.1, 0.2, 0.3, 0.4, 0.5] for name in NAMES}
    assert mean_error(errors) == pytest.approx(0.3)
    assert mean_corruption_error({n: [e] * 5 for n, e in ALEXNET.items()}, "AlexNet") == 1
    expected = sum(0.3 / e for e in ALEXNET.values()) / 15
    assert mean_corruption_error(errors, "AlexNet") == pytest.approx(expected)
    with pytest.raises(UserError, match="frost is missing"):
        mean_corruption_error({n: e for n, e in errors.items() if n != "frost"}, "AlexNet")
    with pytest.raises(UserError, match="allowed: AlexNet"):
        mean_corruption_error(errors, "VGG")


def test_reads_published_files(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 4)
    np.save(tmp_path / "labels.npy", np.tile(labels, 5))
    for name in NAMES:
        stored = np.repeat(np.arange(20, dtype=np.uint8), 8 * 8 * 3).reshape(20, 8, 8, 3)
        np.save(tmp_path / f"{name}.npy", stored)
    files = open_cifar_c(str(tmp_path), (8, 8, 3))
    np.testing.assert_array_equal(files.labels, labels)
    for severity in SEVERITIES:
        first = files.images("fog", severity)[:, 0, 0, 0]
        np.testing.assert_array_equal(first, 4 * (severity - 1) + np.arange(4))
    with pytest.raises(UserError, match=r"gaussian_noise\.npy has shape \(20, 8, 8, 3\)"):
        open_cifar_c(str(tmp_path), (16, 16, 3))
    (tmp_path / "snow.npy").unlink()
    with pytest.raises(UserError, match=r"is missing snow\.npy; give the folder"):
        open_cifar_c(str(tmp_path), (8, 8, 3))


def test_errors_count_each_example_once():
    labels = np.arange(7) % 3
    batches = ((np.full((n, 2, 2, 1), 1, np.uint8), labels[s : s + n]) for s, n in ((0, 4), (4, 3)))

    def predict(images):
        assert len(images) == 4
        return np.ones(4, int)

    assert error_of(predict, batches, 4) == pytest.approx((labels != 1).mean())


def test_what_cannot_be_corrupted_is_one_sentence():
    one = np.array([0])
    with pytest.raises(UserError, match="unknown corruption 'fogg'"):
        corrupt(smooth(1), "fogg", 1, one)
    with pytest.raises(UserError, match="no severity 6"):
        corrupt(smooth(1), "fog", 6, one)
    with pytest.raises(UserError, match="4x4x3 cannot be corrupted"):
        corrupt(smooth(1, 4), "fog", 1, one)
