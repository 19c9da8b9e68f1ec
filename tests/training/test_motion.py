"""A class that is motion alone is learned by a small network of clips.

That frames without their order cannot tell it is shown by tests/data/test_video.py (they are the
same for every class) and tests/models/test_clips.py (their order changes nothing).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn.data import open_dataset
from cnn.models import build
from configs.moving_fashion import get_config
from tests.models.cases import model_config

STEPS, BATCH, TESTED = 60, 16, 128


@pytest.fixture(scope="module")
def clips():
    """Clips of eight frames of 8 pixels: training batches, and those that it is tested on."""
    data = get_config().data
    data.update(image_size=8, placement="stream")
    data.video.frames = 8
    dataset = open_dataset(data, splits=("train",))
    x, y = dataset.train.read(np.arange(STEPS * BATCH + TESTED))
    x = np.asarray(dataset.signal.prepare(jnp.asarray(x)))
    return (x[TESTED:].reshape(STEPS, BATCH, *x.shape[1:]), y[TESTED:].reshape(STEPS, BATCH)), (
        x[:TESTED],
        y[:TESTED],
    )


def accuracy(model, clips):
    """Trains for a few steps and returns the share of test clips that it gets right."""
    module, (train, (x, y)) = build(model, 4), clips
    optimizer = optax.adam(0.01)

    @jax.jit
    def run(train, x):
        variables = module.init(jax.random.key(0), x[:1], False)

        def step(state, batch):
            variables, opt = state

            def loss(params):
                given = variables | {"params": params}
                logits, new = module.apply(given, batch[0], True, mutable=["batch_stats"])
                return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean(), new

            gradients, new = jax.grad(loss, has_aux=True)(variables["params"])
            updates, opt = optimizer.update(gradients, opt)
            params = optax.apply_updates(variables["params"], updates)
            return (variables | new | {"params": params}, opt), None

        state = (variables, optimizer.init(variables["params"]))
        (variables, _), _ = jax.lax.scan(step, state, train)
        return module.apply(variables, x, False).argmax(-1)

    return (np.asarray(run(train, x)) == y).mean()


def test_a_network_of_clips_learns_motion(clips):
    model = model_config("plain3d", features=(8, 16), depths=(1, 1), norm_momentum=0.7)
    assert accuracy(model, clips) > 0.7
