"""Pooled features (the classifier's input) of the training split and the evaluated split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn import models
from cnn.config.errors import UserError
from cnn.data import Split, load_batch
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import sample
from cnn.evaluation.suite import Progress
from cnn.training.steps import infer, make_forward


@dataclass(frozen=True)
class Pooled:
    """Pooled features of a split.

    Attributes:
      features: float32 `[N, F]`.
      labels: `[N]`.
    """

    features: np.ndarray
    labels: np.ndarray


def pooled_features(
    run: CheckpointedRun, split: str, train_images: int, progress: Progress
) -> tuple[Pooled, Pooled]:
    """Returns the features of the training split, on which a probe is fitted, and of a split.

    Args:
      run: a checkpoint.
      split: name of the split on which the probe is evaluated.
      train_images: number of training examples, evenly spaced over the split; 0: all.
      progress: counts examples.

    Raises:
      UserError: the split is the training split.
    """
    if split == "train":
        raise UserError("--split: a probe is trained on the training split; use --split=test")
    train, measured = sample(run.open_split("train"), train_images), run.split(split)
    total = len(train) + len(measured)
    learned = _features(run, train, lambda done: progress.show(done, total))
    shown = _features(run, measured, lambda done: progress.show(len(train) + done, total))
    return learned, shown


def _features(run: CheckpointedRun, part: Split, show: Callable[[int], None]) -> Pooled:
    network = models.build(run.evaluator.config.model, 0)
    prepare = run.evaluator.dataset.signal.prepare

    def headless(variables: Any, inputs: Array) -> Array:
        return infer(network, variables, inputs).astype(jnp.float32)

    step = jax.jit(make_forward(headless, load_batch, prepare))
    feed, features, labels = run.evaluator.feed(part), [], []
    for batch in feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        own, own_labels = jax.device_get(step(run.variables, feed.arrays, batch))
        features.append(own[mask])
        labels.append(own_labels[mask])
        show(sum(map(len, labels)))
    return Pooled(np.concatenate(features), np.concatenate(labels))
