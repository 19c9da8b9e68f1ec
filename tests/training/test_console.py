import jax
import jax.numpy as jnp
import pytest

from cnn import models
from cnn.training.console import format_seconds, network_rows
from tests.conftest import tiny_config


@pytest.mark.parametrize("name", ["plain", "resnet20", "mobilenet_v2", "convnext_t", "all_cnn_c"])
def test_the_table_counts_every_parameter_once(name):
    config = tiny_config("model.features=", f"model.name={name}")
    model = models.build(config.model, 10)
    rows, total = network_rows(model, (32, 32, 3))
    variables = jax.eval_shape(
        lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)), train=False), jax.random.key(0)
    )
    assert total == sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert sum(parameters for _, _, parameters in rows) == total
    assert rows[-1][1] == "10"
    assert len({name for name, _, _ in rows}) == len(rows)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (187, "3m07s"), (7500, "2h05m")],
)
def test_lengths_of_time_as_people_say_them(seconds, text):
    assert format_seconds(seconds) == text
