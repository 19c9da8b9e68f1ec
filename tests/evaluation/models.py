"""Networks and splits small enough to measure in a moment."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cnn import models
from cnn.config.load import apply_override
from cnn.data.split import ArraySplit
from cnn.evaluation.model_under_test import ModelUnderTest
from configs import base
from tests.models.cases import untrained

CLASSES = 4


class Feed:
    """A split in batches of numpy arrays, the last one padded."""

    arrays = ()

    def __init__(self, split: ArraySplit, batch_size: int):
        self.split = split
        self._batch_size = batch_size

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(self.split), self._batch_size):
            rows = np.arange(start, start + self._batch_size)
            images, labels = self.split.read(np.minimum(rows, len(self.split) - 1))
            mask = (rows < len(self.split)).astype(np.float32)
            yield {"input": images, "label": labels, "mask": mask}


def random_split(count: int, size: int, channels: int = 3, seed: int = 0) -> ArraySplit:
    """Returns uniform noise with random labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, channels), np.uint8)
    return ArraySplit(images, rng.integers(0, CLASSES, count), tuple("abcd"), "noise")


def function_under_test(
    logits: Callable[[Any, Any], Any], split: ArraySplit, batch_size: int = 8, variables: Any = ()
) -> ModelUnderTest:
    """Returns a function as a network, on images whose pixels are scaled to [0, 1]."""
    return ModelUnderTest(
        logits, lambda x: x.astype(np.float32) / 255, variables, Feed(split, batch_size)
    )


def network_under_test(*overrides: str, split: ArraySplit, batch_size: int = 8) -> ModelUnderTest:
    """Returns an untrained network of the registry, its logits centred so that classes differ."""
    config = base.get_config()
    for text in overrides:
        apply_override(config, text)
    network = models.build(config.model, CLASSES)
    image = jax.ShapeDtypeStruct((1, *split.shape), np.float32)
    shapes = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), image)
    variables = untrained(shapes)

    def logits(variables: Any, x: Any) -> Any:
        return network.apply(variables, 4 * x - 2, False)

    images = split.read(np.arange(len(split)))[0].astype(np.float32) / 255
    centre = np.asarray(jax.jit(logits)(variables, images)).mean(0)
    return function_under_test(lambda v, x: logits(v, x) - centre, split, batch_size, variables)
