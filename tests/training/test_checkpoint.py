import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.training.checkpoint import (
    Checkpoints,
    DamagedCheckpointError,
    NonFiniteStateError,
)
from cnn.training.mesh import make_mesh, replicated
from cnn.training.run_folder import RunFolder
from cnn.training.state import ModelState, TrainState


def make_state(step):
    values = np.arange(5000, dtype=np.float32) * step
    return TrainState(
        step=jnp.int32(step),
        params={"kernel": jnp.asarray(values), "half": jnp.asarray(values[:7], jnp.bfloat16)},
        collections={
            "batch_stats": {"mean": jnp.asarray(values[:3])},
            "counts": {"n": jnp.int32(step)},
        },
        opt_state=((), {"count": jnp.int32(step)}),
        ema={},
    )


def like(devices=1):
    sharding = replicated(make_mesh(devices, 16))
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), make_state(1)
    )


def save(folder, scores, keep=1):
    checkpoints = Checkpoints(folder, keep)
    for step, score in scores.items():
        checkpoints.save(step, make_state(step), {"window": {"loss": 0.1 * step}}, score)
        checkpoints.wait()
    return checkpoints


def assert_same(state, wanted):
    assert jax.tree.structure(state) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("devices", [1, 8])
def test_a_state_comes_back_whole_on_any_number_of_devices(tmp_path, devices):
    save(tmp_path, {3: 0.5}).close()
    reader = Checkpoints(tmp_path, read_only=True)
    state, meta = reader.restore(3, like(devices))
    assert_same(state, make_state(3))
    assert len(state.params["kernel"].sharding.device_set) == devices
    assert meta["window"] == {"loss": 0.1 * 3}


@pytest.mark.parametrize("devices", [1, 8])
def test_a_save_in_flight_keeps_its_values_when_the_next_steps_take_the_buffers(tmp_path, devices):
    next_step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = jax.device_put(make_state(3), replicated(make_mesh(devices, 16)))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state, {}, None)
    for _ in range(20):
        state = next_step(state)
    jax.block_until_ready(state)
    checkpoints.wait()
    assert_same(checkpoints.restore(3, like())[0], make_state(3))


def test_the_newest_and_the_best_are_kept(tmp_path):
    scores = {1: 0.2, 2: 0.9, 3: None, 4: 0.9, 5: 0.1, 6: None, 7: None}
    checkpoints = save(tmp_path, scores, keep=2)
    assert checkpoints.steps() == [2, 6, 7]
    assert checkpoints.best() == (2, 0.9)
    checkpoints.close()
    assert Checkpoints(tmp_path, read_only=True).best() == (2, 0.9)


@pytest.fixture
def of_a_run(tmp_path):
    """The folder of checkpoints of a run that has begun."""
    RunFolder(tmp_path).config_file.touch()
    return tmp_path / "checkpoints"


def test_a_step_cannot_be_saved_twice(of_a_run):
    checkpoints = save(of_a_run, {5: None})
    with pytest.raises(UserError, match="step 5 could not be saved"):
        checkpoints.save(5, make_state(4), {}, None)
    checkpoints.close()


def test_a_save_that_failed_in_the_background_is_told_when_closing(of_a_run, monkeypatch):
    checkpoints = save(of_a_run, {5: None})
    checkpoints.save(6, make_state(6), {}, None)

    def wait():
        raise ValueError("No space left on device [os_error_code='28']")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints._manager, "wait_until_finished", wait)
        with pytest.raises(UserError, match=r"last checkpoint could not be saved .*No space left"):
            checkpoints.close()
    checkpoints.close()


def data_file(folder, step):
    return max(
        (folder / str(step)).rglob("*"), key=lambda f: f.stat().st_size if f.is_file() else 0
    )


def flip_a_bit(folder, step):
    file = data_file(folder, step)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(folder, step):
    shutil.rmtree(folder / str(step))
    (folder / str(step)).mkdir()


def lose_a_file(folder, step):
    data_file(folder, step).unlink()


def cut_a_file(folder, step):
    os.truncate(data_file(folder, step), 100)


def come_from_another_step(folder, step):
    shutil.rmtree(folder / str(step))
    shutil.copytree(folder / str(step - 1), folder / str(step))


def take_the_values_of_another_step(folder, step):
    shutil.rmtree(folder / str(step) / "state")
    shutil.copytree(folder / str(step - 1) / "state", folder / str(step) / "state")


def take_what_stands_beside_another_step(folder, step):
    shutil.copytree(
        folder / str(step - 1) / "meta", folder / str(step) / "meta", dirs_exist_ok=True
    )


def lie_under_the_name_of_one_put_aside(folder, step):
    shutil.copytree(folder / str(step), folder / f"damaged-{step}")
    flip_a_bit(folder, step)


def be_a_file(folder, step):
    shutil.rmtree(folder / str(step))
    (folder / str(step)).touch()


def edit(change):
    """Returns damage done by hand to what stands beside the values."""

    def damage(folder, step):
        file = folder / str(step) / "meta" / "metadata"
        text = change(json.loads(file.read_text()))
        file.write_text(text if isinstance(text, str) else json.dumps(text))

    return damage


