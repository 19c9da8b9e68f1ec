"""Cost of a network on this machine: throughput, latency, time of a training step, memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn.config.seeds import Seeds
from cnn.cost.timing import time_calls
from cnn.training.assembly import Evaluator, make_recipe
from cnn.training.steps import infer, make_train_step


def measure_speed(
    evaluator: Evaluator, variables: Any, show: Callable[[int, int], None] = lambda d, t: None
) -> dict[str, Any]:
    """Measures a network on one device of the mesh, in float32 seconds and bytes.

    Every function is compiled ahead and called twice untimed; then at least 30 calls are timed one
    by one, each until its result is there, up to 300 or ten seconds. Images are uint8 and lie on
    the device; normalisation counts, the reading of data does not. Batches are what the config
    gives one device: `evaluation.batch_size` and `train.batch_size` over the size of the mesh.

    Returns:
      `throughput` in images per second with its `batch_size`, from the median; `latency` of one
      image and `train_step`, each `{"median", "p99", "calls"}` in seconds, the step with its
      `batch_size`; `planned_bytes` of evaluation and training (arguments, results and temporaries
      as XLA planned them); `peak_bytes` of the process, None if the backend has none; and the
      `device`.
    """
    device, devices = evaluator.mesh.devices.flat[0], evaluator.mesh.size
    config, total = evaluator.config, 3
    held = jax.device_put(variables, device)
    evaluation = -(-config.evaluation.batch_size // devices)
    many, planned = _inference(evaluator, held, evaluation)
    seconds = time_calls(many)
    show(1, total)
    one, _ = _inference(evaluator, held, 1)
    latency = _summary(time_calls(one))
    show(2, total)
    batch_size = config.train.batch_size // devices
    step, planned_training = _training(evaluator, batch_size)
    training = _summary(time_calls(step))
    show(3, total)
    return {
        "device": device.device_kind,
        "throughput": {
            "images_per_second": evaluation / float(np.median(seconds)),
            "batch_size": evaluation,
            "calls": len(seconds),
        },
        "latency": latency,
        "train_step": training | {"batch_size": batch_size},
        "planned_bytes": {"evaluation": planned, "training": planned_training},
        "peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use"),
    }


def _summary(seconds: list[float]) -> dict[str, Any]:
    median, p99 = np.percentile(seconds, [50, 99])
    return {"median": float(median), "p99": float(p99), "calls": len(seconds)}


def _examples(evaluator: Evaluator, count: int) -> jax.Array:
    example = evaluator.dataset.signal.example
    values = np.random.default_rng(0).integers(0, 256, (count, *example.shape))
    return jax.device_put(values.astype(example.dtype), evaluator.mesh.devices.flat[0])


def _inference(evaluator: Evaluator, variables: Any, count: int) -> tuple[Callable, int | None]:
    dataset, images = evaluator.dataset, _examples(evaluator, count)

    def forward(variables: Any, images: jax.Array) -> jax.Array:
        return infer(evaluator.model, variables, dataset.signal.prepare(images))

    compiled = jax.jit(forward).lower(variables, images).compile()
    return partial(compiled, variables, images), _planned(compiled)


def _training(evaluator: Evaluator, count: int) -> tuple[Callable, int | None]:
    dataset = evaluator.dataset
    recipe = make_recipe(evaluator, lambda step: jnp.float32(1e-6), cropped=False, total_steps=1)
    device = evaluator.mesh.devices.flat[0]
    seeds = jax.device_put(Seeds.same(np.uint32(evaluator.config.seed)), device)
    state = jax.jit(partial(recipe.init, input_shape=dataset.input_shape))(seeds.init)
    labels = jax.device_put(np.arange(count, dtype=np.int32) % dataset.num_classes, device)
    batch = {"input": _examples(evaluator, count), "label": labels}
    update = jax.jit(make_train_step(recipe), donate_argnums=0)
    compiled = update.lower(state, seeds, (), batch).compile()

    def step() -> Any:
        nonlocal state
        state, sums = compiled(state, seeds, (), batch)
        return state, sums

    return step, _planned(compiled)


def _planned(compiled: Any) -> int | None:
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    # What a donated argument becomes is counted once.
    return (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        - plan.alias_size_in_bytes
        + plan.temp_size_in_bytes
    )
