"""Out of memory: the batch, what it needs, and what would fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.training.loop import train
from cnn.training.memory import OutOfMemoryError, describe_shortage, reporting_out_of_memory
from cnn.training.replicas import train_replicas
from tests.conftest import tiny_config

GIB = 2**30
CPU = "RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."
GPU = "RESOURCE_EXHAUSTED: Failed to allocate request for 8.00GiB (8589934592B) on device ordinal 0"


@pytest.mark.parametrize("message", [CPU, GPU])
def test_the_sentence_names_batch_need_and_what_would_fit(message):
    config = tiny_config("train.batch_size=16")
    text = describe_shortage(message, config, free=3 * GIB)
    assert "train.batch_size=16 needs 8 GiB more, and 3 GiB are free" in text
    # 8 GiB for 16 examples: 4 at a time take 2 GiB, 8 would take 4.
    assert "train.accumulation=4 (micro-batches of 4, which needs about 2 GiB)" in text


def test_what_can_never_fit_is_described():
    assert "one example at a time" in describe_shortage(CPU, tiny_config(), free=GIB // 4)


def test_without_numbers_the_next_number_of_micro_batches_is_advised():
    text = describe_shortage(
        "RESOURCE_EXHAUSTED: no room", tiny_config("train.batch_size=16"), None
    )
    assert "needs more than there is; try train.accumulation=2 (micro-batches of 8)" in text


def one_result(x):
    return jnp.zeros((2**44,), jnp.float32)


def several_results(x):
    return 2 * x, jnp.sort(jnp.broadcast_to(x, (2**34, 1000)) * x[0]).sum()


@pytest.mark.parametrize("program", [one_result, several_results])
def test_a_real_allocation_that_is_refused(program):
    with (
        pytest.raises(OutOfMemoryError, match=r"Out of memory: .* GiB more"),
        reporting_out_of_memory(tiny_config()),
    ):
        np.asarray(jax.jit(program)(jnp.ones(1000))[0])


def test_a_state_that_cannot_fit_is_refused_before_anything_is_written(tmp_path):
    huge = tiny_config("model.features=65536,65536")
    # 9 x 65536 x 65536 weights, their gradients and their momentum.
    sentence = r"Out of memory: parameters, .* take 432 GiB, but .* GiB are free; use a smaller"
    with pytest.raises(OutOfMemoryError, match=sentence):
        train(huge, str(tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(OutOfMemoryError, match=sentence):
        train_replicas([huge], [tmp_path / "run"])
    assert not (tmp_path / "run").exists()


def test_other_errors_pass():
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        reporting_out_of_memory(tiny_config()),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
