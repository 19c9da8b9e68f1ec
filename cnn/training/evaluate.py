"""Exact evaluation: every example of a split exactly once, with per-example outcomes."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cnn.data import EvalFeed
from cnn.training.metrics import STEPS_IN_FLIGHT

Outcomes = dict[str, np.ndarray]


def evaluate(
    eval_step: Callable[..., dict[str, jax.Array]],
    variables: dict[str, Any],
    feed: EvalFeed,
) -> Outcomes:
    """Runs a network over a split.

    Metrics are summed on the host in float64 and in the order of the examples (see
    `metrics.summarize`), so neither the batch size nor the number of devices changes a sum.

    Args:
      eval_step: jitted (variables, arrays, batch) -> `loss`, `prediction`, `rank`, `label` [B].
      variables: of the network.
      feed: the split's batches; the last one is padded and masked.

    Returns:
      The outcomes, arrays [N] in the order of the examples.

    Raises:
      RuntimeError: the examples seen are not those of the split: a defect, never a user's mistake.
    """
    outcomes: list[dict[str, jax.Array]] = []
    with closing(feed.batches()) as batches:
        for batch in batches:
            outcomes.append(eval_step(variables, feed.arrays, batch) | {"mask": batch["mask"]})
            if len(outcomes) > STEPS_IN_FLIGHT:
                jax.block_until_ready(outcomes[-1 - STEPS_IN_FLIGHT])
    gathered = [_to_host(o) for o in outcomes]
    whole = {name: np.concatenate([g[name] for g in gathered]) for name in gathered[0]}
    seen = whole.pop("mask").astype(bool)
    if seen.sum() != len(feed.split):
        raise RuntimeError(f"evaluated {seen.sum()} examples of {len(feed.split)}")
    return {name: value[seen] for name, value in whole.items()}


def _to_host(outcome: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(outcome, tiled=True)
    return jax.device_get(outcome)
