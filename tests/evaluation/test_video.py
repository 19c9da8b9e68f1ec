"""What the lab does with clips: strips of frames, and shifts by whole frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn.config.errors import UserError
from cnn.data.signals.video import VideoSignal
from cnn.evaluation.features.class_maps import class_maps
from cnn.evaluation.shift.time import frame_protocols, move_frames
from cnn.evaluation.suites import SUITES
from cnn.models import build
from cnn.training.loop import train
from tests.conftest import tiny_config
from tests.evaluation.test_suites import request, result, start
from tests.models.cases import small_config


@pytest.fixture
def signal():
    example = jax.ShapeDtypeStruct((3, 4, 5, 1), jnp.uint8)
    return VideoSignal(example, (0.5,), (0.2,), random=True)


def test_a_clip_is_drawn_as_a_strip_of_its_frames(signal):
    clips = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5, 1)
    strips = signal.pictures(clips)
    assert strips.shape == (2, 4, 15, 1)
    for i in range(3):
        np.testing.assert_array_equal(strips[:, :, 5 * i : 5 * i + 5], clips[:, i])
    assert signal.upright(clips[..., 0]).shape == (2, 4, 15)
    assert signal.drawn_axes == "frames side by side, the first on the left, of 3"


def test_clips_are_moved_by_whole_frames():
    clips = np.random.default_rng(0).normal(size=(2, 6, 2, 2, 1))
    offsets = jnp.asarray([[1, 0], [-2, 0]])
    moved = move_frames(jnp.asarray(clips), offsets)
    for clip, after, (offset, _) in zip(clips, moved, offsets.tolist(), strict=True):
        np.testing.assert_allclose(after, np.roll(clip, offset, axis=0), rtol=1e-6)
    drawn = frame_protocols(16, 4, passes=2)["time_per_clip"].offsets(0, 3)
    assert drawn.shape == (4, 3, 2)
    assert np.abs(drawn[..., 0]).max() <= 4
    assert not drawn[..., 1].any()
    with pytest.raises(UserError, match="clips of 6 frames are too short for shifts of 3"):
        frame_protocols(6, 3)


def test_suites_that_are_of_images_alone_say_so():
    alone = {name for name, suite in SUITES.items() if "video" not in suite.supported()}
    assert {"corruption", "equivariance", "deformation", "adversarial"} <= alone
    assert not alone & {"accuracy", "calibration", "cost", "receptive_field", "shift", "features"}


CLIPS = (
    "data.signal=video",
    "data.synthetic_shape=4,8,8,1",
    "model.temporal_head=avg",
    "train.duration=1 steps",
)


def test_the_lab_looks_into_networks_that_see_frames_one_by_one(tmp_path, capsys):
    workdir = tmp_path / "frames"
    train(tiny_config(*CLIPS), str(workdir))
    suites = "shift(images=3,passes=1),receptive_field(images=2),features(images=2)"
    start(request(workdir, suite=suites))
    # What comes back at the other end is another order of the same frames.
    assert result(workdir, "shift")["results"]["time_path"]["consistency"] == 1.0
    field = result(workdir, "receptive_field")["results"]
    last = {names: layers[-1] for names, layers in field["axes"].items()}
    assert {names: (layer["size"], layer["stride"]) for names, layer in last.items()} == {
        "time (frames)": (1, 1.0),
        "height and width": (10, 4.0),
    }
    assert [share for _, share in field["along_time"]["after"]] == [0, 0, 1, 0]
    [file] = (workdir / "evaluation" / "features").glob("*/maps_stage1_block1.png")
    with Image.open(file) as picture:
        # Four channels of two clips, each a strip of four maps of 4x4.
        assert picture.width / picture.height == (4 * 16 + 3) / (2 * 4 + 1)
    text = (workdir / "evaluation" / "eval.html").read_text()
    assert "beside each clip" in text
    assert "effective receptive field of frames along time" in text


def test_grad_cam_of_frames_is_that_of_the_clip():
    clips = np.random.default_rng(1).normal(size=(2, 3, 4, 4, 1)).astype(np.float32)
    model = build(small_config("plain", features=(4,), depths=(1,), temporal_head="avg"), 3)

    @jax.jit
    def look(clips):
        variables = model.init(jax.random.key(0), clips, False)
        return variables, class_maps(model, variables, clips, "stage1_block1")

    variables, (prediction, maps, seen) = look(clips)
    kernel = variables["params"]["head"]["classifier"]["kernel"][:, np.asarray(prediction)]
    # Behind averages over positions and frames: the weights of the class, by the positions.
    expected = np.maximum(np.einsum("bthwk,kb->bthw", maps, kernel), 0) / np.prod(maps.shape[1:4])
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-6)
