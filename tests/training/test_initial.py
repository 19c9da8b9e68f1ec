"""Fine-tuning: what a training takes from another run, and what it refuses."""

import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.config.record import fingerprint
from cnn.training.loop import train
from cnn.training.replicas import train_replicas
from cnn.training.stored_weights import read_weights
from tests.conftest import tiny_config

MODEL = ("model.name=resnet20", "model.features=4,6", "model.depths=1,1")
# Rates of 0: what a training starts from is what it ends with.
STILL = ("optimizer.learning_rate=0", "optimizer.weight_decay=0", "model.norm_frozen=true")


def weights(folder):
    found = read_weights(str(folder), "--workdir").variables
    leaves = jax.tree_util.tree_leaves_with_path(found)
    return {"/".join(key.key for key in path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "run"
    train(tiny_config(*MODEL, "train.duration=3 steps", "train.ema_decay=0.5"), str(folder))
    return folder


def tuned(source, folder, *overrides):
    config = tiny_config(*MODEL, f"init_from={source}", "train.duration=2 steps", *overrides)
    train(config, str(folder))
    return weights(folder)


def test_parameters_and_statistics_are_those_of_the_source(source, tmp_path):
    before, after = weights(source), tuned(source, tmp_path / "run", *STILL)
    assert set(before) == set(after)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_averages_start_from_the_source_too(source, tmp_path):
    before = weights(source)
    after = tuned(source, tmp_path / "run", *STILL, "train.ema_decay=0.9")
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_a_new_head_is_as_it_is_born(source, tmp_path):
    fields = (*STILL, "data.synthetic_classes=5", "init_head=new")
    after = tuned(source, tmp_path / "run", *fields)
    train(tiny_config(*MODEL, *fields[:-1], "train.duration=2 steps"), str(tmp_path / "born"))
    born = weights(tmp_path / "born")
    for name, value in weights(source).items():
        wanted = born[name] if name.startswith("params/head/classifier") else value
        np.testing.assert_array_equal(after[name], wanted, err_msg=name)


def test_frozen_groups_stay_and_the_rest_learns(source, tmp_path):
    groups = "optimizer.groups=^(stem|stage1): rate=0"
    before, after = weights(source), tuned(source, tmp_path / "run", groups)
    for name, value in before.items():
        if name.startswith(("params/stem", "params/stage1")):
            np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert (after["params/head/classifier/kernel"] != before["params/head/classifier/kernel"]).any()


def test_a_checkpoint_is_taken_as_well_as_a_run(source, tmp_path):
    whole = tuned(source, tmp_path / "run", *STILL)
    one = tuned(f"{source}/checkpoints/3", tmp_path / "one", *STILL)
    for name, value in whole.items():
        np.testing.assert_array_equal(one[name], value)


def test_replicas_start_from_the_source_as_runs_alone_do(source, tmp_path):
    fields = (*MODEL, *STILL, f"init_from={source}", "train.duration=2 steps")
    configs = [tiny_config(*fields, f"seed={seed}") for seed in (0, 1)]
    folders = [tmp_path / str(seed) for seed in (0, 1)]
    endings = train_replicas(configs, folders)
    assert not [ending for ending in endings if isinstance(ending, Exception)]
    for folder in folders:
        after = weights(folder)
        for name, value in weights(source).items():
            np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_it_is_part_of_the_fingerprint(source):
    plain, fine = tiny_config(*MODEL), tiny_config(*MODEL, f"init_from={source}")
    assert fingerprint(plain) != fingerprint(fine)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.synthetic_classes=5",), r"has another number of classes .* set init_head=new"),
        (("model.depths=1,2",), r"holds another network \(resnet20\).* missing"),
        (("model.features=4,8",), "holds another network .* of another shape"),
        (("init_from=nowhere",), "nowhere is no run folder with checkpoints, and no checkpoint"),
        (("init_from=README.md",), "python -m cnn.weights import --from=README.md"),
        (("init_from=", "init_head=new"), "init_head: has no effect without init_from"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    source, tmp_path, overrides, message
):
    with pytest.raises(UserError, match=message):
        tuned(source, tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()
