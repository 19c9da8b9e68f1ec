"""Consistency over all circular shifts of an image, with the shifts of one image as a batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnn.evaluation.model_under_test import ModelUnderTest, places
from cnn.evaluation.shift.moves import roll
from cnn.evaluation.shift.probe import ConsistencyTally, make_probe
from cnn.evaluation.shift.protocols import circular_grid, square


def measure_all_shifts(
    model: ModelUnderTest, examples: int, batch_size: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Measures all H * W circular shifts of examples that are evenly spaced over a split.

    Args:
      model: network and examples.
      examples: maximum number of examples.
      batch_size: number of shifts per forward pass.

    Yields:
      After each example, the number of examples seen and `ConsistencyTally.summary` over them.
    """
    height, width, _ = model.image_shape
    shifts = square(np.arange(height), np.arange(width)).astype(np.int32)
    examples = min(examples, len(model.feed.split))
    about = f"all {len(shifts)} circular shifts of {examples} examples"
    tally = ConsistencyTally(circular_grid(shifts, about))
    probe = make_probe(model, roll)
    split = model.feed.split
    images, labels = split.read(places(split, examples))
    for i, label in enumerate(labels):
        predictions, probabilities = [], []
        for start in range(0, len(shifts), batch_size):
            # The last batch is padded, so that the network is not compiled again.
            rows = np.minimum(np.arange(start, start + batch_size), len(shifts) - 1)
            batch = {
                "input": np.broadcast_to(images[i], (batch_size, *images[i].shape)),
                "label": np.full(batch_size, label, np.int32),
            }
            outcome = probe(model.variables, (), batch, shifts[rows])
            predictions.append(np.asarray(outcome["prediction"]))
            probabilities.append(np.asarray(outcome["probability"]))
        kept = slice(len(shifts))
        tables = [np.concatenate(t)[kept, None] for t in (predictions, probabilities)]
        tally.add(*tables, labels[i : i + 1])
        yield i + 1, tally.summary()
