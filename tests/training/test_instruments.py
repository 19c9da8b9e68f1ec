"""A trace of some steps, and the search for the first value that is not finite."""

import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn.config.errors import UserError
from cnn.config.seeds import Seeds
from cnn.training.logs import read_metrics
from cnn.training.loop import train
from cnn.training.metrics import NonFiniteLossError
from cnn.training.nan_search import first_non_finite, with_nan_search
from cnn.training.optimizer import at_rate
from cnn.training.profiling import Profile
from cnn.training.run_folder import RunFolder
from cnn.training.steps import Recipe
from tests.conftest import REPOSITORY, TINY, tiny_config


def losses(folder):
    rows = read_metrics(RunFolder(folder).metrics_file)
    return [row["value"] for row in rows if row["name"] == "loss"]


def test_a_profile_names_operations_and_changes_nothing(tmp_path, capsys):
    profile = Profile.parse("3:5", tmp_path / "trace")
    train(tiny_config(), str(tmp_path / "plain"), quiet=True)
    train(tiny_config(), str(tmp_path / "traced"), quiet=True, instruments=[profile.of])
    assert losses(tmp_path / "traced") == losses(tmp_path / "plain")
    head, *rows = capsys.readouterr().out.strip().splitlines()
    assert "steps 3 to 5 are traced" in head
    assert 0 < len(rows) <= 10
    shares = [float(row.split()[2].rstrip("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.5
    assert any("block" in row or "conv" in row for row in rows)  # layers are named
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


@pytest.mark.parametrize("text", ["5", "5:3", "0:2", "a:b", "-1:4"])
def test_a_profile_is_a_range_of_steps(text, tmp_path):
    with pytest.raises(UserError, match="10:15"):
        Profile.parse(text, tmp_path)


class Overflowing(nn.Module):
    """Two layers, of which the second makes infinity of what is finite."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(3, name="first")(x)
        return Large(name="second")(x)


class Large(nn.Module):
    def __call__(self, x):
        return jnp.abs(x) * 3e38 * 10 + 1


def search(model, spoil=lambda params: params):
    recipe = Recipe(
        model=model,
        tx=at_rate(optax.identity(), lambda step: 0.1),
        load=lambda arrays, batch: batch,
        augment=lambda key, inputs, labels: (inputs, jax.nn.one_hot(labels, 3)),
    )
    state = recipe.init(0, (4,))
    batch = {"input": jnp.ones((2, 4)), "label": jnp.zeros(2, jnp.int32)}
    state = state.replace(params=spoil(state.params))
    return first_non_finite(recipe, state, Seeds.same(np.uint32(0)), {}, batch)


def test_the_search_names_the_first_layer_whose_output_is_not_finite():
    assert search(Overflowing()).startswith("the output of second is the first")


def test_the_search_names_a_spoilt_parameter():
    def spoil(params):
        return params | {"first": params["first"] | {"bias": jnp.full(3, jnp.nan)}}

    assert search(Overflowing(), spoil).startswith("parameter first/bias is the first")
    assert "NaN; 3 of 3 values" in search(Overflowing(), spoil)


def test_nan_search_finds_where_values_overflow(tmp_path):
    config = tiny_config("optimizer.learning_rate=1e30", "model.norm=none")
    with pytest.raises(NonFiniteLossError) as stopped:
        train(config, str(tmp_path / "run"), quiet=True, instruments=[with_nan_search])
    words = str(stopped.value)
    assert "step" in words
    assert "the first tensor that is not finite" in words


def test_nan_search_leaves_a_good_run_as_it_is(tmp_path):
    train(tiny_config(), str(tmp_path / "plain"), quiet=True)
    train(tiny_config(), str(tmp_path / "watched"), quiet=True, instruments=[with_nan_search])
    assert losses(tmp_path / "watched") == losses(tmp_path / "plain")


def test_the_commands_flags_reach_training(tmp_path):
    fields = [f"--config.{text}" for text in TINY]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "train.py",
                "--config=configs/base.py",
                f"--workdir={tmp_path / 'run'}",
            ),
            *("--profile=2:3", "--debug-nans", *fields),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "steps 2 to 3 are traced" in done.stdout
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