EDITS = {
    "no checksum": lambda meta: {k: v for k, v in meta.items() if k != "sha256"},
    "no checksum of the rest": lambda meta: {k: v for k, v in meta.items() if k != "sha256_meta"},
    "no window": lambda meta: {k: v for k, v in meta.items() if k != "window"},
    "another window": lambda meta: meta | {"window": {"loss": 7.0}},
    "a window of another type": lambda meta: meta | {"window": "many"},
    "another score": lambda meta: meta | {"score": 0.99},
    "a score that is a text": lambda meta: meta | {"score": "high"},
    "a score that is NaN": lambda meta: meta | {"score": float("nan")},
    "no score": lambda meta: {k: v for k, v in meta.items() if k != "score"},
    "a field more": lambda meta: meta | {"more": 1},
    "a list": lambda meta: [meta],
    "a number": lambda meta: 3,
    "nothing": lambda meta: "",
    "half of it": lambda meta: json.dumps(meta)[:50],
    "binary": lambda meta: "\0" * 9,
}
DAMAGE = [
    flip_a_bit,
    empty,
    lose_a_file,
    cut_a_file,
    come_from_another_step,
    take_the_values_of_another_step,
    take_what_stands_beside_another_step,
    lie_under_the_name_of_one_put_aside,
    be_a_file,
    *(pytest.param(edit(change), id=name) for name, change in EDITS.items()),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed_and_the_step_before_is_taken(tmp_path, damage):
    save(tmp_path, {1: None, 2: 0.5, 3: 0.6}, keep=3).close()
    damage(tmp_path, 3)
    with pytest.raises(DamagedCheckpointError, match="step 3"):
        Checkpoints(tmp_path, read_only=True).restore(3, like())
    checkpoints = Checkpoints(tmp_path, keep=3)
    (state, meta), damaged = checkpoints.restore_newest(like())
    assert_same(state, make_state(2))
    assert meta["window"] == {"loss": 0.1 * 2}
    assert len(damaged) == 1
    assert list(tmp_path.glob("damaged-3*"))
    assert checkpoints.best() == (2, 0.5)
    checkpoints.save(3, make_state(3), {"window": {}}, None)
    checkpoints.wait()
    assert_same(checkpoints.restore(3, like())[0], make_state(3))
    checkpoints.close()


def test_a_damaged_best_is_put_aside_too(tmp_path):
    save(tmp_path, {1: 0.9, 2: 0.4, 3: 0.5}).close()
    flip_a_bit(tmp_path, 1)
    checkpoints = Checkpoints(tmp_path)
    (state, _), damaged = checkpoints.restore_newest(like())
    assert_same(state, make_state(3))
    assert len(damaged) == 1
    assert checkpoints.best() == (3, 0.5)
    checkpoints.close()


def test_two_good_states_are_kept_where_the_newest_is_the_best(tmp_path):
    save(tmp_path, {1: 0.1, 2: 0.2, 3: 0.3}).close()
    flip_a_bit(tmp_path, 3)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [2, 3]
    (state, _), _ = checkpoints.restore_newest(like())
    assert_same(state, make_state(2))
    checkpoints.close()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, value):
    checkpoints = save(tmp_path, {1: None})
    state = make_state(2)
    spoilt = state.replace(params=state.params | {"half": jnp.full(3, value, jnp.bfloat16)})
    with pytest.raises(NonFiniteStateError, match=r"half.* step 2"):
        checkpoints.save(2, spoilt, {}, None)
    checkpoints.close()
    assert Checkpoints(tmp_path, read_only=True).steps() == [1]


def test_what_a_killed_process_was_deleting_is_gone(tmp_path):
    save(tmp_path, {1: None}).close()
    shutil.copytree(tmp_path / "1", tmp_path / "0.deleted")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [1]
    assert not (tmp_path / "0.deleted").exists()
    checkpoints.close()


def test_a_reader_beside_a_training_looks_anew_when_a_step_is_deleted(tmp_path):
    writer = save(tmp_path, {1: 0.3, 2: 0.5})
    reader = Checkpoints(tmp_path, read_only=True)
    assert reader.steps() == [1, 2]
    assert not reader.is_gone(2)
    for step, accuracy in {3: 0.4, 4: 0.6}.items():
        writer.save(step, make_state(step), {"window": {}}, accuracy)
        writer.wait()
    writer.close()
    with pytest.raises(DamagedCheckpointError):
        reader.restore(2, like())
    assert reader.is_gone(2)
    assert reader.steps() == [3, 4]
    assert reader.best() == (4, 0.6)
    assert_same(reader.restore(4, like())[0], make_state(4))


def test_when_nothing_can_be_read_nothing_is_started_over(tmp_path):
    save(tmp_path, {1: None}).close()
    flip_a_bit(tmp_path, 1)
    with pytest.raises(UserError, match="no checkpoint can be read"):
        Checkpoints(tmp_path).restore_newest(like())


def test_an_unfinished_save_is_no_checkpoint(tmp_path):
    save(tmp_path, {1: None}).close()
    shutil.copytree(tmp_path / "1", tmp_path / "2.orbax-checkpoint-tmp")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [1]
    checkpoints.close()


def without_optimizer(state):
    return ModelState(state.step, state.params, state.collections, state.ema)


def test_variables_are_read_without_the_optimizer(tmp_path):
    save(tmp_path, {3: None}).close()
    restored, _ = Checkpoints(tmp_path, read_only=True).restore(3, without_optimizer(like()))
    assert_same(restored, without_optimizer(make_state(3)))
