"""What the lab does with clips: strips of frames, and shifts by whole frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data.signals.video import VideoSignal
from cnn.evaluation.drawing import Drawing
from cnn.evaluation.shift.time import frame_protocols, move_frames
from cnn.evaluation.suites import SUITES


@pytest.fixture
def drawing():
    example = jax.ShapeDtypeStruct((3, 4, 5, 1), jnp.uint8)
    return Drawing(VideoSignal(example, (0.5,), (0.2,), random=True))


def test_a_clip_is_drawn_as_a_strip_of_its_frames(drawing):
    clips = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5, 1)
    strips = drawing.pictures(clips)
    assert strips.shape == (2, 4, 15, 1)
    for i in range(3):
        np.testing.assert_array_equal(strips[:, :, 5 * i : 5 * i + 5], clips[:, i])
    assert drawing.upright(clips[..., 0]).shape == (2, 4, 15)
    assert drawing.axes == "frames side by side, the first on the left, of 3"


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
    alone = {name for name, suite in SUITES.items() if "video" not in suite.signals}
    assert alone == {"corruption", "equivariance"}
