"""Grad-CAM against the class activation map, and the suite's pictures."""

import json

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.features.class_maps import class_maps
from cnn.evaluation.features.section import features_section
from cnn.evaluation.features.suite import draw_features
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.layers import Conv, Head, Style
from cnn.training.loop import train
from tests.conftest import tiny_config


class Averaged(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return Head("avg", 3, Style(), name="head")(Conv(4, 3, Style(), name="conv")(x), train)


def test_behind_an_average_it_is_the_positive_part_of_the_class_activation_map():
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(4, 3)).astype(np.float32)
    conv = draw.normal(size=(3, 3, 2, 4)).astype(np.float32)
    classifier = {"kernel": kernel, "bias": np.zeros(3, np.float32)}
    params = {"conv": {"kernel": conv}, "head": {"classifier": classifier}}
    images = draw.normal(size=(2, 5, 6, 2)).astype(np.float32)
    prediction, maps, seen = class_maps(Averaged(), {"params": params}, images, "conv")
    logits = np.asarray(maps).mean((1, 2)) @ kernel
    np.testing.assert_array_equal(prediction, logits.argmax(-1))
    cam = np.einsum("bhwk,kb->bhw", maps, kernel[:, np.asarray(prediction)])
    np.testing.assert_allclose(seen, np.maximum(cam, 0) / 30, rtol=1e-4, atol=1e-5)


def test_the_suite_draws_filters_maps_and_what_is_confused(tmp_path):
    workdir = tmp_path / "run"
    train(tiny_config("train.duration=2 steps"), str(workdir))
    run, progress = open_run(str(workdir)), Progress(tmp_path / "out")
    results = json.loads(json.dumps(draw_features(run, "test", progress)))
    files = [picture["file"] for picture in results["pictures"]]
    assert files[:4] == [
        "filters.png",
        "maps_stage1_block1.png",
        "maps_stage2_block1.png",
        "grad_cam.png",
    ]
    # Four filters of 3x3 with a line between them, enlarged as often as fits 640.
    with Image.open(progress.folder / "filters.png") as picture:
        assert picture.size == (15 * 42, 3 * 42)
    # Two rows of the six channels of a 2x2 map, as asked for by their places.
    chosen = draw_features(run, "test", Progress(tmp_path / "two"), examples=(7, 3), channels=6)
    with Image.open(tmp_path / "two" / "maps_stage2_block1.png") as picture:
        assert picture.size == (17 * 37, 5 * 37)
    pixels, labels = run.split("test").read(np.array([7, 3]))
    with Image.open(tmp_path / "two" / "grad_cam.png") as picture:
        scale = picture.width // 35
        small = np.asarray(picture)[scale // 2 :: scale, scale // 2 :: scale]
    np.testing.assert_array_equal(small[:, :8], pixels[0])
    np.testing.assert_array_equal(small[:, 18:26], pixels[1])
    assert (small[:, 9:17] != pixels[0]).any()
    caption = next(p["caption"] for p in chosen["pictures"] if p["file"] == "grad_cam.png")
    names = run.evaluator.dataset.class_names
    assert all(names[label] in caption for label in labels)
    with pytest.raises(UserError, match="from 0 to 36"):
        draw_features(run, "test", progress, examples=(37,))
    with pytest.raises(UserError, match="a number from 1"):
        draw_features(run, "test", progress, images=0)
    outcomes = run.outcomes("test")
    names = run.evaluator.dataset.class_names
    for pair in results["confused"]:
        label, prediction = names.index(pair["right"]), names.index(pair["predicted"])
        wrong = (outcomes["label"] == label) & (outcomes["prediction"] == prediction)
        assert pair["count"] == wrong.sum() > 0
        assert pair["examples"][0] == max(np.flatnonzero(wrong), key=lambda i: outcomes["loss"][i])
    counts = [pair["count"] for pair in results["confused"]]
    assert counts == sorted(counts, reverse=True)
    text = features_section([MeasuredRun("one", results, progress.folder)])
    assert text.count("data:image/png") == len(files)
