"""Deformations that are known, and sensitivities against a loop in float64."""

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.deformation.bending import bent, spline_weights
from cnn.evaluation.deformation.section import deformation_section
from cnn.evaluation.deformation.suite import cosine_distance, measure_deformation
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.training.loop import train
from tests.conftest import tiny_config

SIZE = 9


def test_control_points_move_by_their_displacement_and_the_border_stays():
    weights = spline_weights(SIZE, SIZE, 3)
    # Control points lie on every second pixel: 2, 4 and 6.
    at = [row * SIZE + column for row in (2, 4, 6) for column in (2, 4, 6)]
    np.testing.assert_allclose(weights[at], np.eye(9), atol=1e-6)
    square = weights.reshape(SIZE, SIZE, 9)
    for border in (0, SIZE - 1):
        np.testing.assert_allclose(square[border, ::2], 0, atol=1e-6)
        np.testing.assert_allclose(square[::2, border], 0, atol=1e-6)


def test_an_even_image_stays_and_a_ramp_moves_by_no_more_than_the_displacement():
    weights, places = spline_weights(SIZE, SIZE, 3), np.arange(4)
    even = np.full((4, SIZE, SIZE, 1), 7, np.uint8)
    np.testing.assert_allclose(bent(even, places, weights, 2.0), 7, atol=1e-5)
    ramp = np.broadcast_to(np.arange(SIZE)[None, :, None, None], (4, SIZE, SIZE, 1))
    moved = bent(ramp, places, weights, 1.0)
    at_points = np.abs(moved - ramp)[:, 2:7:2, 2:7:2]
    assert at_points.max() <= 1 + 1e-5
    assert at_points.max() > 0.3
    alone = bent(ramp[2:3], places[2:3], weights, 1.0)
    np.testing.assert_array_equal(alone[0], moved[2])


def test_cosine_distance_is_the_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 8))
    wanted = [1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosine_distance(a, b), wanted, atol=1e-6)
    np.testing.assert_allclose(cosine_distance(a, 3 * a), 0, atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "one"
    train(tiny_config("train.duration=2 steps"), str(workdir))
    return open_run(str(workdir))


def test_sensitivity_of_layers(run, tmp_path):
    found = measure_deformation(run, "test", Progress(tmp_path), images=20)
    assert found["count"] == 20
    assert {"stage1_block1", "stage2_block1"} <= set(found["layers"])
    assert all(value > 0 for value in found["layers"].values())
    assert found["sensitivity"] == pytest.approx(np.mean(list(found["layers"].values())))
    little = measure_deformation(run, "test", Progress(tmp_path), images=20, displacement=0.01)
    for name, value in little["layers"].items():
        assert value < 0.05 * found["layers"][name]
    text = deformation_section([MeasuredRun("one", found, tmp_path)])
    assert all(f"{value:.3f}" in text for value in found["layers"].values())
    with pytest.raises(UserError, match="two images"):
        measure_deformation(run, "test", Progress(tmp_path), images=1)
