"""The effective receptive field against kernels, and the suite on a run."""

import json
from pathlib import Path

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image

from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.receptive_field.effective import effective_field, field_size
from cnn.evaluation.receptive_field.section import receptive_field_section
from cnn.evaluation.receptive_field.suite import measure_receptive_field
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.layers import Conv, Style
from cnn.training.loop import train
from tests.conftest import tiny_config


class Squared(nn.Module):
    """A layer whose gradient depends on the image, and one behind it that must not count."""

    @nn.compact
    def __call__(self, x, train):
        return Conv(2, 3, Style(), name="second")(Conv(2, 3, Style(), name="first")(x) ** 2)


def test_it_is_the_mean_absolute_gradient_of_the_middle_unit():
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(3, 3, 1, 2)).astype(np.float32)
    variables = {"params": {n: {"kernel": kernel} for n in ("first", "second")}}
    variables["params"]["second"]["kernel"] = np.ones((3, 3, 2, 2), np.float32)
    images = draw.normal(size=(3, 6, 7, 1)).astype(np.float32)
    reported = []
    batches = (images[:2], images[2:])
    linear = effective_field(Squared(), variables, batches, "first", reported.append)
    expected = np.zeros((6, 7))
    expected[2:5, 2:5] = np.abs(kernel[..., 0, :].sum(-1))
    np.testing.assert_allclose(linear, expected, rtol=1e-5)
    assert reported == [2, 3]
    # Twice the output times the kernel, by the chain rule, for each of the 3x3 units behind it.
    second = effective_field(Squared(), variables, (images,), "second")
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    slow = np.zeros((3, 8, 9))
    for i in range(2, 5):
        for j in range(2, 5):
            out = np.einsum("bhwc,hwco->bo", padded[:, i : i + 3, j : j + 3], kernel)
            # Both channels of the second layer see the same sum.
            slow[:, i : i + 3, j : j + 3] += 2 * 2 * np.einsum("bo,hwo->bhw", out, kernel[:, :, 0])
    np.testing.assert_allclose(second, np.abs(slow[:, 1:-1, 1:-1]).mean(0), rtol=1e-4, atol=1e-5)


def test_its_size_is_the_side_of_what_exceeds_a_share_of_the_largest():
    field = np.zeros((9, 9))
    assert field_size(field) == 0
    field[2:6, 2:6] = 1
    assert field_size(field) == 4
    field[0, :] = 0.0454
    assert field_size(field) == 4
    field[0, :] = 0.0456
    assert field_size(field) == 5
    assert field_size(np.ones((4, 4, 4))) == pytest.approx(4)
    # A Gaussian of standard deviation s keeps what lies within 2.49 s of its middle.
    y, x = np.mgrid[-60:61, -60:61] / 12
    area = np.pi * -2 * np.log(1 - 0.9545) * 12**2
    assert field_size(np.exp(-(x**2 + y**2) / 2)) == pytest.approx(area**0.5, rel=0.01)


def test_the_suite_draws_the_field_before_and_after_training(tmp_path):
    workdir = tmp_path / "run"
    train(tiny_config("train.duration=2 steps"), str(workdir))
    run, kept, shown = open_run(str(workdir)), [], []
    progress = Progress(tmp_path / "out", lambda *done: shown.append(done), kept.append)
    results = json.loads(json.dumps(measure_receptive_field(run, "test", progress)))
    assert shown[-1] == (74, 74)
    assert kept[0]["axes"] == results["axes"]
    assert results["effective"]["layer"] == "stage2_block1"
    assert list(results["axes"]) == ["height and width"]
    layers = results["axes"]["height and width"]
    assert layers[-1]["size"] == 10
    assert 0 < results["effective"]["after"] <= 8
    with Image.open(progress.folder / "after.png") as picture:
        assert picture.size == (224, 224)
    done = MeasuredRun("done", results, progress.folder)
    apart = [layers[-1] | {"misaligned": 1.0}]
    stopped = MeasuredRun("stopped", {"axes": {"height": layers, "width": apart}}, Path("nowhere"))
    text = receptive_field_section([done, stopped])
    assert text.count("data:image/png") == 2
    assert text.count("<details>") == 3
    assert text.count("Misaligned centres") == 1
    assert "stopped, along width: summed paths have different centres" in text
