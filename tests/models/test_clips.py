"""Networks of clips: their published sizes, their operators, and what they know of time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.base import get_config
from cnn.config.check import check_read
from cnn.config.errors import UserError
from cnn.layers import DOWNSAMPLERS
from cnn.models import MODELS, build
from cnn.models.__main__ import parameters as count
from tests.layers.cases import KEYS, image, moved, quick
from tests.models.cases import abstract, parameters, small_config
from tests.models.test_networks import update

CLIPS = (2, 4, 8, 8, 3)
NETWORKS = [name for name, entry in MODELS.items() if entry.clips]


# torchvision's at 400 classes, and C3D as published for UCF101.
GOLDEN = {
    ("r2plus1d_18", 400): 31_505_325,
    ("r3d_18", 400): 33_371_472,
    ("mc3_18", 400): 11_695_440,
    ("c3d", 101): 78_409_573,
}


@pytest.mark.parametrize(("network", "parameters"), GOLDEN.items())
def test_published_numbers_of_parameters(network, parameters):
    assert count(*network) == parameters


def step(model, shape):
    """Returns shape and dtype of the logits of a traced step, and whether variables keep theirs."""
    variables = abstract(model, shape)[1]
    after, logits = jax.eval_shape(
        update(model), variables, jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    return logits.shape, logits.dtype, after == variables


STEPPED = ((2, 10), jnp.float32, True)


ALONG_TIME = ("plain2plus1d", "plain3d_depthwise", "plain3d", "r2plus1d_18")


@pytest.mark.parametrize(("index", "operator"), [*enumerate(DOWNSAMPLERS)])
def test_a_network_of_clips_takes_a_step_with_every_operator_along_time(index, operator):
    name = ALONG_TIME[index % len(ALONG_TIME)]
    fields = {"temporal_downsample": operator}
    if MODELS[name].stems:
        other = "subsample" if DOWNSAMPLERS[operator].on_conv else operator
        fields["shortcut_temporal_downsample"] = other
    assert step(small_config(name, **fields), CLIPS) == STEPPED


@pytest.mark.parametrize("shape", [(2, 8, 3), (2, 8, 8, 8, 3)])
def test_a_network_of_images_takes_a_step_with_every_operator_in_1d_and_3d(shape):
    for operator in DOWNSAMPLERS:
        model = small_config("plain", features=(4,), depths=(1,), downsample=operator)
        assert step(model, shape) == STEPPED, operator


FREE = ("avg", "max", "gem", "simpool", "attention(heads=2, positions=False)")
ORDERED = ("attention(heads=2)", "flatten")


def test_only_networks_that_see_time_change_when_the_frames_are_shuffled():
    models = {text: small_config("plain", features=(4,), depths=(1,)) for text in FREE + ORDERED}
    for text, model in models.items():
        with model.unlocked():
            model.temporal_head = text
    models |= {name: small_config(name, features=(4,), depths=(1,)) for name in NETWORKS}
    x = image(*CLIPS)
    order = jnp.asarray([2, 0, 3, 1])

    @quick
    def change(x):
        found = {}
        for name, model in models.items():
            module = build(model, 10)
            variables = module.init(KEYS, x, False)
            variables = variables | {"params": moved(variables["params"])}
            before, after = (module.apply(variables, y, False) for y in (x, x[:, order]))
            found[name] = jnp.abs(after - before).max() / jnp.abs(before).max()
        return found

    found = change(x)
    for name, difference in found.items():
        assert (difference < 1e-5) == (name in FREE), (name, difference)


def test_a_network_of_images_sees_each_frame_by_itself():
    with_head, without = (
        small_config("resnet20", features=(4, 4), temporal_head=text) for text in ("max", "")
    )
    x = image(*CLIPS)

    @quick
    def run(x):
        framewise, alone = build(with_head, 10), build(without, 0)
        variables = framewise.init(KEYS, x, False)
        inner = {group: tree["network"] for group, tree in variables.items()}
        frames = [alone.apply(inner, x[:, i], False) for i in range(x.shape[1])]
        classifier = variables["params"]["head"]["classifier"]
        pooled = jnp.stack(frames).max(0)
        return framewise.apply(variables, x, False), (
            pooled @ classifier["kernel"] + classifier["bias"]
        )

    found, expected = run(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_temporal_downsampling_changes_itself_and_nothing_else():
    for name in ("r2plus1d_18", "plain3d"):
        before = parameters(abstract(small_config(name), CLIPS)[1])
        after = parameters(abstract(small_config(name, temporal_downsample="gem"), CLIPS)[1])
        assert before.items() <= after.items()
        added = set(after) - set(before)
        assert added
        assert all(path.endswith("/temporal_downsample/p") for path in added)


@pytest.mark.parametrize(
    ("name", "fields", "shape", "message"),
    [
        ("plain3d", {}, (2, 8, 8, 3), "takes clips .* the data has shape"),
        ("plain", {"temporal_head": "avg"}, (2, 8, 8, 3), "model.temporal_head: pools over the fr"),
        ("plain3d", {"temporal_head": "avg"}, CLIPS, "model.temporal_head: .* a network for clips"),
        ("plain", {"temporal_head": "avgg"}, CLIPS, "model.temporal_head: unknown head 'avgg'"),
        (
            "plain",
            {"temporal_head": "attention(heads=3)"},
            CLIPS,
            "model.temporal_head: .* 3 heads do not divide",
        ),
        ("plain", {"temporal_head": "avg", "ghost_batch": 2}, CLIPS, "counts examples"),
        ("r3d_18", {"temporal_downsample": "none"}, CLIPS, "with the same output size"),
        ("plain3d", {"temporal_downsample": "maxx"}, CLIPS, "model.temporal_downsample: unknown"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(name, fields, shape, message):
    with pytest.raises(UserError, match=message) as error:
        abstract(small_config(name, **fields), shape)
    assert "\n" not in str(error.value)


def test_temporal_fields_are_refused_where_nothing_reads_them():
    config = get_config()
    config.data.signal = "video"
    for name in ("plain", "mc3_18"):
        config.model.name = name
        with pytest.raises(UserError, match=rf"temporal_downsample: has no effect with .*{name}"):
            check_read(config, {"model.temporal_downsample"})
