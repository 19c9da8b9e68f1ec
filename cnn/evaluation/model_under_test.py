"""The input of a measurement: a network with its variables, and the batches of a split."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from cnn.data import EvalFeed, Split, Subset, load_batch
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.training.steps import infer, make_forward


@dataclass(frozen=True)
class ModelUnderTest:
    """A network as a function, and the examples it is measured on.

    Attributes:
      logits: traceable (variables, normalised inputs `[B, *spatial, C]`) -> logits `[B, K]`.
      normalize: stored examples, such as pixels from 0 to 255 -> float32 inputs of the network.
      variables: of the network.
      feed: yields every example of the split once, in order.
    """

    logits: Callable[[Any, Array], Array]
    normalize: Callable[[Array], Array]
    variables: Any
    feed: EvalFeed

    @property
    def forward(self) -> Callable[[Any, Any, Any], tuple[Array, Array]]:
        """Traceable (variables, arrays, batch) -> logits `[B, K]` and labels `[B]`."""
        return make_forward(self.logits, load_batch, self.normalize)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        split = self.feed.split
        batch = jax.ShapeDtypeStruct((1, *split.shape), split.dtype)
        return jax.eval_shape(self.normalize, batch).shape[1:]

    def takes(self, height: int, width: int) -> bool:
        """Whether the network accepts images of this size, found by abstract evaluation."""
        shape = (1, height, width, self.image_shape[2])
        try:
            jax.eval_shape(self.logits, self.variables, jax.ShapeDtypeStruct(shape, np.float32))
        except Exception:
            return False
        return True


def model_under_test(run: CheckpointedRun, split: Split, views: int = 1) -> ModelUnderTest:
    """Returns the network of a checkpoint and the batches of a split."""
    evaluator = run.evaluator
    return ModelUnderTest(
        logits=partial(infer, evaluator.model),
        normalize=evaluator.dataset.signal.prepare,
        variables=run.variables,
        feed=evaluator.feed(split, views),
    )


def sample(split: Split, images: int) -> Split:
    """Returns `images` evenly spaced examples of a split; all of them for 0.

    They are evenly spaced because class folders are read class by class.
    """
    return split if _whole(split, images) else Subset(split, places(split, images), split.name)


def places(split: Split, images: int) -> np.ndarray:
    """Returns the sorted indices of the examples in `sample`."""
    count = len(split) if _whole(split, images) else images
    return np.arange(count) * len(split) // count


def _whole(split: Split, images: int) -> bool:
    return images == 0 or images >= len(split)
